"""Opus at 48 kHz: sound to packets of 20 ms, and packets to sound when somebody wants to hear them."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np

from byoc_nb.frames import AudioFrame
from byoc_nb.media.mpegts.opus import packet_ticks

CLOCK = 90_000  # ticks a second
OPUS_RATE = 48_000
OPUS_FRAME = 960  # samples: 20 ms
CONVERGENCE = 10  # packets; a decoder that begins anywhere needs 80 ms and more to sound right (RFC 7845 §4.6)
AUDIO_DRIFT = CLOCK // 50  # 20 ms; past it sound is moved back to its own time stamps


class OpusDecoder:
    """Decodes one stream's packets, those that are asked for; `channels` is 1 or 2."""

    def __init__(self, channels: int) -> None:
        self.layout = "mono" if channels == 1 else "stereo"
        self._context: Any = av.CodecContext.create("opus", "r")
        self._context.sample_rate, self._context.layout = OPUS_RATE, self.layout
        self._passed_over: deque[OpusPacket] = deque(maxlen=CONVERGENCE)
        self._lock = threading.Lock()  # packets come on one thread and are decoded on another

    def packet(self, data: bytes) -> OpusPacket:
        """The stream's next packet."""
        packet = OpusPacket(self, data)
        with self._lock:
            self._passed_over.append(packet)
        return packet

    def decode(self, wanted: OpusPacket) -> av.AudioFrame:
        """The packet's sound; the packets before it that nobody wanted bring the decoder into tune."""
        with self._lock:
            while wanted in self._passed_over:
                packet = self._passed_over.popleft()
                if packet is not wanted:
                    self._sound(packet)
            return self._sound(wanted)

    def _sound(self, packet: OpusPacket) -> av.AudioFrame:
        with contextlib.suppress(av.FFmpegError):
            for sound in self._context.decode(av.Packet(packet.data)):
                return sound  # type: ignore[no-any-return]
        silence = np.zeros((1 if self.layout == "mono" else 2, packet.nb_samples), np.float32)
        frame = av.AudioFrame.from_ndarray(silence, format="fltp", layout=self.layout)
        frame.sample_rate = OPUS_RATE
        return frame


class OpusPacket:
    """One packet, decoded at most once."""

    __slots__ = ("_decoder", "data", "layout", "nb_samples", "ticks")

    def __init__(self, decoder: OpusDecoder, data: bytes) -> None:
        self._decoder, self.data, self.layout = decoder, data, decoder.layout
        self.ticks = packet_ticks(data)
        self.nb_samples = self.ticks * OPUS_RATE // CLOCK

    def decode(self) -> av.AudioFrame:
        """Its sound, planar floats; silence for a damaged packet."""
        return self._decoder.decode(self)


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
