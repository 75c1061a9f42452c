"""Between decoded YUV (`av.VideoFrame`) and RGB arrays (uint8 [H, W, 3]), by the stream's own matrix and range."""

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
    # One reformatter a thread and direction keeps libswscale's context from frame to frame; one thread beats several
    # here. Its quick way to RGB comes out one step of 255 darker; the exact one (ACCURATE_RND | FULL_CHR_H_INT) takes
    # 3.2 instead of 0.3 ms at 1280x720.
    reformatters = _local.__dict__
    reformatter = reformatters.setdefault(how["format"], None) or VideoReformatter()
    reformatters[how["format"]] = reformatter
    result: av.VideoFrame = reformatter.reformat(frame, threads=1, **how)
    return result


def rgb_from_yuv(frame: av.VideoFrame, color: Color) -> RgbArray:
    """RGB uint8 [H, W, 3] in new memory, not copied out of libav's: lines may be padded."""
    rgb = _reformat(
        frame, format="rgb24", src_colorspace=color.matrix, dst_colorspace=color.matrix, src_color_range=color.range
    )
    plane = rgb.planes[0]
    if rgb is frame:  # it was rgb24 already, and stays its owner's
        return rgb.to_ndarray().copy()  # type: ignore[return-value]  # rgb24 is always uint8
    lines: RgbArray = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    lines = lines[: rgb.height, : rgb.width * 3]
    return lines.reshape(rgb.height, rgb.width, 3)


def yuv_from_rgb(rgb: RgbArray, color: Color) -> av.VideoFrame:
    """RGB uint8 [H, W, 3] as yuv420p in new memory; an odd last line or column, which yuv420p can't have, is left out.

    Raises ValueError for a picture smaller than 2x2.
    """
    height, width = rgb.shape[0] & ~1, rgb.shape[1] & ~1
    if not height or not width:
        raise ValueError(f"a picture of {rgb.shape[1]}x{rgb.shape[0]} is too small to encode")
    return _reformat(
        av.VideoFrame.from_numpy_buffer(rgb[:height, :width], format="rgb24"),
        width=width,
        height=height,
        format="yuv420p",
        src_colorspace=color.matrix,
        dst_colorspace=color.matrix,
        src_color_range=ColorRange.JPEG,
        dst_color_range=color.range,
    )


def yuv420p(frame: av.VideoFrame, size: tuple[int, int], color: Color, wanted: Color) -> av.VideoFrame:
    """A YUV frame of `color` as yuv420p of `size` (width, height) and of another colour; the same object if it is."""
    if frame.format.name == "yuv420p" and (frame.width, frame.height) == size and color == wanted:
        return frame
    return _reformat(
        frame,
        width=size[0],
        height=size[1],
        format="yuv420p",
        src_colorspace=color.matrix,
        dst_colorspace=wanted.matrix,
        src_color_range=color.range,
        dst_color_range=wanted.range,
    )
