"""VideoFrame: a lazy view of a decoded picture, with the names that pytrickle's users know.

A decoded video frame stays in YUV until a view is asked for: `array` and `tensor_uint8` (bytes) or `tensor` (float32).
A frame that nobody touched goes to the encoder as it came. Frames are never changed by this package once a processor
has them, so a processor may keep them as long as it likes.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from byoc_nb.frames import colors, pixels, transfer
from byoc_nb.frames.colors import Color, RgbArray

if TYPE_CHECKING:
    import torch

MPEG_TIME_BASE = Fraction(1, 90_000)  # MPEG-TS clock, the time base of every live frame
DEFAULT_COLOR = Color(colors.BT601, False)  # of pictures that come without one


class _View:
    """A tensor that was handed out; torch counts in-place changes of it."""

    __slots__ = ("_version", "tensor")

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor, self._version = tensor, tensor._version

    @property
    def edited(self) -> bool:
        return self.tensor._version != self._version


class VideoFrame:
    """One picture with its time.

    `timestamp` is the presentation time in units of `time_base` seconds (90 kHz ticks for live frames).
    `side_data` takes any attribute; what `replace_tensor` and `replace_array` return shares it.
    """

    __slots__ = (
        "_av",
        "_bytes",
        "_color",
        "_device",
        "_floats",
        "_given",
        "_given_view",
        "_rgb",
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
        self._given: Any = None  # the tensor or array that is the picture, in its maker's own layout
        self._given_view: _View | None = None  # of a tensor of ours that was changed and became the picture
        self._rgb: RgbArray | None = None  # converted from either
        self._bytes: _View | None = None  # `tensor_uint8`
        self._floats: _View | None = None  # `tensor`
        self._device: Any = "cpu"  # where the tensors are
        self._color = DEFAULT_COLOR
        self.timestamp = timestamp
        self.time_base = time_base
        self.log_timestamps = dict(log_timestamps or {})
        self.side_data = SimpleNamespace()
        if isinstance(tensor, av.VideoFrame):
            self._av, self._color = tensor, colors.color_of(tensor)
        else:
            pixels.picture_shape(tensor)
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
        view = self._pixels_now().view()
        view.flags.writeable = False
        return view

    @property
    def tensor_uint8(self) -> torch.Tensor:
        """RGB torch uint8 [H, W, 3], 0..255, on the CPU or where `to` put it; converted once, then kept.

        At 1280x720 a processor that works on bytes costs a third of one that works on floats. In-place changes count,
        as with `tensor`.
        """
        self._edited()
        if self._floats_edited:
            self._commit()
        if self._bytes is None:
            self._bytes = _View(_tracked(lambda: transfer.upload(self._pixels_now(), self._device)))
        return self._bytes.tensor

    @property
    def tensor(self) -> torch.Tensor:
        """RGB torch float32 [1, H, W, 3] in 0..1, on the CPU or where `to` put it; converted once, then kept.

        In-place changes count: `frame.tensor[..., 1] += 0.2; return frame` sends the changed picture. torch doesn't see
        those made through `.numpy()` or `.data`: hand such a picture to `replace_tensor`.
        """
        self._edited()
        if self._bytes_edited and not self._floats_edited:
            self._commit()
        if self._floats is None:
            self._floats = _View(_tracked(self._make_floats))
        return self._floats.tensor

    def to(self, device: torch.device | str) -> VideoFrame:
        """This frame with its tensors on `device`, "cuda" for example: `frame.to("cuda").tensor`.

        The picture goes there as bytes, over pinned memory and on a CUDA stream of its own, and becomes floats there.
        """
        if self._edited() is not None:
            self._commit()
        picture = self._given if self._av is None else self._av
        frame = self._with(VideoFrame(picture, self.timestamp, self.time_base, self.log_timestamps))
        frame._device = device
        return frame

    # ---- what a processor makes

    def replace_tensor(self, tensor: torch.Tensor | np.ndarray[Any, Any]) -> VideoFrame:
        """A new frame with this one's time and another picture.

        Shapes: [1, H, W, C], [1, C, H, W], [H, W, C], [C, H, W] or [H, W] with C = 1, 3 or 4, of any size and on any
        device; float in 0..1, integer in 0..255 or bool, clamped. Raises ValueError for any other shape or dtype.
        The picture is taken when the processor returns: until then it must stay as it is.
        """
        return self._with(VideoFrame(tensor, self.timestamp, self.time_base, self.log_timestamps))

    replace_array = replace_tensor

    # ---- what the media path needs

    @property
    def color(self) -> Color:
        """Matrix and range that the encoder must keep for this frame."""
        return self._color

    def to_av(self) -> av.VideoFrame:
        """The picture for the encoder, in YUV: the decoder's own if nobody touched it, else in memory of its own."""
        if self._av is not None and self._edited() is None and not self._av.format.is_rgb:
            return self._av
        frame = colors.yuv_from_rgb(self._pixels_now(own=False), self._color)
        frame.pts, frame.time_base = self.timestamp, self.time_base
        return frame

    def to_bytes(self) -> bytes:
        """The picture as raw RGB24, H·W·3 bytes."""
        return self._pixels_now(own=False).tobytes()

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
        frame = av.VideoFrame.from_ndarray(pixels.rgb_from_any(tensor), format="rgb24")
        frame.pts, frame.time_base = self.timestamp, self.time_base
        return frame

    # ---- internals

    def _with(self, other: VideoFrame) -> VideoFrame:
        other.side_data = self.side_data
        if other._av is None:  # decoded pictures say themselves how they are to be read
            other._color = self._color
        return other

    def _shape(self) -> tuple[int, int]:
        if self._av is not None:
            return self._av.height, self._av.width
        return pixels.picture_shape(self._given)[:2]

    @property
    def _bytes_edited(self) -> bool:
        return self._bytes is not None and self._bytes.edited

    @property
    def _floats_edited(self) -> bool:
        return self._floats is not None and self._floats.edited

    def _edited(self) -> Any:
        """The tensor that was changed in place, None without one."""
        if self._given_view is not None and self._given_view.edited:  # once more, after other views were made of it
            self._given_view = _View(self._given_view.tensor)
            self._rgb = self._bytes = self._floats = None
        if self._floats is not None and self._floats.edited:
            return self._floats.tensor
        return self._bytes.tensor if self._bytes is not None and self._bytes.edited else None

    def _commit(self) -> None:
        """The changed tensor is the picture now: what is asked for next is made from it."""
        self._given, self._av = self._edited(), None
        self._given_view = _View(self._given)
        self._rgb = self._bytes = self._floats = None

    def _pixels_now(self, *, own: bool = True) -> RgbArray:
        """RGB as it is now, in-place changes included; for a moment's reading it may be the maker's own memory."""
        edited = self._edited()
        if edited is not None:
            return pixels.rgb_from_any(edited, copy=False)
        if self._rgb is None:
            if self._av is not None:
                self._rgb = colors.rgb_from_yuv(self._av, self._color)
            elif own:
                self._rgb = pixels.rgb_from_any(self._given)
            else:
                return pixels.rgb_from_any(self._given, copy=False)
        return self._rgb

    def _make_floats(self) -> torch.Tensor:
        import torch

        device, given = torch.device(self._device), self._given
        if device.type == "cpu":
            return torch.from_numpy(pixels.floats_from_any(self._pixels_now() if given is None else given)[None])
        if given is None or isinstance(given, np.ndarray):
            picture = transfer.upload(self._pixels_now(), device)
        else:
            picture = pixels.hwc(given).to(device)
        floats: torch.Tensor = transfer.floats(picture)
        return floats


def _tracked(make: Callable[[], torch.Tensor]) -> torch.Tensor:
    """A tensor whose in-place changes torch counts, also where a processor is in inference mode."""
    import torch

    with torch.inference_mode(False), torch.no_grad():
        return make()
