"""Pixels between their three forms: decoded YUV (`av.VideoFrame`), RGB arrays (uint8 [H, W, 3]) and tensors.

torch is used only when a tensor is handed in, never imported from here otherwise.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import av
import numpy as np
from av.video.reformatter import ColorRange, VideoReformatter
from numpy.typing import NDArray

BT709, BT601 = 1, 5  # matrix numbers of ITU-T H.273, as libavutil and libswscale use them
_BT601_FAMILY = frozenset({4, 5, 6})
HD_LINES = 720  # from this height on, untagged video is taken for BT.709, as players do

SAMPLED = 16  # every how many pixels are looked at, each way, to tell what a picture's values mean

RgbArray = NDArray[np.uint8]


class Color(NamedTuple):
    """How YUV samples of a stream are to be read: matrix (ITU-T H.273 number) and whether the range is full."""

    matrix: int
    full_range: bool

    @property
    def range(self) -> int:
        return ColorRange.JPEG if self.full_range else ColorRange.MPEG


def color_of(frame: av.VideoFrame) -> Color:
    """The colour of a decoded frame; untagged frames get the convention of their size, limited range."""
    matrix = frame.colorspace
    if matrix in _BT601_FAMILY:
        matrix = BT601
    elif matrix != BT709:
        matrix = BT709 if frame.height >= HD_LINES else BT601
    return Color(matrix, frame.color_range == ColorRange.JPEG or frame.format.name.startswith("yuvj"))


_local = threading.local()


def _reformat(frame: av.VideoFrame, **how: Any) -> av.VideoFrame:
    # One reformatter a thread keeps libswscale's context from frame to frame; one thread beats several here.
    # Its quick way to RGB comes out one step of 255 darker; the exact one (ACCURATE_RND | FULL_CHR_H_INT) takes 3.2
    # instead of 0.4 ms at 1280x720.
    reformatter = getattr(_local, "reformatter", None)
    if reformatter is None:
        reformatter = _local.reformatter = VideoReformatter()
    result: av.VideoFrame = reformatter.reformat(frame, threads=1, **how)
    return result


def rgb_from_yuv(frame: av.VideoFrame, color: Color) -> RgbArray:
    """RGB uint8 [H, W, 3], a new array."""
    rgb = _reformat(
        frame, format="rgb24", src_colorspace=color.matrix, dst_colorspace=color.matrix, src_color_range=color.range
    )
    return rgb.to_ndarray()  # type: ignore[return-value]  # rgb24 is always uint8


def yuv_from_rgb(frame: av.VideoFrame, color: Color, size: tuple[int, int]) -> av.VideoFrame:
    """An rgb24 frame as yuv420p of `size` (width, height)."""
    return _reformat(
        frame,
        width=size[0],
        height=size[1],
        format="yuv420p",
        src_colorspace=color.matrix,
        dst_colorspace=color.matrix,
        src_color_range=ColorRange.JPEG,
        dst_color_range=color.range,
    )


def yuv_resized(frame: av.VideoFrame, size: tuple[int, int]) -> av.VideoFrame:
    """A YUV frame as yuv420p of `size` (width, height); the same object when it is that already."""
    if frame.format.name == "yuv420p" and (frame.width, frame.height) == size:
        return frame
    return _reformat(frame, width=size[0], height=size[1], format="yuv420p")


def picture_shape(data: Any) -> tuple[int, int, int]:
    """(height, width, channels) of an array or tensor in any layout that `rgb_from_any` takes."""
    return _layout(data)[1]


def _layout(data: Any) -> tuple[str, tuple[int, int, int]]:
    """Which of "hwc", "chw", "hw" the data is (after the batch axis), and its picture shape; raises ValueError."""
    if not hasattr(data, "shape") or not hasattr(data, "dtype"):
        raise ValueError(f"a picture is a torch tensor or a NumPy array, not {type(data).__name__}")
    if not _is_number(data.dtype):
        raise ValueError(f"a picture has numbers from 0 to 1 or whole ones from 0 to 255, not {data.dtype}")
    shape = tuple(int(n) for n in data.shape)
    if len(shape) == 4 and shape[0] == 1:
        shape = shape[1:]
    if len(shape) == 3 and shape[2] in (1, 3, 4):
        return "hwc", (shape[0], shape[1], shape[2])
    if len(shape) == 3 and shape[0] in (1, 3, 4):
        return "chw", (shape[1], shape[2], shape[0])
    if len(shape) == 2:
        return "hw", (shape[0], shape[1], 1)
    raise ValueError(
        f"a picture has shape [H, W, C], [C, H, W], [1, H, W, C], [1, C, H, W] or [H, W] with 1, 3 or 4 channels, "
        f"not {list(data.shape)}"
    )


def _is_number(dtype: Any) -> bool:
    """Whether a NumPy or torch dtype is bool, integer or float."""
    if isinstance(dtype, np.dtype):
        return dtype.kind in "biuf"
    return not (dtype.is_complex or str(dtype).startswith("torch.q"))  # quantized ones have scales of their own


def rgb_from_any(data: Any) -> RgbArray:
    """A torch tensor or NumPy array in any accepted layout and dtype as RGB uint8 [H, W, 3], always a new array.

    Floats are taken as 0..1 and clamped, integers as 0..255 and clamped, bool as black and white. Grey is repeated
    to three channels, alpha is dropped. A tensor may be on any device.
    """
    layout, (height, width, channels) = _layout(data)
    is_tensor = not isinstance(data, np.ndarray)
    picture = data.detach() if is_tensor else data
    if picture.ndim == 4:
        picture = picture[0]
    if layout == "chw":
        picture = picture.permute(1, 2, 0) if is_tensor else picture.transpose(1, 2, 0)
    elif layout == "hw":
        picture = picture.reshape(height, width, 1)
    array = _uint8_from_tensor(picture[..., :3]) if is_tensor else _uint8_from_array(picture[..., :3])
    if channels == 1:
        array = np.repeat(array, 3, axis=2)
    return np.ascontiguousarray(array)


def tensor_from_any(data: Any) -> Any:
    """A torch tensor or NumPy array in any accepted layout and dtype as torch float32 [1, H, W, 3] on the CPU.

    Always new memory, clamped to 0..1.
    """
    import torch

    # An inference tensor has no version counter, by which in-place changes are noticed.
    with torch.inference_mode(False), torch.no_grad():
        tensor = torch.from_numpy(data) if isinstance(data, np.ndarray) else data.detach()
        layout, (height, width, channels) = _layout(tensor)
        if tensor.ndim == 4:
            tensor = tensor[0]
        if layout == "chw":
            tensor = tensor.permute(1, 2, 0)
        tensor = tensor.reshape(height, width, channels)[..., :3].expand(height, width, 3)
        result = tensor.to(device="cpu", dtype=torch.float32, copy=True).unsqueeze_(0)
        if not tensor.is_floating_point() and tensor.dtype != torch.bool:
            result.div_(255.0)
        return result if tensor.dtype == torch.uint8 else result.clamp_(0.0, 1.0)


def _refuse_bytes_as_floats(sample: Any) -> None:
    """Floats are 0..1; those of a picture in 0..255 would all be white, which tells nobody what is wrong."""
    if sample.size if isinstance(sample, np.ndarray) else sample.numel():
        mean = float(sample.mean())
        if 2.0 < mean <= 255.0:  # brighter than any overshoot of a picture in 0..1
            raise ValueError(
                f"float pictures go from 0 to 1, this one is {mean:.0f} on average: divide it by 255, or make it uint8"
            )


def _uint8_from_tensor(picture: Any) -> RgbArray:
    import torch

    if picture.dtype == torch.uint8:
        pixels = picture.clone() if picture.device.type == "cpu" else picture
    elif picture.dtype == torch.bool:
        pixels = picture.to(torch.uint8) * 255
    elif picture.is_floating_point():
        _refuse_bytes_as_floats(picture[::SAMPLED, ::SAMPLED].to(torch.float32))
        # +0.5 and truncation is rounding; multiplied in float32 because half precision can't hold 255 steps
        pixels = picture.to(torch.float32).mul(255.0).add_(0.5).clamp_(0.0, 255.0).to(torch.uint8)
    else:
        pixels = picture.to(torch.int64).clamp_(0, 255).to(torch.uint8)  # torch clamps no uint16, and no int8 to 255
    array: RgbArray = pixels.cpu().numpy()
    return array


def _uint8_from_array(picture: NDArray[Any]) -> RgbArray:
    if picture.dtype == np.uint8:
        return picture.copy()
    if picture.dtype == np.bool_:
        return picture.astype(np.uint8) * np.uint8(255)
    if not np.issubdtype(picture.dtype, np.floating):
        return picture.astype(np.int64).clip(0, 255).astype(np.uint8)  # int8 can't be clipped to 255
    with np.errstate(invalid="ignore", over="ignore"):
        _refuse_bytes_as_floats(picture[::SAMPLED, ::SAMPLED])
        # NaN becomes black, as in torch; too much becomes white
        scaled = np.multiply(picture, np.float32(255.0), dtype=np.float32, casting="same_kind")
        scaled += np.float32(0.5)
        array: RgbArray = np.clip(scaled, 0.0, 255.0, out=scaled).astype(np.uint8)
        return array
