"""Pictures in the layouts and types that processors hand over, as RGB arrays (uint8 [H, W, 3]) and float tensors.

torch is used only when a tensor is handed in or asked for, never imported from here otherwise. The arithmetic is
NumPy's: at 1280x720 it takes half of torch's time, whose operators each go over the whole picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from byoc_nb.frames import transfer
from byoc_nb.frames.colors import RgbArray

SAMPLED = 16  # every how many pixels are looked at, each way, to tell what a picture's values mean
BLOCK = 1 << 17  # floats converted at a time, so that what is between two steps stays in the processor's cache


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


def rgb_from_any(data: Any, *, copy: bool = True) -> RgbArray:
    """A torch tensor or NumPy array in any accepted layout and dtype as RGB uint8 [H, W, 3].

    Floats are taken as 0..1 and clamped, integers as 0..255 and clamped, bool as black and white. Grey is repeated
    to three channels, alpha is dropped. A tensor may be on any device. Without `copy`, a picture that is RGB uint8
    already stays where it is.
    """
    picture = _array(data)
    if not copy and picture.dtype == np.uint8 and picture.shape[2] == 3 and _is_in_order(picture):
        return picture
    rgb = np.empty((*picture.shape[:2], 3), np.uint8)
    if picture.dtype == np.uint8:
        rgb[...] = picture
    elif picture.dtype == np.bool_:
        np.multiply(picture, np.uint8(255), out=rgb)
    elif picture.dtype.kind in "iu":
        rgb[...] = _clipped(picture)
    else:
        _refuse_bytes_as_floats(picture)
        for floats, pixels in _blocks(picture, rgb):
            _round_floats(floats, pixels)
    return rgb


def floats_from_any(data: Any) -> NDArray[np.float32]:
    """A torch tensor or NumPy array in any accepted layout and dtype as RGB float32 [H, W, 3] in 0..1, a new array."""
    picture = _array(data)
    floats = np.empty((*picture.shape[:2], 3), np.float32)
    if picture.dtype == np.bool_:
        floats[...] = picture
    elif picture.dtype.kind in "iu":
        pixels = picture if picture.dtype == np.uint8 else _clipped(picture)
        np.divide(pixels, np.float32(255.0), out=floats)
    else:
        np.clip(picture, 0.0, 1.0, out=floats, casting="same_kind")
    return floats


def hwc(data: Any) -> Any:
    """The same picture, array or tensor, as a view [H, W, 1 or 3]."""
    layout, (height, width, _) = _layout(data)
    picture = data[0] if data.ndim == 4 else data
    if layout == "chw":
        picture = picture.swapaxes(0, 1).swapaxes(1, 2)
    elif layout == "hw":
        picture = picture.reshape(height, width, 1)
    return picture[..., :3]


def _array(data: Any) -> NDArray[Any]:
    """The picture as an array [H, W, 1 or 3] on the CPU, a view wherever that can be."""
    picture = hwc(data)
    array: NDArray[Any] = picture if isinstance(picture, np.ndarray) else transfer.to_array(picture)
    return array


def _is_in_order(picture: NDArray[Any]) -> bool:
    """Whether line follows line and pixel pixel, as libav takes them: neither flipped nor repeated."""
    return picture.strides[1:] == (3, 1) and picture.strides[0] >= picture.shape[1] * 3


def _clipped(picture: NDArray[Any]) -> RgbArray:
    return picture.astype(np.int64).clip(0, 255).astype(np.uint8)  # int8 can't be clipped to 255


def _refuse_bytes_as_floats(picture: NDArray[Any]) -> None:
    """Floats are 0..1; those of a picture in 0..255 would all be white, which tells nobody what is wrong."""
    with np.errstate(invalid="ignore", over="ignore"):
        mean = float(picture[::SAMPLED, ::SAMPLED].mean(dtype=np.float64)) if picture.size else 0.0
    if 2.0 < mean <= 255.0:  # brighter than any overshoot of a picture in 0..1
        raise ValueError(
            f"float pictures go from 0 to 1, this one is {mean:.0f} on average: divide it by 255, or make it uint8"
        )


def _blocks(picture: NDArray[Any], rgb: RgbArray) -> Iterator[tuple[NDArray[Any], NDArray[np.uint8]]]:
    """Both cut into pieces of some lines; where the picture's channels lie apart, each goes by itself."""
    if picture.shape[2] == 3 and picture.strides[2] > picture.strides[1]:
        for channel in range(3):
            yield from _blocks(picture[..., channel : channel + 1], rgb[..., channel : channel + 1])
        return
    step = max(1, BLOCK // max(1, picture[0].size)) if len(picture) else 1
    for line in range(0, len(picture), step):
        yield picture[line : line + step], rgb[line : line + step]


def _round_floats(floats: NDArray[Any], pixels: NDArray[np.uint8]) -> None:
    """0..1 to 0..255; NaN becomes black, as in torch, too much becomes white."""
    with np.errstate(invalid="ignore", over="ignore"):
        scaled = np.multiply(floats, np.float32(255.0), dtype=np.float32, casting="same_kind")
        scaled += np.float32(0.5)  # and truncation is rounding
        np.clip(scaled, 0.0, 255.0, out=scaled)
        pixels[...] = scaled  # a cast; grey goes to three channels
