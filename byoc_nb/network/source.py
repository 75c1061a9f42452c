"""A source published as go-livepeer's gateway publishes an ingest: MPEG-TS segments over trickle, in real time.

H.264 without B-frames and Opus at 48 kHz, a key frame and a new segment every two seconds.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
from collections.abc import Iterable
from typing import Any

from byoc_nb.frames import AudioFrame, VideoFrame
from byoc_nb.media.cover import Cover
from byoc_nb.media.decode import FrameRateLimit
from byoc_nb.media.encode import Chunk, SegmentEncoder
from byoc_nb.network.clock import PlayClock
from byoc_nb.network.sources.feed import CUT, Given, SourceError
from byoc_nb.network.sources.kinds import open_feed
from byoc_nb.runtime.egress import TimedChunk, publish_segments
from byoc_nb.runtime.threads import Closed, CrossQueue

__all__ = ["Source", "SourceError"]
logger = logging.getLogger(__name__)

QUALITY = 20  # CRF: the source should lose nothing that the eye sees
SLOWEST, FASTEST = 0.25, 4.0
WAITING_PICTURES = 4  # between the feed and the encoder
SOUNDS_A_PICTURE = 16  # how many sounds take as much room
FEED_SECONDS = 0.5  # for a feed to end; one that hangs ends by itself later


class Source:
    """Something to play, as a real-time publisher.

    `spec` is one of

    - a video file; a folder of images, each shown for 1/`fps` s (one second by default), all in the first one's size;
    - a URL that libav opens: http(s), rtmp, rtsp and so on; it is opened anew where it breaks off;
    - "trickle+http://HOST/CHANNEL" (or https): a channel of a trickle server, until it ends;
    - "testsrc": a moving pattern with a tone; "-": MPEG-TS on standard input, read from when `run` begins;
    - "webcam": the JPEGs that are given to `push`;
    - a callable that returns an iterator, or an iterable, of pictures: NumPy arrays and torch tensors in the shapes and
      types of `VideoFrame.replace_tensor`, at `fps` (30 by default).

    `size` (width, height) scales to cover and crops; `fps` limits the rate where it doesn't set it as above;
    `loop` starts again at the end, on one continuous clock; `realtime` keeps the video's own pace, without it frames
    go as fast as they can be encoded.

    Raises SourceError when there is nothing to play, after 10 s at the latest; on an asyncio loop, call it by
    `asyncio.to_thread`. What only shows later (standard input, a generator's own error) is raised by `run`.
    """

    def __init__(
        self,
        spec: Any,
        *,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        loop: bool = True,
        realtime: bool = True,
    ) -> None:
        self._feed = open_feed(spec, size=size, fps=fps, loop=loop)
        self._size, self._fps, self._realtime = size, fps, realtime
        self.frames_sent, self._position, self._speed = 0, 0.0, 1.0
        self._error: SourceError | None = None
        self._frames: CrossQueue[tuple[Given, float | None]] = CrossQueue(
            WAITING_PICTURES * SOUNDS_A_PICTURE,
            weigh=lambda item: SOUNDS_A_PICTURE if isinstance(item[0], VideoFrame) else 1,
        )
        self._seeking = False  # what comes up to the next CUT is from before
        self._chunks: CrossQueue[TimedChunk] = CrossQueue(4 << 20, weigh=lambda item: len(item[0].data))
        self._stopped, self._nudge = False, threading.Event()
        self._reader = threading.Thread(target=self._read, name="byoc-feed", daemon=True)
        self._thread = threading.Thread(target=self._encode, name="byoc-source", daemon=True)

    @property
    def kind(self) -> str:
        """ "file", "images", "testsrc", "url", "generator", "trickle", "webcam" or "stdin"."""
        return self._feed.kind

    @property
    def spec(self) -> str:
        """What is played, for people: a URL without its credentials, a generator's name."""
        return self._feed.label

    @property
    def duration(self) -> float | None:
        """Seconds, None where there is no end or it isn't known."""
        return self._feed.duration

    @property
    def position(self) -> float | None:
        """Seconds from the beginning of what is played, None where `duration` is."""
        return None if self.duration is None else self._position

    @property
    def seekable(self) -> bool:
        """Whether `seek` and `speed` can be used."""
        return self.duration is not None

    @property
    def loop(self) -> bool:
        """Whether it starts again at its end; may be set at any time, SourceError where it can't."""
        return self._feed.loop

    @loop.setter
    def loop(self, value: bool) -> None:
        if value and not self._feed.loopable:
            raise SourceError(f"{self.spec} can't start again at its end")
        self._feed.loop = value

    @property
    def speed(self) -> float:
        """How fast it plays, 0.25 to 4; may be set at any time, from any thread.

        At another speed than 1 the sound is dropped. Faster than 1, pictures are left out so that no more of them come
        in a second than before. Setting it raises SourceError where `seekable` is False, ValueError out of the range.
        """
        return self._speed

    @speed.setter
    def speed(self, value: float) -> None:
        if not SLOWEST <= value <= FASTEST:
            raise ValueError(f"a speed is from {SLOWEST} to {FASTEST:.0f}, not {value}")
        self._check_seekable("played at another speed")
        self._speed = float(value)
        self._nudge.set()

    def seek(self, seconds: float) -> None:
        """Go on from `seconds` after the beginning, or the nearest there is; from any thread.

        The picture there is shown at once, as a key frame that begins a segment; the stream's clock goes on.
        Raises SourceError where `seekable` is False, ValueError for what is no number.
        """
        if not math.isfinite(seconds):
            raise ValueError(f"a position is in seconds, not {seconds}")
        self._check_seekable("sought in")
        self._seeking = True
        self._feed.seek(seconds)
        self._frames.drain()
        self._nudge.set()

    def push(self, jpeg: bytes) -> bool:
        """A picture for "webcam"; see `WebcamFeed.push`. Raises SourceError for another kind."""
        return self._feed.push(jpeg)

    def describe(self) -> dict[str, Any]:
        """All of it for a dashboard, as JSON takes it; `error` is why it ended, None while it plays.

        A webcam also has `dropped` and `damaged`, the pictures that were not shown.
        """
        size = self._size or self._feed.size
        return {
            "kind": self.kind,
            "spec": self.spec,
            "position": self.position,
            "duration": self.duration,
            "seekable": self.seekable,
            "speed": self.speed,
            "loop": self.loop,
            "fps": self._fps or self._feed.fps,
            "size": list(size) if size else None,
            "frames_sent": self.frames_sent,
            "error": self._error.one_line() if self._error else None,
            **self._feed.counts,
        }

    # ---- its life

    async def run(self, url: str, *, verify_tls: bool = False) -> None:
        """Publish to the channel until the end or `stop`; then delete the channel, which ends the stream.

        Raises TrickleError when the channel is gone, SourceError when the source can't be played; then a channel to
        which nothing was sent is left for another try.
        """
        self._reader.start()
        self._thread.start()
        try:
            await publish_segments(
                url, self._chunks, done=lambda: self._error is None or self.frames_sent > 0, verify_tls=verify_tls
            )
        finally:
            self.stop()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End soon; from any thread."""
        self._stopped = True
        self._frames.close(discard=True)
        self._chunks.close()
        self._feed.stop()
        self._nudge.set()

    def join(self, timeout: float) -> None:
        """Wait until the source's threads have ended, which closes what was open.

        A feed that hangs (a server that has fallen silent, a generator that sleeps) is left to end by itself.
        """
        if self._thread.ident is None:
            self._feed.stop()
            self._feed.close()
        else:
            self._thread.join(timeout)
            self._reader.join(min(timeout, FEED_SECONDS))

    def _check_seekable(self, what: str) -> None:
        if not self.seekable:
            raise SourceError(f"{self.spec} can't be {what}", hint="that needs a file or a folder of images")

    # ---- the feed's thread

    def _read(self) -> None:
        try:
            for frame in self._feed.frames():
                self._frames.put((frame, self._feed.position))
        except Closed:
            pass
        except SourceError as error:
            self._error = None if self._stopped else error
        except Exception as error:  # a file that can't be read on, say; what was sent goes through
            logger.warning("the source %s ended: %s", self.spec, getattr(error, "strerror", None) or error)
        finally:
            self._frames.close()
            self._feed.close()

    # ---- the source's thread

    def _encode(self) -> None:
        try:
            with contextlib.suppress(Closed):
                self._encode_all()
        except Exception as error:
            logger.warning("the source %s ended: %s", self.spec, error)
            self.stop()
        self._chunks.close()

    def _encode_all(self) -> None:
        clock = PlayClock(realtime=self._realtime)
        cover = Cover(self._size) if self._size else None
        rate: float | None = None
        limit: FrameRateLimit | None = None
        encoder: SegmentEncoder | None = None
        with contextlib.suppress(Closed):
            while True:
                frame, position = self._frames.get()
                if frame is CUT:
                    self._seeking = False
                    clock.cut()
                    if encoder is not None:
                        encoder.cut()
                    continue
                encoder = encoder or SegmentEncoder(with_audio=self._feed.audio, quality=QUALITY)
                at, shown = frame.timestamp, self._await(frame.timestamp, clock)
                if shown is None:
                    continue
                if isinstance(frame, AudioFrame):
                    if clock.speed == 1.0:
                        frame.timestamp = shown
                        self._send(encoder.audio(frame))
                        clock.shown(at, shown, picture=False)
                    continue
                clock.shown(at, shown, picture=True)
                if rate != (rate := self._rate()):
                    limit = FrameRateLimit(rate) if rate else None
                if limit is None or limit.keeps(shown):
                    picture = frame.to_av()
                    self._send(encoder.video(cover(picture) if cover else picture, shown, frame.color))
                    self.frames_sent += 1
                    self._position = position or 0.0
        if encoder is not None and not self._stopped:
            self._send(encoder.flush())

    def _rate(self) -> float | None:
        """How many pictures a second are enough; None for all of them."""
        rate = None if self._feed.sets_rate else self._fps
        return rate or (self._feed.fps if self._speed > 1.0 else None)

    def _await(self, at: int, clock: PlayClock) -> int | None:
        """When the frame is shown, once it is then; None for one that a seek has overtaken. Raises Closed."""
        while not self._seeking:
            if self._stopped:
                raise Closed
            if clock.speed != self._speed:
                clock.change_speed(self._speed)
            # where more of them wait already, it is we who are late
            shown, wait = clock.due(at, slips=self._feed.slips and not len(self._frames))
            if wait <= 0.0 or self._feed.live:
                return shown
            if self._nudge.wait(wait):
                self._nudge.clear()
        return None

    def _send(self, chunks: Iterable[Chunk]) -> None:
        for chunk in chunks:
            self._chunks.put((chunk, None))
