"""AudioFrame: a lazy view of decoded sound, with the names that pytrickle's users know."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any, Protocol

import av
import numpy as np
from av.audio.frame import format_dtypes

OPUS_RATE = 48_000  # Hz, that of all Opus


class CodedSound(Protocol):
    """An Opus packet, 48 kHz and one or two channels, that is decoded when somebody asks for its samples."""

    data: bytes
    layout: str
    nb_samples: int

    def decode(self) -> av.AudioFrame:
        """Its sound, planar floats."""


class AudioFrame:
    """Some milliseconds of sound with their time.

    `samples` is a NumPy array as PyAV gives it: [channels, n] for planar formats (`fltp`, `s16p`), [1, n · channels]
    for packed ones (`flt`, `s16`). `timestamp` is in units of `time_base` seconds; `rate` in Hz; `nb_samples` counts
    samples per channel.
    """

    __slots__ = (
        "_av",
        "_coded",
        "_samples",
        "format",
        "layout",
        "nb_samples",
        "rate",
        "side_data",
        "time_base",
        "timestamp",
    )

    def __init__(
        self, frame: av.AudioFrame | CodedSound, timestamp: int | None = None, time_base: Fraction | None = None
    ) -> None:
        """A frame from a decoded `av.AudioFrame`, or from a packet that nobody has decoded yet."""
        self._samples: np.ndarray[Any, Any] | None = None
        self._coded: CodedSound | None = None
        self._av: av.AudioFrame | None = None
        if isinstance(frame, av.AudioFrame):
            self._av = frame
            self.format, self.layout, self.rate = frame.format.name, frame.layout.name, frame.rate
            self.nb_samples, pts, base = frame.samples, frame.pts, frame.time_base
        else:
            self._coded = frame
            self.format, self.layout, self.rate = "fltp", frame.layout, OPUS_RATE
            self.nb_samples, pts, base = frame.nb_samples, None, None
        self.timestamp: int = (pts or 0) if timestamp is None else timestamp
        self.time_base: Fraction = time_base or base or Fraction(1, self.rate)
        self.side_data = SimpleNamespace()

    @property
    def coded(self) -> bytes | None:
        """The Opus packet that this is, as long as nobody has asked for its samples."""
        return self._coded.data if self._coded is not None and self._samples is None else None

    @property
    def samples(self) -> np.ndarray[Any, Any]:
        """The sound; writable, in-place changes count."""
        if self._samples is None:
            self._samples = self._decoded().to_ndarray()
        return self._samples

    @property
    def seconds(self) -> float:
        """Presentation time in seconds."""
        return float(self.timestamp * self.time_base)

    def copy(self) -> AudioFrame:
        """The same sound as it came, whatever happens to this frame's samples."""
        source = self._coded or self._av
        assert source is not None
        made = AudioFrame(source, self.timestamp, self.time_base)
        made.side_data = self.side_data
        return made

    def replace_samples(self, samples: np.ndarray[Any, Any]) -> AudioFrame:
        """A new frame with this one's time, rate and layout and other sound, in this frame's array shape.

        Raises ValueError when the shape doesn't fit the format and layout. Another dtype is converted: full scale is
        -1..1 for floats, which are clamped for integer formats, and the whole range for integers.
        """
        samples = np.asarray(samples)
        mine = self._decoded()
        channels = len(mine.layout.channels)
        rows = channels if mine.format.is_planar else 1
        if samples.ndim == 1:
            samples = samples.reshape(1, -1)
        if samples.ndim != 2 or samples.shape[0] != rows or samples.shape[1] % (channels // rows):
            raise ValueError(
                f"samples of a {self.format} {self.layout} frame have shape [{rows}, n], not {list(samples.shape)}"
            )
        wanted = _sound(samples, np.dtype(format_dtypes[self.format]))
        frame = av.AudioFrame.from_ndarray(wanted, format=self.format, layout=self.layout)
        frame.sample_rate = self.rate
        result = AudioFrame(frame, self.timestamp, self.time_base)
        result.side_data = self.side_data
        return result

    def to_av(self) -> av.AudioFrame:
        """The sound for the encoder, with its time."""
        frame = self._decoded() if self._samples is None else self.replace_samples(self._samples)._decoded()
        frame.pts, frame.time_base = self.timestamp, self.time_base
        return frame

    def _decoded(self) -> av.AudioFrame:
        if self._av is None:
            assert self._coded is not None
            self._av = self._coded.decode()
            self.nb_samples = self._av.samples
        return self._av

    def __repr__(self) -> str:
        return f"AudioFrame({self.nb_samples} samples, {self.layout}, {self.rate} Hz at {self.seconds:.3f} s)"


def _sound(samples: np.ndarray[Any, Any], dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """The samples at full scale of `dtype`, contiguous; unsigned ones have their zero in the middle."""
    if samples.dtype.kind not in "iuf":
        raise ValueError(f"samples are floats or integers, not {samples.dtype}")
    if samples.dtype == dtype or (samples.dtype.kind == "f" and dtype.kind == "f"):
        return np.ascontiguousarray(samples, dtype=dtype)
    level = samples.astype(np.float64)
    if samples.dtype.kind != "f":
        unit = 2.0 ** (samples.dtype.itemsize * 8 - 1)
        level = level / unit - (samples.dtype.kind == "u")
    if dtype.kind == "f":
        return np.ascontiguousarray(level, dtype=dtype)
    limits, unit = np.iinfo(dtype), 2.0 ** (dtype.itemsize * 8 - 1)
    level = np.nan_to_num(level) + (dtype.kind == "u")
    result: np.ndarray[Any, Any] = np.clip(np.rint(level * unit), limits.min, limits.max).astype(dtype)
    return result
