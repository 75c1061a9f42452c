"""Pixels between YUV, arrays and tensors: layouts, dtypes, colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import ColorRange
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from byoc_nb.frames import colors, pixels
from byoc_nb.frames.colors import BT601, BT709, Color

CLIP = Path(__file__).parents[2] / "notebooks" / "bigbuckbunny.mp4"
COLORS = [Color(BT601, False), Color(BT601, True), Color(BT709, False), Color(BT709, True)]


def natural() -> av.VideoFrame:
    with av.open(str(CLIP)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == 40:
                return frame
    raise AssertionError("the clip is short")


def pattern() -> av.VideoFrame:
    graph = av.filter.Graph()
    source = graph.add("testsrc2", "size=320x240:rate=1")
    sink = graph.add("buffersink")
    source.link_to(sink)
    graph.configure()
    frame = graph.pull()
    assert isinstance(frame, av.VideoFrame)
    return frame.reformat(format="yuv420p")


def in_color(frame: av.VideoFrame, color: Color) -> av.VideoFrame:
    """The picture with its YUV samples made for another colour."""
    rgb = colors.rgb_from_yuv(frame, colors.color_of(frame))
    return colors.yuv_from_rgb(rgb, color)


# ---- colours


@pytest.mark.parametrize("color", COLORS)
def test_a_picture_keeps_its_colours_through_rgb_and_back(color: Color) -> None:
    for picture in (natural(), pattern()):
        source = in_color(picture, color)
        rgb = colors.rgb_from_yuv(source, color)
        back = colors.yuv_from_rgb(rgb, color)
        again = colors.rgb_from_yuv(back, color)
        change = np.abs(again.astype(int) - rgb)
        assert change.mean() < 2
        luma = np.abs(back.to_ndarray()[: source.height].astype(int) - source.to_ndarray()[: source.height])
        assert luma.mean() < 2
        assert np.percentile(luma, 99) <= 4


@pytest.mark.parametrize("color", COLORS)
@pytest.mark.parametrize("rgb", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (128, 128, 128)])
def test_plain_colours_survive_within_two_steps(color: Color, rgb: tuple[int, int, int]) -> None:
    plain = np.full((32, 32, 3), rgb, np.uint8)
    yuv = colors.yuv_from_rgb(plain, color)
    assert np.abs(colors.rgb_from_yuv(yuv, color).astype(int) - plain).max() <= 2


def test_matrix_and_range_make_a_difference() -> None:
    """Reading red as the wrong colour must be visible, or the tests above would prove nothing."""
    red = np.full((32, 32, 3), (255, 0, 0), np.uint8)
    yuv = colors.yuv_from_rgb(red, Color(BT601, False))
    right = colors.rgb_from_yuv(yuv, Color(BT601, False)).astype(int)
    assert np.abs(colors.rgb_from_yuv(yuv, Color(BT709, False)) - right).max() > 10
    assert np.abs(colors.rgb_from_yuv(yuv, Color(BT601, True)) - right).max() > 10


@pytest.mark.parametrize(
    ("height", "matrix", "expected"),
    [
        (480, 2, BT601),
        (719, 2, BT601),
        (720, 2, BT709),
        (1080, 2, BT709),
        (1080, 5, BT601),
        (1080, 6, BT601),
        (480, 1, 1),
    ],
)
def test_untagged_pictures_get_the_matrix_of_their_size(height: int, matrix: int, expected: int) -> None:
    frame = av.VideoFrame(64, height, "yuv420p")
    frame.colorspace = matrix
    assert colors.color_of(frame) == Color(expected, False)


def test_full_range_is_known_by_its_tag_or_its_format() -> None:
    frame = av.VideoFrame(64, 64, "yuv420p")
    frame.color_range = ColorRange.JPEG
    assert colors.color_of(frame).full_range
    assert colors.color_of(av.VideoFrame(64, 64, "yuvj420p")).full_range


def test_a_yuv_picture_of_the_right_size_is_not_copied() -> None:
    frame = av.VideoFrame(64, 48, "yuv420p")
    color = Color(BT601, False)
    assert colors.yuv420p(frame, (64, 48), color, color) is frame
    resized = colors.yuv420p(frame, (32, 24), color, color)
    assert (resized.width, resized.height, resized.format.name) == (32, 24, "yuv420p")


# ---- layouts


RGB = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)


@pytest.mark.parametrize("kind", ["array", "tensor"])
@pytest.mark.parametrize("shape", ["hwc", "bhwc", "chw", "bchw", "rgba", "argb planes", "not contiguous"])
def test_every_layout_gives_the_same_picture(kind: str, shape: str) -> None:
    alpha = np.full((5, 7, 1), 9, np.uint8)
    data = {
        "hwc": RGB,
        "bhwc": RGB[None],
        "chw": RGB.transpose(2, 0, 1),
        "bchw": RGB.transpose(2, 0, 1)[None],
        "rgba": np.concatenate([RGB, alpha], axis=2),
        "argb planes": np.concatenate([RGB, alpha], axis=2).transpose(2, 0, 1),
        "not contiguous": np.repeat(RGB, 2, axis=1)[:, ::2],
    }[shape]
    given_ = torch.from_numpy(data.copy()) if kind == "tensor" else data
    rgb = pixels.rgb_from_any(given_)
    assert np.array_equal(rgb, RGB)
    assert rgb.flags.c_contiguous
    assert rgb.flags.writeable
    assert not np.shares_memory(rgb, data)
    floats = pixels.floats_from_any(given_)
    assert np.array_equal(floats, RGB / np.float32(255))
    assert floats.dtype == np.float32


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1), (1, 5, 7), (1, 1, 5, 7), (1, 5, 7, 1)])
def test_grey_is_repeated_to_three_channels(shape: tuple[int, ...]) -> None:
    grey = RGB[..., 0]
    expected = np.repeat(grey[..., None], 3, axis=2)
    data = grey.reshape(shape)
    assert np.array_equal(pixels.rgb_from_any(data), expected)
    assert np.array_equal(pixels.rgb_from_any(torch.from_numpy(data.copy())), expected)
    assert pixels.floats_from_any(data).shape == (5, 7, 3)


@pytest.mark.parametrize("shape", [(5,), (5, 7, 2), (2, 5, 7), (2, 5, 7, 3), (1, 1, 5, 7, 3), (5, 7, 5), ()])
def test_another_shape_is_refused_and_told(shape: tuple[int, ...]) -> None:
    for data in (np.zeros(shape, np.uint8), torch.zeros(shape)):
        with pytest.raises(ValueError, match=r"\[H, W, C\]") as caught:
            pixels.rgb_from_any(data)
        assert str(list(shape)) in str(caught.value)


# ---- dtypes


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_float_arrays_are_rounded_and_clamped(dtype: Any) -> None:
    data = np.array([[[0.0, 1.0, 0.5], [-3.0, 2.0, 1e9 if dtype != np.float16 else 1e4]]], dtype)
    assert pixels.rgb_from_any(data).tolist() == [[[0, 255, 128], [0, 255, 255]]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_float_tensors_are_rounded_and_clamped(dtype: torch.dtype) -> None:
    data = torch.tensor([[[0.0, 1.0, 0.5], [-3.0, 2.0, 1e4]]], dtype=dtype)
    assert pixels.rgb_from_any(data).tolist() == [[[0, 255, 128], [0, 255, 255]]]
    assert pixels.floats_from_any(data).tolist() == [[[0.0, 1.0, 0.5], [0.0, 1.0, 1.0]]]


@pytest.mark.parametrize("dtype", [torch.uint16, torch.int16, torch.int32, torch.int64])
def test_integers_are_clamped_to_a_byte(dtype: torch.dtype) -> None:
    data = torch.tensor([[[0, 255, 300]]]).to(dtype)
    for picture in (data, data.numpy()):
        assert pixels.rgb_from_any(picture).tolist() == [[[0, 255, 255]]]
        assert pixels.floats_from_any(picture).tolist() == [[[0.0, 1.0, 1.0]]]


def test_signed_bytes_and_negative_integers_become_black() -> None:
    data = torch.tensor([[[-5, 0, 127]]], dtype=torch.int8)
    for picture in (data, data.numpy()):
        assert pixels.rgb_from_any(picture).tolist() == [[[0, 0, 127]]]


def test_bool_is_black_and_white() -> None:
    data = np.array([[True, False]])
    for picture in (data, torch.from_numpy(data)):
        assert pixels.rgb_from_any(picture)[0, :, 0].tolist() == [255, 0]
        assert pixels.floats_from_any(picture)[0, :, 0].tolist() == [1.0, 0.0]


def test_not_a_number_becomes_black_without_a_warning() -> None:
    data = np.full((2, 2, 3), np.nan, np.float32)
    for picture in (data, torch.from_numpy(data)):
        assert not pixels.rgb_from_any(picture).any()


@pytest.mark.parametrize(
    "data",
    [
        np.zeros((2, 2, 3), complex),
        np.zeros((2, 2, 3), object),
        np.zeros((2, 2, 3), "U1"),
        np.zeros((2, 2, 3), "M8[s]"),
        torch.zeros(2, 2, 3, dtype=torch.complex64),
    ],
)
def test_what_is_no_number_is_refused(data: Any) -> None:
    with pytest.raises(ValueError, match="not "):
        pixels.rgb_from_any(data)


@pytest.mark.parametrize("data", [None, [[1, 2, 3]], "picture", b"\0\0\0", 5])
def test_what_is_no_array_is_refused_by_its_type(data: Any) -> None:
    with pytest.raises(ValueError, match=f"not {type(data).__name__}"):
        pixels.rgb_from_any(data)


def test_a_tensor_with_a_gradient_is_taken() -> None:
    assert pixels.rgb_from_any(torch.ones(2, 2, 3, requires_grad=True)).min() == 255


@given(
    npst.arrays(np.uint8, npst.array_shapes(min_dims=2, max_dims=2, min_side=5, max_side=9)), st.sampled_from([1, 3])
)
def test_bytes_survive_the_way_through_a_float_tensor(grey: np.ndarray[Any, Any], channels: int) -> None:
    picture = np.repeat(grey[..., None], channels, axis=2)
    floats = pixels.floats_from_any(picture)
    assert np.array_equal(pixels.rgb_from_any(floats), np.broadcast_to(grey[..., None], (*grey.shape, 3)))


@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy], ids=["array", "tensor"])
def test_floats_that_go_to_255_are_refused_instead_of_being_white(make) -> None:
    picture = np.full((32, 48, 3), 90.0, np.float32)
    with pytest.raises(ValueError, match="float pictures go from 0 to 1, this one is 90 on average"):
        pixels.rgb_from_any(make(picture))
    assert pixels.rgb_from_any(make(picture / 90)).min() == 255
    assert pixels.rgb_from_any(make(picture / 60)).min() == 255  # overshoot is clamped


@pytest.mark.parametrize("layout", ["hwc", "chw", "grey", "wide grey"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
def test_a_picture_of_many_blocks_is_converted_whole(layout: str, dtype: Any) -> None:
    rng = np.random.default_rng(1)
    shape = {"hwc": (300, 401, 3), "chw": (3, 300, 401), "grey": (300, 401), "wide grey": (2, 200_000)}[layout]
    floats = rng.random(shape).astype(dtype) * 1.4 - 0.2
    expected = np.clip(floats.astype(np.float64) * 255 + 0.5, 0, 255).astype(int)
    if layout == "chw":
        expected = expected.transpose(1, 2, 0)
    elif layout != "hwc":
        expected = np.repeat(expected[..., None], 3, axis=2)
    assert np.abs(pixels.rgb_from_any(floats) - expected).max() <= 1  # a half may go either way
    assert (pixels.rgb_from_any(floats) == expected).mean() > 0.999


def test_bytes_in_place_are_not_copied_unless_that_is_asked_for() -> None:
    rgb = np.zeros((4, 6, 3), np.uint8)
    assert np.shares_memory(pixels.rgb_from_any(rgb, copy=False), rgb)
    assert np.shares_memory(pixels.rgb_from_any(torch.from_numpy(rgb), copy=False), rgb)
    assert not np.shares_memory(pixels.rgb_from_any(rgb), rgb)
