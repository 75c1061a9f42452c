"""Frames to MPEG-TS segments as go-livepeer's gateway needs them, without threads or sockets.

Every segment begins with PAT, PMT and a forced IDR; H.264 without B-frames, yuv420p, one size for the whole stream;
Opus at 48 kHz; presentation times are the input's own. A frame's bytes come out of the call that brought the frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, NamedTuple

import av
from av.video.frame import PictureType

from byoc_nb.frames import MPEG_TIME_BASE, AudioFrame, VideoFrame, colors
from byoc_nb.frames.colors import Color
from byoc_nb.media.mpegts import Muxer
from byoc_nb.media.timeline import Timeline

CLOCK = 90_000  # ticks a second
SEGMENT_SECONDS = 2.0  # one GOP; go-livepeer's gateway sizes its retries to it
WAITING_AUDIO = 150  # audio frames (about 3 s) kept for the first picture, which opens the stream
OPUS_RATE = 48_000
OPUS_FRAME = 960  # samples: 20 ms
AUDIO_DRIFT = CLOCK // 50  # 20 ms; past it sound is moved back to its own time stamps


class Chunk(NamedTuple):
    """Bytes to send. `opens_segment`: the previous segment ends before them. `pts`: of the picture they carry."""

    data: bytes
    opens_segment: bool = False
    pts: int | None = None


class SegmentEncoder:
    """Encodes one stream. `with_video` and `with_audio` say what it will have; they are fixed for the stream."""

    def __init__(self, *, with_video: bool = True, with_audio: bool = True, crf: int = 23) -> None:
        self._with_video, self._with_audio, self._crf = with_video, with_audio, crf
        self._timeline = Timeline()
        self._muxer: Muxer | None = None
        self._video: _VideoEncoder | None = None
        self._audio: _AudioEncoder | None = None
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
            self._video = _VideoEncoder(frame, color, self._crf)
        cut = self._segment_start is None or pts - self._segment_start >= SEGMENT_SECONDS * CLOCK
        for data, at, key in self._video.encode(frame, pts, color, key=cut):
            yield from self._packet(data, at, key=key, video=True)
        waiting, self._waiting = self._waiting, []
        for sound in waiting:
            yield from self.audio(sound)

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
        if self._audio is None:
            self._audio = _AudioEncoder(self._channels(frame))
        for data, at in self._audio.encode(frame, pts):
            # Opus looks 6.5 ms ahead. A packet before time 0 would be written as one 26 hours later
            if not at < 0 <= pts:
                yield from self._packet(data, at, key=True, video=False)

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


class _VideoEncoder:
    """libx264, one picture in, one coded picture out."""

    def __init__(self, first: av.VideoFrame, color: Color, crf: int) -> None:
        self.size = (first.width & ~1, first.height & ~1)
        self._color = color
        self._context: Any = av.CodecContext.create("libx264", "w")
        self._context.width, self._context.height = self.size
        self._context.pix_fmt = "yuv420p"
        self._context.time_base = MPEG_TIME_BASE
        self._context.framerate = Fraction(30, 1)  # for rate control alone; pictures keep their own times
        self._context.colorspace, self._context.color_range = color.matrix, color.range
        self._context.thread_count = 1
        self._context.gop_size = 100_000  # key frames come where segments begin, nowhere else
        self._context.max_b_frames = 0
        self._context.options = {
            "preset": "superfast",
            "tune": "zerolatency",
            "crf": str(crf),
            "forced-idr": "1",
            "sc_threshold": "0",
        }

    def encode(self, frame: av.VideoFrame, pts: int, color: Color, *, key: bool) -> Iterator[tuple[bytes, int, bool]]:
        picture = colors.yuv420p(frame, self.size, color, self._color)
        # The decoder's own time and picture type must not reach the encoder, nor ours the frame that the user may keep
        kept = picture.pts, picture.time_base or Fraction(0, 1), picture.pict_type
        picture.pts, picture.time_base = pts, MPEG_TIME_BASE
        picture.pict_type = PictureType.I if key else PictureType.NONE
        try:
            yield from self._drain(picture)
        finally:
            picture.pts, picture.time_base, picture.pict_type = kept

    def flush(self) -> Iterator[tuple[bytes, int, bool]]:
        yield from self._drain(None)

    def _drain(self, picture: av.VideoFrame | None) -> Iterator[tuple[bytes, int, bool]]:
        for packet in self._context.encode(picture):
            yield bytes(packet), packet.pts, packet.is_keyframe


class _AudioEncoder:
    """libopus behind a resampler; sound keeps its own times to within 20 ms."""

    def __init__(self, channels: int) -> None:
        layout = "mono" if channels == 1 else "stereo"
        self._context: Any = av.CodecContext.create("libopus", "w")
        self._context.sample_rate, self._context.layout, self._context.format = OPUS_RATE, layout, "flt"
        self._context.time_base = Fraction(1, OPUS_RATE)
        self._context.bit_rate = 64_000 * channels
        self._layout = layout
        self._resampler: av.AudioResampler | None = None
        self._shape: tuple[str, str, int] | None = None
        self._fifo = av.AudioFifo()
        self._next: int | None = None  # pts, in ticks, of the first sample in the fifo

    def encode(self, frame: AudioFrame, pts: int) -> Iterator[tuple[bytes, int]]:
        shape = (frame.format, frame.layout, frame.rate)
        if self._resampler is None or shape != self._shape:
            self._resampler = av.AudioResampler(format="flt", layout=self._layout, rate=OPUS_RATE)
            self._shape = shape
        held = self._fifo.samples * CLOCK // OPUS_RATE
        if self._next is None or abs(self._next + held - pts) > AUDIO_DRIFT:
            yield from self._drain(partial=True)
            self._next = pts
        sound = frame.to_av()
        for piece in self._resampler.resample(sound):
            piece.pts = None
            self._fifo.write(piece)
        yield from self._drain(partial=False)

    def flush(self) -> Iterator[tuple[bytes, int]]:
        yield from self._drain(partial=True)
        yield from self._packets(None)

    def _drain(self, *, partial: bool) -> Iterator[tuple[bytes, int]]:
        while self._fifo.samples >= OPUS_FRAME or (partial and self._fifo.samples):
            piece = self._fifo.read(OPUS_FRAME, partial)
            if piece is None or self._next is None:
                return
            piece.pts, piece.time_base = self._next * OPUS_RATE // CLOCK, Fraction(1, OPUS_RATE)
            self._next += piece.samples * CLOCK // OPUS_RATE
            if piece.samples == OPUS_FRAME:
                yield from self._packets(piece)

    def _packets(self, piece: av.AudioFrame | None) -> Iterator[tuple[bytes, int]]:
        for packet in self._context.encode(piece):
            yield bytes(packet), packet.pts * CLOCK // OPUS_RATE


def ticks(frame: VideoFrame | AudioFrame) -> int:
    """A frame's presentation time in 90 kHz ticks."""
    if frame.time_base == MPEG_TIME_BASE:
        return int(frame.timestamp)
    return round(frame.timestamp * frame.time_base * CLOCK)
