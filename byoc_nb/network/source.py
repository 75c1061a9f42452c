"""A source published as go-livepeer's gateway publishes an ingest: MPEG-TS segments over trickle, in real time.

H.264 without B-frames and Opus at 48 kHz, a key frame and a new segment every two seconds.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import av.stream

from byoc_nb.errors import ByocError
from byoc_nb.frames import MPEG_TIME_BASE, AudioFrame, VideoFrame
from byoc_nb.media.cover import Cover
from byoc_nb.media.decode import FrameRateLimit
from byoc_nb.media.encode import CLOCK, SegmentEncoder, ticks
from byoc_nb.runtime.egress import TimedChunk, publish_segments
from byoc_nb.runtime.threads import Closed, CrossQueue

logger = logging.getLogger(__name__)

TEST_PATTERN, STANDARD_INPUT = "testsrc", "-"
DEFAULT_SIZE, DEFAULT_FPS = (640, 480), 30
QUALITY = 20  # CRF: the source should lose nothing that the eye sees
LATE_SECONDS = 1.0  # a source this far behind the clock goes on from where it is instead of hurrying


class SourceError(ByocError, OSError):
    """The source can't be opened or holds no video."""


class Source:
    """A file, a URL that PyAV opens, or "testsrc" (a moving pattern with a tone), as a real-time publisher.

    `size` (width, height) scales to cover and crops; `fps` limits the rate (and sets it for the test pattern);
    `loop` starts again at the end, on one continuous clock; `realtime` keeps the video's own pace, without it frames
    go as fast as they can be encoded. Raises SourceError at once when there is nothing to play.

    "-" is MPEG-TS on standard input, which is read from when `run` begins, and whose SourceError `run` raises.
    """

    def __init__(
        self,
        spec: str,
        *,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        loop: bool = True,
        realtime: bool = True,
    ) -> None:
        self.spec, self._size, self._fps = spec, size, fps
        self._loop, self._realtime = loop and spec != STANDARD_INPUT, realtime
        self._input = _StandardInput() if spec == STANDARD_INPUT else None
        self._container = None if self._input else self._open()
        self._error: SourceError | None = None
        self.frames_sent = 0
        self._chunks: CrossQueue[TimedChunk] = CrossQueue(4 << 20, weigh=lambda item: len(item[0].data))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._encode, name="byoc-source", daemon=True)

    async def run(self, url: str, *, verify_tls: bool = False) -> None:
        """Publish to the channel until the end or `stop`; then delete the channel, which ends the stream.

        Raises TrickleError when the channel is gone, SourceError when standard input can't be played.
        """
        self._thread.start()
        try:
            await publish_segments(url, self._chunks, done=lambda: self._error is None, verify_tls=verify_tls)
        finally:
            self.stop()
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End soon; from any thread."""
        self._stop.set()
        self._chunks.close()
        if self._input is not None:
            self._input.stop()

    def join(self, timeout: float) -> None:
        """Wait until the source's thread has ended, which closes the file."""
        if self._thread.ident is None:
            self._close()
        else:
            self._thread.join(timeout)

    # ---- the source's thread

    def _encode(self) -> None:
        try:
            self._container = self._container or self._open()
            self._encode_all()
        except Closed:
            pass
        except SourceError as error:
            self._error = None if self._stop.is_set() else error
        except Exception as error:  # a URL that breaks off, say; what was sent goes through
            logger.warning("the source %s ended: %s", self.spec, getattr(error, "strerror", None) or error)
        self._chunks.close()
        self._close()

    def _close(self) -> None:
        if self._container is not None:
            self._container.close()
        if self._input is not None:
            self._input.close()

    def _encode_all(self) -> None:
        container: Any = self._container
        kinds = {stream.type for stream in container.streams}
        encoder = SegmentEncoder(with_video=True, with_audio="audio" in kinds, quality=QUALITY)
        for frame in self._paced(self._frames()):
            if isinstance(frame, VideoFrame):
                chunks = encoder.video(frame.to_av(), ticks(frame), frame.color)
                self.frames_sent += 1
            else:
                chunks = encoder.audio(frame)
            for chunk in chunks:
                self._chunks.put((chunk, None))
        for chunk in encoder.flush():
            self._chunks.put((chunk, None))

    def _paced(self, frames: Iterator[VideoFrame | AudioFrame]) -> Iterator[VideoFrame | AudioFrame]:
        """Each frame when its time has come."""
        begin: float | None = None
        for frame in frames:
            if not self._realtime:
                if self._stop.is_set():
                    return
                yield frame
                continue
            if begin is None:
                begin = time.monotonic() - frame.seconds
            wait = begin + frame.seconds - time.monotonic()
            if wait < -LATE_SECONDS:
                begin -= wait
            if self._stop.wait(max(0.0, wait)):
                return
            yield frame

    def _frames(self) -> Iterator[VideoFrame | AudioFrame]:
        """The frames of pass after pass on one clock that begins at 0."""
        container: Any = self._container
        offset = 0
        while True:
            end = offset
            for frame in self._one_pass(offset):
                if isinstance(frame, VideoFrame):
                    end = max(end, frame.timestamp + self._interval)
                elif self._length is None:
                    end = max(end, frame.timestamp + frame.nb_samples * CLOCK // frame.rate)
                elif frame.timestamp >= offset + self._length:
                    continue  # a loop is as long as its pictures; sound beyond would be cut by the next pass's
                yield frame
            if not self._loop or end <= offset + self._interval:
                return
            offset = end
            container.seek(0)

    def _one_pass(self, offset: int) -> Iterator[VideoFrame | AudioFrame]:
        container: Any = self._container
        video = container.streams.video[0]
        audio = container.streams.audio[0] if container.streams.audio else None
        rate = self._fps or float(video.average_rate or DEFAULT_FPS)
        self._interval = round(CLOCK / rate)
        length = video.duration and video.time_base and round(video.duration * video.time_base * CLOCK)
        self._length = length if self._loop else 1 << 62
        limit = FrameRateLimit(self._fps) if self._fps else None
        cover = Cover(self._size) if self._size else None
        start = None if container.start_time is None else container.start_time * CLOCK // av.time_base
        for packet in container.demux(*(stream for stream in (video, audio) if stream)):
            try:
                frames: list[Any] = packet.decode()
            except av.FFmpegError:
                continue  # a damaged packet costs its frames
            for frame in frames:
                if frame.pts is None or frame.time_base is None:
                    continue
                pts = round(frame.pts * frame.time_base * CLOCK)
                start = pts if start is None else start
                pts += offset - start
                if pts < offset:
                    continue  # priming sound, which an edit list leaves out
                if isinstance(frame, av.AudioFrame):
                    yield AudioFrame(frame, pts, MPEG_TIME_BASE)
                elif limit is None or limit.keeps(pts):
                    picture = cover(frame) if cover else frame
                    yield VideoFrame(picture, pts, MPEG_TIME_BASE)

    def _open(self) -> Any:
        if self.spec == TEST_PATTERN:
            (width, height), fps = self._size or DEFAULT_SIZE, self._fps or DEFAULT_FPS
            graph = f"testsrc2=size={width}x{height}:rate={fps}[out0];sine=frequency=440:sample_rate=48000[out1]"
            return av.open(graph, format="lavfi")
        target: Any = self._input or self.spec
        if self._input is None and "://" not in self.spec:
            path = Path(self.spec).expanduser()
            if not path.exists():
                raise SourceError(f"no such file: {self.spec}", hint="give the path of a video file, or testsrc")
            if path.is_dir():
                raise SourceError(f"{self.spec} is a folder", hint="give a video file, or testsrc")
            target = str(path)
        form, name = ("mpegts", "standard input") if self._input else (None, self.spec)
        timeout = None if self._input else (10.0, 10.0)  # a pipe may be silent for as long as it likes
        try:
            container = av.open(target, format=form, timeout=timeout)
        except PermissionError:
            raise SourceError(f"{name} can't be read: permission denied") from None
        except (av.InvalidDataError, av.EOFError):
            raise SourceError(f"{name} isn't {'MPEG-TS' if form else 'a video file'} that can be read") from None
        except (av.FFmpegError, OSError, ValueError) as error:
            raise SourceError(f"{name} can't be opened: {getattr(error, 'strerror', None) or error}") from None
        if container.format.name == "tty":  # libav takes any text for pictures of a terminal
            container.close()
            raise SourceError(f"{name} isn't a video file that can be read")
        cover_art = av.stream.Disposition.attached_pic
        if all(stream.disposition & cover_art for stream in container.streams.video):
            container.close()
            raise SourceError(f"{name} holds no video")
        return container


class _StandardInput:
    """Standard input as PyAV reads files: what is there at once, and an end that another thread may bring about."""

    def __init__(self) -> None:
        if sys.stdin is None:
            raise SourceError("standard input is closed", hint="pipe MPEG-TS into it")
        self._stopped, self._stopping = os.pipe()
        self._lock = threading.Lock()

    def read(self, size: int) -> bytes:
        readable, _, _ = select.select([0, self._stopped], [], [])
        return b"" if self._stopped in readable else os.read(0, size)

    def stop(self) -> None:
        """End the input; idempotent."""
        with self._lock:
            if self._stopping >= 0:
                os.close(self._stopping)
                self._stopping = -1

    def close(self) -> None:
        """Free what `read` needs."""
        self.stop()
        with self._lock:
            if self._stopped >= 0:
                os.close(self._stopped)
                self._stopped = -1
