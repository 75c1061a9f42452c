"""VideoFrame and AudioFrame: lazy views of decoded media, with the names that pytrickle's users know.

A decoded video frame stays in YUV until a view is asked for: `array` (uint8) or `tensor` (torch float32). A frame that
nobody touched goes to the encoder as it came. Frames are never changed by this package once a processor has them, so
a processor may keep them as long as it likes.
"""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.audio.frame import format_dtypes

from byoc_nb import _pixels
from byoc_nb._pixels import Color, RgbArray

if TYPE_CHECKING:
    import torch

MPEG_TIME_BASE = Fraction(1, 90_000)  # MPEG-TS clock, the time base of every live frame


class VideoFrame:
    """One picture with its time.

    `timestamp` is the presentation time in units of `time_base` seconds (90 kHz ticks for live frames).
    `side_data` takes any attribute; what `replace_tensor` and `replace_array` return shares it.
    """

    __slots__ = (
        "_array",
        "_av",
        "_color",
        "_given",
        "_tensor",
        "_version",
        "log_timestamps",
        "side_data",
        "time_base",
        "timestamp",
    )

    def __init__(
        self,
        tensor: torch.Tensor | np.ndarray[Any, Any] | av.VideoFrame,
        timestamp: int = 0,
        time_base: Fraction = MPEG_TIME_BASE,
        log_timestamps: dict[str, float] | None = None,
    ) -> None:
        """A frame from a picture: a torch tensor or NumPy array (see `replace_tensor`) or a decoded `av.VideoFrame`."""
        self._av: av.VideoFrame | None = None
        self._array: RgbArray | None = None
        self._given: Any = None  # the tensor that is the picture, in its maker's own layout
        self._tensor: Any = None  # float32 [1, H, W, 3], once it was asked for
        self._version = 0  # of `_tensor` when it was handed out: in-place changes count it up
        self._color = Color(_pixels.BT601, False)
        self.timestamp = timestamp
        self.time_base = time_base
        self.log_timestamps = dict(log_timestamps or {})
        self.side_data = SimpleNamespace()
        if isinstance(tensor, av.VideoFrame):
            self._av, self._color = tensor, _pixels.color_of(tensor)
        elif isinstance(tensor, np.ndarray):
            self._array = _pixels.rgb_from_any(tensor)
        else:
            _pixels.picture_shape(tensor)
            self._given = tensor

    # ---- what a processor reads

    @property
    def width(self) -> int:
        """Pixels per line."""
        return self._shape()[1]

    @property
    def height(self) -> int:
        """Lines."""
        return self._shape()[0]

    @property
    def seconds(self) -> float:
        """Presentation time in seconds."""
        return float(self.timestamp * self.time_base)

    @property
    def array(self) -> RgbArray:
        """RGB uint8 [H, W, 3], 0..255, read-only (`array.copy()` gives one to draw on); converted once, then kept."""
        view = self._rgb_now().view()
        view.flags.writeable = False
        return view

    @property
    def tensor(self) -> torch.Tensor:
        """RGB torch float32 [1, H, W, 3] in 0..1 on the CPU; converted once, then kept.

        In-place changes count: `frame.tensor[..., 1] += 0.2; return frame` sends the changed picture. torch doesn't see
        those made through `.numpy()` or `.data`: hand such a picture to `replace_tensor`.
        """
        if self._tensor is None:
            self._tensor = _pixels.tensor_from_any(self._rgb() if self._given is None else self._given)
            self._version = self._tensor._version
        tensor: torch.Tensor = self._tensor
        return tensor

    # ---- what a processor makes

    def replace_tensor(self, tensor: torch.Tensor | np.ndarray[Any, Any]) -> VideoFrame:
        """A new frame with this one's time and another picture.

        Shapes: [1, H, W, C], [1, C, H, W], [H, W, C], [C, H, W] or [H, W] with C = 1, 3 or 4, of any size and on any
        device; float in 0..1, integer in 0..255 or bool, clamped. Raises ValueError for any other shape or dtype.
        """
        return self._with(VideoFrame(tensor, self.timestamp, self.time_base, self.log_timestamps))

    replace_array = replace_tensor

    # ---- what the media path needs

    @property
    def color(self) -> Color:
        """Matrix and range that the encoder must keep for this frame."""
        return self._color

    def to_av(self) -> av.VideoFrame:
        """The picture for the encoder: the decoded YUV if nobody touched it, else rgb24 in memory of its own."""
        if self._av is not None and not self._edited() and not self._av.format.is_rgb:
            return self._av
        rgb = self._rgb_now()
        height, width = rgb.shape[0] & ~1, rgb.shape[1] & ~1  # yuv420p has no odd sizes
        if not height or not width:
            raise ValueError(f"a picture of {rgb.shape[1]}x{rgb.shape[0]} is too small to encode")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb[:height, :width]), format="rgb24")
        frame.pts, frame.time_base = self.timestamp, self.time_base
        return frame

    def to_bytes(self) -> bytes:
        """The picture as raw RGB24, H·W·3 bytes."""
        return self._rgb_now().tobytes()

    def __repr__(self) -> str:
        return f"VideoFrame({self.width}x{self.height} at {self.seconds:.3f} s)"

    # ---- pytrickle's constructors

    @classmethod
    def from_tensor(cls, tensor: torch.Tensor, timestamp: int = 0) -> VideoFrame:
        """A frame from a tensor, in whole seconds (time base 1/1), as pytrickle has it."""
        return cls(tensor, timestamp, Fraction(1, 1))

    @classmethod
    def from_av_video(cls, tensor: torch.Tensor, timestamp: int, time_base: Fraction) -> VideoFrame:
        """The constructor under pytrickle's older name."""
        return cls(tensor, timestamp, time_base)

    @classmethod
    def from_av_frame_with_timing(cls, frame: av.VideoFrame, original: VideoFrame) -> VideoFrame:
        """A frame from an `av.VideoFrame`, with the time and side data of `original`."""
        return original._with(cls(frame, original.timestamp, original.time_base, original.log_timestamps))

    def to_av_frame(self, tensor: torch.Tensor) -> av.VideoFrame:
        """`tensor` as an rgb24 `av.VideoFrame` with this frame's time."""
        return self.replace_tensor(tensor).to_av()

    # ---- internals

    def _with(self, other: VideoFrame) -> VideoFrame:
        other.side_data = self.side_data
        if other._av is None:  # decoded pictures say themselves how they are to be read
            other._color = self._color
        return other

    def _shape(self) -> tuple[int, int]:
        if self._av is not None:
            return self._av.height, self._av.width
        return _pixels.picture_shape(self._array if self._given is None else self._given)[:2]

    def _edited(self) -> bool:
        return self._tensor is not None and self._tensor._version != self._version

    def _rgb(self) -> RgbArray:
        if self._array is None:
            if self._av is not None:
                self._array = _pixels.rgb_from_yuv(self._av, self._color)
            else:
                self._array = _pixels.rgb_from_any(self._given)
        return self._array

    def _rgb_now(self) -> RgbArray:
        """RGB as it is now, in-place changes of the tensor included."""
        return _pixels.rgb_from_any(self._tensor) if self._edited() else self._rgb()


class AudioFrame:
    """Some milliseconds of sound with their time.

    `samples` is a NumPy array as PyAV gives it: [channels, n] for planar formats (`fltp`, `s16p`), [1, n · channels]
    for packed ones (`flt`, `s16`). `timestamp` is in units of `time_base` seconds; `rate` in Hz; `nb_samples` counts
    samples per channel.
    """

    __slots__ = ("_av", "_samples", "format", "layout", "nb_samples", "rate", "side_data", "time_base", "timestamp")

    def __init__(self, frame: av.AudioFrame, timestamp: int | None = None, time_base: Fraction | None = None) -> None:
        """A frame from a decoded `av.AudioFrame`."""
        self._av = frame
        self._samples: np.ndarray[Any, Any] | None = None
        self.format: str = frame.format.name
        self.layout: str = frame.layout.name
        self.rate: int = frame.rate
        self.nb_samples: int = frame.samples
        self.timestamp: int = (frame.pts or 0) if timestamp is None else timestamp
        self.time_base: Fraction = time_base or frame.time_base or Fraction(1, self.rate)
        self.side_data = SimpleNamespace()

    @property
    def samples(self) -> np.ndarray[Any, Any]:
        """The sound; writable, in-place changes count."""
        if self._samples is None:
            self._samples = self._av.to_ndarray()
        return self._samples

    @property
    def seconds(self) -> float:
        """Presentation time in seconds."""
        return float(self.timestamp * self.time_base)

    def replace_samples(self, samples: np.ndarray[Any, Any]) -> AudioFrame:
        """A new frame with this one's time, rate and layout and other sound, in this frame's array shape.

        Raises ValueError when the shape doesn't fit the format and layout. Another dtype is converted: full scale is
        -1..1 for floats, which are clamped for integer formats, and the whole range for integers.
        """
        samples = np.asarray(samples)
        channels = len(self._av.layout.channels)
        rows = channels if self._av.format.is_planar else 1
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
        frame = self._av if self._samples is None else self.replace_samples(self._samples)._av
        frame.pts, frame.time_base = self.timestamp, self.time_base
        return frame

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
