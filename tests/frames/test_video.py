"""VideoFrame: lazy, read-only where it must be, in place where it may be."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
import torch

from byoc_nb.frames import MPEG_TIME_BASE, VideoFrame, colors


def decoded(width: int = 64, height: int = 48, pixel_format: str = "yuv420p") -> av.VideoFrame:
    ramp = np.linspace(0, 255, width * height * 3).astype(np.uint8).reshape(height, width, 3)
    return av.VideoFrame.from_ndarray(ramp, format="rgb24").reformat(format=pixel_format)


def live(width: int = 64, height: int = 48) -> VideoFrame:
    return VideoFrame(decoded(width, height), 9000)


def sent(frame: VideoFrame) -> np.ndarray[Any, Any]:
    """What the encoder gets, as RGB."""
    return colors.rgb_from_yuv(frame.to_av(), frame.color)


# ---- lazy


def test_an_untouched_frame_goes_to_the_encoder_as_it_came() -> None:
    picture = decoded()
    frame = VideoFrame(picture, 9000)
    assert frame.to_av() is picture


def test_looking_at_a_frame_doesnt_touch_it() -> None:
    picture = decoded()
    frame = VideoFrame(picture, 9000)
    assert frame.array.mean() > 0
    assert frame.tensor.mean() > 0
    assert len(frame.to_bytes()) == 64 * 48 * 3
    assert frame.to_av() is picture


def test_views_are_converted_once() -> None:
    frame = live()
    assert frame.tensor is frame.tensor
    assert np.shares_memory(frame.array, frame.array)


def test_size_time_and_words() -> None:
    frame = live()
    assert (frame.width, frame.height, frame.timestamp, frame.time_base) == (64, 48, 9000, MPEG_TIME_BASE)
    assert frame.seconds == 0.1
    assert repr(frame) == "VideoFrame(64x48 at 0.100 s)"


# ---- what a processor reads


def test_the_array_is_rgb_bytes_and_read_only() -> None:
    array = live().array
    assert (array.shape, array.dtype) == ((48, 64, 3), np.uint8)
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0, 0] = 1


def test_a_copy_of_the_array_can_be_drawn_on() -> None:
    frame = live()
    drawn = frame.array.copy()
    drawn[:] = 7
    assert frame.replace_array(drawn).array.max() == 7
    assert frame.array.max() > 7


def test_the_tensor_is_float_rgb_from_0_to_1() -> None:
    frame = live()
    tensor = frame.tensor
    assert (tensor.shape, tensor.dtype, tensor.device.type) == ((1, 48, 64, 3), torch.float32, "cpu")
    assert 0 <= float(tensor.min()) < 0.1
    assert 0.9 < float(tensor.max()) <= 1
    assert torch.equal(tensor[0], torch.from_numpy(frame.array.copy()).float() / 255)


def test_bytes_are_the_array_in_order() -> None:
    frame = live()
    assert frame.to_bytes() == frame.array.tobytes()


# ---- in place


def test_a_tensor_changed_in_place_is_sent() -> None:
    frame = live()
    frame.tensor[..., 1] = 1.0
    picture = frame.to_av()
    assert (picture.format.name, picture.pts, picture.time_base) == ("yuv420p", 9000, MPEG_TIME_BASE)
    assert sent(frame)[..., 1].min() > 240
    assert set(frame.to_bytes()[1::3]) == {255}


def test_a_tensor_changed_in_place_in_inference_mode_is_sent() -> None:
    frame = live()
    with torch.inference_mode():
        frame.tensor.fill_(0.0)
    assert sent(frame).max() <= 1


def test_changes_through_a_view_count() -> None:
    frame = live()
    frame.tensor[0, ..., 0].detach().zero_()
    assert sent(frame)[..., 0].mean() < 10


def test_a_change_after_the_bytes_were_taken_is_sent_too() -> None:
    frame = live()
    frame.to_bytes()
    frame.tensor.zero_()
    frame.to_av()
    frame.tensor.fill_(1.0)
    assert sent(frame).min() >= 253


def test_changing_a_frames_tensor_leaves_its_replacement_alone() -> None:
    frame = live()
    made = frame.replace_tensor(frame.tensor + 0.0)
    frame.tensor.zero_()
    assert made.array.max() > 200


# ---- what a processor makes


def test_a_replaced_frame_keeps_its_time_its_side_data_and_its_colour() -> None:
    frame = VideoFrame(decoded(), 12345, Fraction(1, 1000), {"received": 1.5})
    frame.side_data.score = 3
    made = frame.replace_tensor(torch.zeros(1, 48, 64, 3))
    assert (made.timestamp, made.time_base, made.log_timestamps) == (12345, Fraction(1, 1000), {"received": 1.5})
    assert made.side_data is frame.side_data
    assert made.color == frame.color
    assert made.to_av().pts == 12345


def test_log_timestamps_are_copied() -> None:
    frame = VideoFrame(decoded(), 1, log_timestamps={"a": 1.0})
    made = frame.replace_tensor(torch.zeros(1, 48, 64, 3))
    made.log_timestamps["b"] = 2.0
    assert frame.log_timestamps == {"a": 1.0}


@pytest.mark.parametrize(
    "dtype", [torch.uint8, torch.bool, torch.float16, torch.bfloat16, torch.float32, torch.float64]
)
@pytest.mark.parametrize(
    "shape", [(1, 48, 64, 3), (48, 64, 3), (3, 48, 64), (1, 3, 48, 64), (48, 64), (48, 64, 1), (48, 64, 4), (4, 48, 64)]
)
def test_replace_tensor_takes_every_layout_and_dtype(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    made = live().replace_tensor(torch.full(shape, 255 if dtype == torch.uint8 else 1).to(dtype))
    assert (made.width, made.height) == (64, 48)
    assert made.array.min() == 255
    assert sent(made).min() >= 253
    assert made.tensor.shape == (1, 48, 64, 3)
    assert float(made.tensor.min()) == 1.0


def test_values_are_clamped() -> None:
    made = live().replace_tensor(torch.tensor([-4.0, 0.5, 9.0]).expand(48, 64, 3))
    assert made.array[0, 0].tolist() == [0, 128, 255]
    assert made.tensor[0, 0, 0].tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("bad", [torch.zeros(2, 48, 64, 3), torch.zeros(48, 64, 2), torch.zeros(7)])
def test_another_shape_is_refused_with_the_shape(bad: torch.Tensor) -> None:
    with pytest.raises(ValueError, match=r"not \[") as caught:
        live().replace_tensor(bad)
    assert str(list(bad.shape)) in str(caught.value)


@pytest.mark.parametrize("bad", [None, [[0]], torch.zeros(4, 4, 3, dtype=torch.complex64), np.zeros((4, 4, 3), "U1")])
def test_what_is_no_picture_is_refused_when_it_is_handed_in(bad: Any) -> None:
    with pytest.raises(ValueError, match="not "):
        live().replace_tensor(bad)


@pytest.mark.parametrize(("size", "sent"), [((33, 17), (32, 16)), ((64, 17), (64, 16)), ((2, 2), (2, 2))])
def test_an_odd_size_loses_its_last_line_or_column_on_the_way_out(size: tuple[int, int], sent: tuple[int, int]) -> None:
    made = live().replace_tensor(torch.rand(1, size[1], size[0], 3))
    assert (made.width, made.height) == size
    picture = made.to_av()
    assert (picture.width, picture.height) == sent


def test_a_picture_too_small_to_encode_is_refused_with_its_size() -> None:
    with pytest.raises(ValueError, match="1x5"):
        live().replace_tensor(torch.rand(5, 1, 3)).to_av()


def test_the_picture_is_taken_when_it_goes_to_the_encoder() -> None:
    """So a processor may use one output buffer for all its frames."""
    for buffer in (np.zeros((32, 32, 3), np.uint8), torch.zeros(32, 32, 3), torch.zeros(32, 32, 3, dtype=torch.uint8)):
        frame = live().replace_tensor(buffer)
        buffer[...] = 1 if isinstance(buffer, torch.Tensor) and buffer.is_floating_point() else 255
        picture = frame.to_av()
        buffer[...] = 0
        assert colors.rgb_from_yuv(picture, frame.color).min() >= 253


def test_pictures_that_pyav_made_in_rgb_are_read_exactly_and_sent_in_yuv() -> None:
    red = np.full((4, 4, 3), (255, 0, 0), np.uint8)
    for pixel_format in ("rgb24", "bgr24", "rgba", "gbrp"):
        picture = av.VideoFrame.from_ndarray(red, format="rgb24").reformat(format=pixel_format)
        frame = VideoFrame(picture)
        assert np.array_equal(frame.array, red)
        assert np.abs(sent(frame).astype(int) - red).max() <= 2


@pytest.mark.parametrize("width", [64, 66, 130, 638])
def test_lines_that_libav_pads_are_read_right(width: int) -> None:
    picture = decoded(width, 48)
    frame = VideoFrame(picture)
    assert np.array_equal(frame.array, picture.to_ndarray(format="rgb24", src_colorspace=5, src_color_range=1))
    assert torch.equal(frame.tensor_uint8, torch.from_numpy(frame.array.copy()))
    assert torch.equal(frame.tensor[0], frame.tensor_uint8.float() / 255)
    assert len(frame.to_bytes()) == width * 48 * 3


# ---- bytes as a tensor


def test_tensor_uint8_is_rgb_bytes_and_shares_the_arrays_memory() -> None:
    frame = live()
    pixels = frame.tensor_uint8
    assert (pixels.shape, pixels.dtype, pixels.device.type) == ((48, 64, 3), torch.uint8, "cpu")
    assert np.array_equal(pixels.numpy(), frame.array)
    assert np.shares_memory(pixels.numpy(), frame.array)
    assert frame.tensor_uint8 is pixels


def test_looking_at_the_bytes_doesnt_touch_a_frame() -> None:
    picture = decoded()
    frame = VideoFrame(picture)
    frame.tensor_uint8.sum()
    assert frame.to_av() is picture


def test_bytes_changed_in_place_are_sent_and_seen_by_the_other_views() -> None:
    frame = live()
    frame.tensor.mean()
    frame.tensor_uint8.fill_(255)
    assert frame.array.min() == 255
    assert float(frame.tensor.min()) == 1.0
    assert sent(frame).min() >= 253


def test_the_tensor_asked_for_last_goes_on_from_what_was_changed_before() -> None:
    frame = live()
    frame.tensor.fill_(1.0)
    frame.tensor_uint8[..., 0] = 0
    assert frame.array[0, 0].tolist() == [0, 255, 255]
    frame.tensor[..., 1] = 0.0
    assert frame.array[0, 0].tolist() == [0, 0, 255]
    assert frame.replace_tensor(frame.tensor_uint8).array[0, 0].tolist() == [0, 0, 255]


def test_changing_the_bytes_leaves_the_makers_array_alone() -> None:
    mine = np.zeros((4, 4, 3), np.uint8)
    frame = live().replace_array(mine)
    frame.tensor_uint8.fill_(9)
    assert not mine.any()
    assert frame.array.max() == 9


def test_a_kept_frame_stays_as_it_is() -> None:
    """A processor may keep frames: no buffer is used twice while somebody has it."""
    kept = [VideoFrame(av.VideoFrame.from_ndarray(np.full((32, 32, 3), n * 8, np.uint8)), n) for n in range(1, 30)]
    views = [(frame.array, frame.tensor, frame.tensor_uint8) for frame in kept]
    for n, (array, tensor, pixels) in enumerate(views, 1):
        assert array.min() == array.max() == pixels.min() == n * 8
        assert float(tensor.min()) == float(tensor.max()) == pytest.approx(n * 8 / 255)


def test_flipped_and_repeated_pictures_are_taken() -> None:
    frame = live()
    upside_down = frame.replace_array(frame.array[::-1])
    assert np.abs(sent(upside_down).astype(int) - sent(frame)[::-1]).mean() < 3
    assert sent(frame.replace_array(np.broadcast_to(np.full((1, 64, 3), 200, np.uint8), (48, 64, 3)))).min() > 190


def test_frames_of_one_picture_do_not_change_each_other() -> None:
    frame = live()
    before = frame.array.copy()
    frame.to("cpu").tensor_uint8.zero_()
    assert np.array_equal(frame.array, before)
    owned = av.VideoFrame.from_ndarray(np.full((4, 4, 3), 100, np.uint8), format="rgb24")
    VideoFrame(owned).tensor_uint8.zero_()
    assert owned.to_ndarray().mean() == 100


def test_a_tensor_that_is_changed_again_after_another_view_counts() -> None:
    frame = live()
    tensor = frame.tensor
    tensor.zero_()
    frame.tensor_uint8.sum()
    tensor.fill_(1.0)
    assert sent(frame).min() >= 253
    assert frame.array.min() == 255


# ---- devices


def test_to_keeps_picture_time_and_changes() -> None:
    frame = live()
    there = frame.to("cpu")
    assert (there.timestamp, there.side_data, there.color) == (frame.timestamp, frame.side_data, frame.color)
    assert torch.equal(there.tensor, frame.tensor)
    frame.tensor.fill_(1.0)
    assert float(frame.to("cpu").tensor.min()) == 1.0
    assert frame.to("cpu").to_av().format.name == "yuv420p"


needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@needs_cuda
def test_tensors_on_the_gpu_are_those_of_the_cpu() -> None:
    frame = live(130, 48)
    there = frame.to("cuda")
    assert there.tensor.device.type == there.tensor_uint8.device.type == "cuda"
    assert torch.equal(there.tensor_uint8.cpu(), frame.tensor_uint8)
    assert torch.allclose(there.tensor.cpu(), frame.tensor)
    assert there.to_av() is frame.to_av()


@needs_cuda
def test_pictures_come_back_from_the_gpu() -> None:
    frame = live().to("cuda")
    made = frame.replace_tensor(1.0 - frame.tensor)
    assert np.abs(made.array.astype(int) - (255 - live().array.astype(int))).max() <= 1
    frame.tensor_uint8.fill_(7)
    assert frame.array.max() == 7
    assert frame.replace_tensor(torch.full((3, 48, 64), 0.5, device="cuda", dtype=torch.float16)).array.max() == 128
    with pytest.raises(ValueError, match="divide it by 255"):
        frame.replace_tensor(torch.full((48, 64, 3), 90.0, device="cuda")).to_av()


@needs_cuda
def test_gpu_copies_of_many_frames_do_not_run_into_each_other() -> None:
    frames = [VideoFrame(np.full((480, 640, 3), n, np.uint8)) for n in range(60)]
    tensors = [frame.to("cuda").tensor_uint8 for frame in frames]
    made = [frames[n].replace_tensor(tensor).array for n, tensor in enumerate(tensors)]
    assert [int(array.max()) for array in made] == [int(array.min()) for array in made] == list(range(60))


# ---- pytrickle's constructors


def test_pytrickles_constructors_give_frames() -> None:
    frame, tensor = live(), torch.ones(1, 48, 64, 3)
    assert VideoFrame.from_tensor(tensor, 5).seconds == 5.0
    assert VideoFrame.from_av_video(tensor, 90, Fraction(1, 90)).seconds == 1.0
    assert frame.to_av_frame(tensor).to_ndarray().min() == 255
    other = VideoFrame.from_av_frame_with_timing(decoded(32, 16), frame)
    assert (other.width, other.timestamp) == (32, 9000)
    assert other.side_data is frame.side_data


def test_a_frame_from_pyav_is_read_by_its_own_colour_not_by_the_originals() -> None:
    full = decoded()
    full.colorspace, full.color_range = 1, 2
    other = VideoFrame.from_av_frame_with_timing(full, live())
    assert other.color == (1, True)
    assert np.array_equal(other.array, VideoFrame(full).array)


def test_arrays_and_bytes_need_no_torch() -> None:
    program = """
import sys, numpy as np
import byoc_nb
from byoc_nb.frames import VideoFrame
frame = VideoFrame(np.zeros((4, 4, 3), np.uint8))
frame.replace_array(255 - frame.array).to_av()
frame.to_bytes()
try:
    frame.replace_array([1])
except ValueError:
    pass
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)
