"""Bytes of an MPEG-TS stream to frames, unit by unit, without threads or sockets.

A frame comes out of the `feed` call that brought the last byte of its access unit (plus reordering, where the stream
has B-frames). Damage is decoded around: it costs the damaged frames, never the stream.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import av

from byoc_nb.errors import ByocError
from byoc_nb.frames import MPEG_TIME_BASE, AudioFrame, VideoFrame
from byoc_nb.media.cover import Cover
from byoc_nb.media.libav import Decoded, LibavDecoder
from byoc_nb.media.mpegts import Demuxer, StreamInfo, Unit
from byoc_nb.media.opus import OpusDecoder, OpusPacket

CLOCK = 90_000  # ticks a second


class UnreadableStream(ByocError, ValueError):
    """The input, or one of its streams, is nothing that can be decoded here."""


class DamagedStream(ByocError, ValueError):
    """Something is missing in the middle of the input."""


class FrameRateLimit:
    """Which frames to keep so that at most `fps` a second remain, by presentation time."""

    def __init__(self, fps: float) -> None:
        self._interval = CLOCK / fps
        self._due: float | None = None

    def keeps(self, pts: int) -> bool:
        due = self._due
        if due is not None and due - 2 * self._interval < pts < due - 0.1 * self._interval:
            return False
        on_time = due is not None and abs(pts - due) <= self._interval
        self._due = (due if on_time and due is not None else pts) + self._interval
        return True


class Decoder:
    """Decodes the first video and the first audio stream of the programme.

    `size` (width, height) scales every picture to cover that size and crops the middle; `max_framerate` in frames per
    second drops frames by PTS. `on_drop(cause)` hears of every frame that this costs; causes: "damaged", "rate".
    """

    def __init__(
        self,
        *,
        size: tuple[int, int] | None = None,
        max_framerate: float | None = None,
        on_drop: Callable[[str], None] = lambda cause: None,
        on_error: Callable[[UnreadableStream | DamagedStream], None] = lambda error: None,
    ) -> None:
        self._demuxer = Demuxer()
        self._contexts: dict[StreamInfo, Any] = {}  # None for a codec that libavcodec has no decoder for
        self._expected: dict[str, int] = {}  # by kind, when the frame after the newest one is due
        self._interval = CLOCK // 30  # between the newest two pictures
        self._cover = Cover(size) if size else None
        self._on_drop, self._on_error = on_drop, on_error
        self._head = bytearray()  # all that came, until the demuxer has recognised it
        self._libav: LibavDecoder | None = None  # for what it doesn't
        self._unrecognised = False  # by neither, and told so
        self._cut = False  # and no picture came since
        self.max_framerate = max_framerate

    @property
    def max_framerate(self) -> float | None:
        return self._max_framerate

    @max_framerate.setter
    def max_framerate(self, fps: float | None) -> None:
        self._max_framerate = fps
        self._limit = FrameRateLimit(fps) if fps else None

    @property
    def kinds(self) -> frozenset[str]:
        """Which of "video" and "audio" the programme has, as far as it is known."""
        return self._libav.kinds if self._libav else frozenset(stream.kind for stream in self._demuxer.streams)

    def feed(self, data: bytes) -> Iterator[VideoFrame | AudioFrame]:
        """The frames that `data` completes, in decoding order of the streams."""
        if self._libav is not None:
            yield from self._from_libav(self._libav.feed(data))
            return
        for unit in self._demuxer.feed(data):
            yield from self._decode(unit)
        if self._demuxer.streams or self._unrecognised:
            self._head.clear()
        else:
            self._head += data
            if self._demuxer.unrecognised:
                yield from self._from_libav(self._open_libav())

    def cut(self) -> Iterator[VideoFrame | AudioFrame]:
        """What is left of a stream that was broken off; what is fed next comes from elsewhere in it."""
        self._cut = True
        for unit in self._demuxer.flush():
            yield from self._decode(unit)

    def flush(self) -> Iterator[VideoFrame | AudioFrame]:
        """What is left at the end of the stream."""
        yield from self.cut()
        rest: list[Decoded] = []  # before anything is given out, because the caller may not take it, and libav waits
        if self._head and self._libav is None:
            rest += self._open_libav()
        if self._libav is not None:
            rest += self._libav.flush()
        yield from self._from_libav(rest)
        for stream, context in self._contexts.items():
            if not isinstance(context, OpusDecoder):
                yield from self._frames(stream, context, None)

    def _decode(self, unit: Unit) -> Iterator[VideoFrame | AudioFrame]:
        first = next((s for s in self._demuxer.streams if s.kind == unit.stream.kind), unit.stream)
        if unit.stream != first or unit.stream.kind not in ("video", "audio"):
            return
        if unit.stream not in self._contexts:
            self._contexts = {s: c for s, c in self._contexts.items() if s.kind != unit.stream.kind}
            self._contexts[unit.stream] = self._open(unit.stream)
        if unit.stream.kind == "video":
            if unit.discontinuity and not self._cut:
                self._on_error(DamagedStream("bytes of the input's video are missing, or its clock jumped"))
            self._cut = False
        context = self._contexts[unit.stream]
        if isinstance(context, OpusDecoder):
            if unit.corrupt:
                self._on_drop("damaged")
            else:
                yield from self._given("audio", context.packet(unit.data), unit.pts)
            return
        packet = av.Packet(unit.data)
        packet.pts, packet.dts, packet.time_base = unit.pts, unit.dts, MPEG_TIME_BASE
        yield from self._frames(unit.stream, context, packet)

    def _frames(
        self, stream: StreamInfo, context: Any, packet: av.Packet[Any] | None
    ) -> Iterator[VideoFrame | AudioFrame]:
        if context is None:
            return
        try:
            frames = context.decode(packet)
        except av.FFmpegError:
            self._on_drop("damaged")
            return
        for frame in frames:
            yield from self._given(stream.kind, frame, frame.pts)

    def _given(self, kind: str, frame: Any, pts: int | None) -> Iterator[VideoFrame | AudioFrame]:
        """A decoded frame, unless it has no time or is one too many."""
        limit = self._limit  # may be set from another thread meanwhile
        pts = self._time(kind, frame, pts)
        if pts is None:
            self._on_drop("damaged")
        elif kind == "audio":
            yield AudioFrame(frame, pts, MPEG_TIME_BASE)
        elif limit is None or limit.keeps(pts):
            yield VideoFrame(self._cover(frame) if self._cover else frame, pts, MPEG_TIME_BASE)
        else:
            self._on_drop("rate")

    def _open_libav(self) -> list[Decoded]:
        """Our demuxer doesn't know the stream: let libav have it from its beginning."""
        self._libav = LibavDecoder(on_damage=lambda: self._on_drop("damaged"))
        head, self._head = bytes(self._head), bytearray()
        return self._libav.feed(head)

    def _from_libav(self, decoded: list[Decoded]) -> Iterator[VideoFrame | AudioFrame]:
        for kind, frame, pts in decoded:
            yield from self._given(kind, frame, pts)
        if self._libav is not None and self._libav.error is not None:
            if not self._libav.kinds:
                self._tell_unrecognised()
            self._libav = None  # what comes now may be MPEG-TS again

    def _time(self, kind: str, frame: Any, pts: int | None) -> int | None:
        """The frame's time; one that came without follows the frame before (ISO 13818-1 asks for one every 0.7 s)."""
        due = self._expected.get(kind)
        if pts is None:
            pts = due
        elif kind == "video" and due is not None and 0 < (step := pts - due + self._interval) < CLOCK:
            self._interval = step
        if pts is not None:
            self._expected[kind] = pts + (self._interval if kind == "video" else _length(frame))
        return pts

    def _open(self, stream: StreamInfo) -> Any:
        """A decoder for the stream, None (and told so) when libavcodec has none for it."""
        if stream.codec == "opus" and stream.channels <= 2:
            return OpusDecoder(stream.channels)
        try:
            context: Any = av.CodecContext.create(stream.codec, "r")
        except (av.FFmpegError, ValueError):
            what = f"{stream.codec!r}, which has no decoder here" if stream.codec else "of an unknown codec"
            self._on_error(UnreadableStream(f"the input's {stream.kind} is {what}", hint="send H.264 and Opus or AAC"))
            return None
        context.thread_count = 1  # frame threads would add a frame of delay each
        return context

    def _tell_unrecognised(self) -> None:
        if not self._unrecognised:
            self._unrecognised = True
            self._on_error(
                UnreadableStream(
                    f"no programme was found in the first {self._demuxer.stats.bytes} bytes of the input",
                    hint="send MPEG-TS, or a container that libav can read from a pipe",
                )
            )


def _length(sound: av.AudioFrame | OpusPacket) -> int:
    """Of some sound, in ticks."""
    if isinstance(sound, OpusPacket):
        return sound.ticks
    return sound.samples * CLOCK // sound.sample_rate
