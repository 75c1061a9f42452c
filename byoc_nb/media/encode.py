"""Frames to MPEG-TS segments as go-livepeer's gateway needs them, without threads or sockets.

Every segment begins with PAT, PMT and a forced IDR; H.264 without B-frames, yuv420p, one size for the whole stream;
Opus at 48 kHz; presentation times are the input's own. A frame's bytes come out of the call that brought the frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import av

from byoc_nb.frames import MPEG_TIME_BASE, AudioFrame, VideoFrame
from byoc_nb.frames.colors import Color
from byoc_nb.media.h264 import LIBX264, QUALITY, Codec, H264Encoder
from byoc_nb.media.mpegts import Muxer
from byoc_nb.media.opus import OpusEncoder
from byoc_nb.media.timeline import Timeline

CLOCK = 90_000  # ticks a second
SEGMENT_SECONDS = 2.0  # one GOP; go-livepeer's gateway sizes its retries to it
WAITING_AUDIO = 150  # audio frames (about 3 s) kept for the first picture, which opens the stream


class Chunk(NamedTuple):
    """Bytes to send. `opens_segment`: the previous segment ends before them. `pts`: of the picture they carry."""

    data: bytes
    opens_segment: bool = False
    pts: int | None = None


class SegmentEncoder:
    """Encodes one stream. `with_video` and `with_audio` say what it will have; they are fixed for the stream.

    `quality` is libx264's CRF, 0 (best) to 51; `codecs` are the H.264 encoders to try in their order.
    """

    def __init__(
        self,
        *,
        with_video: bool = True,
        with_audio: bool = True,
        quality: int = QUALITY,
        codecs: Sequence[Codec] = (LIBX264,),
    ) -> None:
        self._with_video, self._with_audio = with_video, with_audio
        self._quality, self._codecs = quality, codecs
        self._timeline = Timeline()
        self._muxer: Muxer | None = None
        self._video: H264Encoder | None = None
        self._audio: OpusEncoder | None = None
        self._audio_channels: int | None = None
        self._waiting: list[AudioFrame] = []
        self._segment_start: int | None = None
        self.late_frames = 0  # pictures that came after a later one and were dropped

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the output, once the first frame has set it."""
        return self._video.size if self._video else None

    def video(self, frame: av.VideoFrame, pts: int, color: Color) -> Iterator[Chunk]:
        """Encode a YUV picture; `pts` in 90 kHz ticks, `color` tells how its YUV is to be read."""
        placed = self._timeline.place("video", pts)
        if placed is None:
            self.late_frames += 1
            return
        pts = placed
        if self._video is None:
            self._video = H264Encoder(frame, color, self._quality, self._codecs)
        cut = self._segment_start is None or pts - self._segment_start >= SEGMENT_SECONDS * CLOCK
        try:
            packets = list(self._video.encode(frame, pts, color, key=cut))
        except Exception:
            if self._muxer is None:  # the picture that was to settle the stream's size can't be encoded
                self._video = None
            raise
        for data, at, key in packets:
            yield from self._packet(data, at, key=key, video=True)
        waiting, self._waiting = self._waiting, []
        for sound in waiting:
            yield from self.audio(sound)

    def cut(self) -> None:
        """Let the next picture begin a segment, whenever the last one began."""
        if self._segment_start is not None:
            self._segment_start -= round(SEGMENT_SECONDS * CLOCK)

    def audio(self, frame: AudioFrame) -> Iterator[Chunk]:
        """Encode some sound; before the first picture it waits."""
        if not self._with_audio:
            return
        if self._with_video and self._video is None:
            self._waiting = [*self._waiting, frame][-WAITING_AUDIO:]
            return
        pts = self._timeline.place("audio", ticks(frame))
        if pts is None:
            return
        if frame.coded is not None:
            yield from self._copied(frame.coded, pts)
            return
        if self._audio is None:
            self._audio = OpusEncoder(self._channels(frame))
        for data, at in self._audio.encode(frame, pts):
            # Opus looks 6.5 ms ahead. A packet before time 0 would be written as one 26 hours later
            if not at < 0 <= pts:
                yield from self._packet(data, at, key=True, video=False)

    def _copied(self, packet: bytes, pts: int) -> Iterator[Chunk]:
        """Opus that nobody touched goes out as it came in."""
        if self._audio is not None:
            for data, at in self._audio.flush():
                yield from self._packet(data, at, key=True, video=False)
            self._audio = None
        yield from self._packet(packet, pts, key=True, video=False)

    def flush(self) -> Iterator[Chunk]:
        """What the encoders still hold."""
        if self._video is not None:
            for data, at, key in self._video.flush():
                yield from self._packet(data, at, key=key, video=True)
        if self._audio is not None:
            for data, at in self._audio.flush():
                yield from self._packet(data, at, key=True, video=False)

    def _channels(self, sound: AudioFrame | None) -> int:
        """One or two channels, as the sound has; the PMT that opens the stream settles it."""
        if self._audio_channels is None:
            self._audio_channels = 1 if sound is not None and sound.layout == "mono" else 2
        return self._audio_channels

    def _packet(self, data: bytes, pts: int, *, key: bool, video: bool) -> Iterator[Chunk]:
        if self._muxer is None:
            self._muxer = Muxer(
                video="h264" if self._with_video else None,
                audio="opus" if self._with_audio else None,
                audio_channels=self._channels(self._waiting[0] if self._waiting else None),
            )
        cut = (
            self._segment_start is None
            or (pts - self._segment_start >= SEGMENT_SECONDS * CLOCK and video == self._with_video)
        ) and key
        head = b""
        if cut:
            head, self._segment_start = self._muxer.start_segment(), pts
        body = self._muxer.video(data, pts, pts, key) if video else self._muxer.audio(data, pts)
        yield Chunk(head + body, cut, pts if video else None)


def ticks(frame: VideoFrame | AudioFrame) -> int:
    """A frame's presentation time in 90 kHz ticks."""
    if frame.time_base == MPEG_TIME_BASE:
        return int(frame.timestamp)
    return round(frame.timestamp * frame.time_base * CLOCK)
