"""Sound to Opus at 48 kHz, in packets of 20 ms."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

from byoc_nb.frames import AudioFrame

CLOCK = 90_000  # ticks a second
OPUS_RATE = 48_000
OPUS_FRAME = 960  # samples: 20 ms
AUDIO_DRIFT = CLOCK // 50  # 20 ms; past it sound is moved back to its own time stamps


class OpusEncoder:
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
