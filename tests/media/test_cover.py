"""Pictures scaled to cover a size and cropped in the middle."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest

from byoc_nb.frames import VideoFrame
from byoc_nb.media.cover import Cover


def flat(size, colour=(128, 128, 128), format="yuv420p", **how):
    rgb = np.empty((size[1], size[0], 3), np.uint8)
    rgb[:] = colour
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=format, **how)
    return timed(frame)


def timed(frame):
    frame.pts, frame.time_base = 9000, Fraction(1, 90_000)
    return frame


def disc(size):
    """A white disc in the middle, half as high as the picture."""
    y, x = np.mgrid[: size[1], : size[0]]
    inside = (x - size[0] / 2) ** 2 + (y - size[1] / 2) ** 2 < (size[1] / 4) ** 2
    rgb = np.repeat((inside * 255).astype(np.uint8)[..., None], 3, axis=2)
    return timed(av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24").reformat(format="yuv420p"))


def test_a_picture_of_the_size_is_passed_as_it_is():
    frame = flat((320, 240))
    assert Cover((320, 240))(frame) is frame


@pytest.mark.parametrize("source", [(1280, 720), (720, 1280), (100, 500), (333, 217)])
@pytest.mark.parametrize("wanted", [(512, 512), (640, 360), (64, 48)])
def test_the_size_is_exact_and_the_aspect_is_kept(source, wanted):
    result = Cover(wanted)(disc(source))
    assert (result.width, result.height) == wanted
    white = np.asarray(VideoFrame(result).array)[..., 1] > 128
    columns, rows = np.flatnonzero(white.any(axis=0)), np.flatnonzero(white.any(axis=1))
    wide, high = len(columns), len(rows)
    if wide < wanted[0] and high < wanted[1]:
        assert abs(wide - high) <= 0.06 * high + 2, "a disc stays a disc"
    pixel = max(1.0, wanted[0] / source[0], wanted[1] / source[1])  # of the source, in those of the result
    assert abs(columns.mean() - (wanted[0] - 1) / 2) <= pixel + 1, "the middle stays the middle"
    assert abs(rows.mean() - (wanted[1] - 1) / 2) <= pixel + 1


def test_an_odd_size_gives_the_even_one_below():
    result = Cover((321, 241))(flat((640, 480)))
    assert (result.width, result.height) == (320, 240)


def test_time_is_kept():
    result = Cover((64, 64))(flat((640, 480)))
    assert (result.pts, result.time_base.denominator) == (9000, 90_000)


@pytest.mark.parametrize("size", [(1280, 720), (640, 480)])
@pytest.mark.parametrize("wanted", [(512, 512), (1280, 960)])
def test_colours_are_those_of_the_untagged_original(size, wanted):
    """HD is read as BT.709, SD as BT.601: scaling from one to the other must not change a colour."""
    frame = flat(size, (220, 40, 90), dst_colorspace=1 if size[1] >= 720 else 5)
    before, after = VideoFrame(frame), VideoFrame(Cover(wanted)(frame))
    assert after.color == before.color
    assert np.abs(before.array[9, 9].astype(int) - after.array[9, 9]).max() <= 2
    assert np.abs(after.array[9, 9].astype(int) - (220, 40, 90)).max() <= 4


def test_full_range_stays_full_range():
    frame = flat((640, 480), (255, 255, 255), format="yuvj420p", dst_color_range=2)
    result = VideoFrame(Cover((320, 320))(frame))
    assert result.color.full_range
    assert result.array[100, 100].min() >= 252


def test_sizes_and_formats_may_change_from_picture_to_picture():
    cover = Cover((128, 128))
    for size, format in (((640, 480), "yuv420p"), ((480, 640), "yuv420p"), ((640, 480), "yuv422p")):
        result = cover(flat(size, (10, 200, 30), format=format))
        assert (result.width, result.height) == (128, 128)
        assert np.abs(VideoFrame(result).array[60, 60].astype(int) - (10, 200, 30)).max() <= 6
