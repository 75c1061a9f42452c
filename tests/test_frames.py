"""VideoFrame and AudioFrame: lazy, read-only where they must be, in place where they may be."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
import torch

from byoc_nb.frames import MPEG_TIME_BASE, AudioFrame, VideoFrame


def decoded(width: int = 64, height: int = 48, pixel_format: str = "yuv420p") -> av.VideoFrame:
    ramp = np.linspace(0, 255, width * height * 3).astype(np.uint8).reshape(height, width, 3)
    return av.VideoFrame.from_ndarray(ramp, format="rgb24").reformat(format=pixel_format)


def live(width: int = 64, height: int = 48) -> VideoFrame:
    return VideoFrame(decoded(width, height), 9000)


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
    sent = frame.to_av()
    assert sent.format.name == "rgb24"
    assert (sent.to_ndarray()[..., 1] == 255).all()
    assert (sent.pts, sent.time_base) == (9000, MPEG_TIME_BASE)
    assert set(frame.to_bytes()[1::3]) == {255}


def test_a_tensor_changed_in_place_in_inference_mode_is_sent() -> None:
    frame = live()
    with torch.inference_mode():
        frame.tensor.fill_(0.0)
    assert not frame.to_av().to_ndarray().any()


def test_changes_through_a_view_count() -> None:
    frame = live()
    frame.tensor[0, ..., 0].detach().zero_()
    assert not frame.to_av().to_ndarray()[..., 0].any()


def test_a_change_after_the_bytes_were_taken_is_sent_too() -> None:
    frame = live()
    frame.to_bytes()
    frame.tensor.zero_()
    frame.to_av()
    frame.tensor.fill_(1.0)
    assert frame.to_av().to_ndarray().min() == 255


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
    assert made.to_av().to_ndarray().min() == 255
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


def test_a_frame_made_of_an_array_keeps_its_own_copy() -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    frame = VideoFrame(pixels)
    pixels[:] = 255
    assert not frame.array.any()


def test_a_frame_made_in_rgb_by_pyav_is_sent_as_rgb() -> None:
    red = np.full((4, 4, 3), (255, 0, 0), np.uint8)
    for pixel_format in ("rgb24", "bgr24", "rgba", "gbrp"):
        picture = av.VideoFrame.from_ndarray(red, format="rgb24").reformat(format=pixel_format)
        frame = VideoFrame(picture)
        assert np.array_equal(frame.array, red)
        assert frame.to_av().format.name == "rgb24"
        assert np.array_equal(frame.to_av().to_ndarray(), red)


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


# ---- sound


def sound(pixel_format: str = "fltp", layout: str = "stereo", samples: int = 8) -> AudioFrame:
    dtype = np.dtype(av.audio.frame.format_dtypes[pixel_format])
    planar = pixel_format.endswith("p")
    channels = 1 if layout == "mono" else 2
    shape = (channels, samples) if planar else (1, channels * samples)
    frame = av.AudioFrame.from_ndarray(np.zeros(shape, dtype), format=pixel_format, layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = 48_000, 4800, Fraction(1, 48_000)
    return AudioFrame(frame)


FORMATS = ["flt", "fltp", "dbl", "dblp", "s16", "s16p", "s32", "s32p", "u8", "u8p"]


def test_what_a_sound_frame_says_of_itself() -> None:
    frame = sound()
    assert (frame.format, frame.layout, frame.rate, frame.nb_samples) == ("fltp", "stereo", 48_000, 8)
    assert frame.seconds == 0.1
    assert repr(frame) == "AudioFrame(8 samples, stereo, 48000 Hz at 0.100 s)"


@pytest.mark.parametrize("sample_format", FORMATS)
@pytest.mark.parametrize("layout", ["mono", "stereo"])
def test_samples_have_the_shape_of_their_format_and_can_be_replaced(sample_format: str, layout: str) -> None:
    frame = sound(sample_format, layout)
    channels = 1 if layout == "mono" else 2
    planar = sample_format.endswith("p")
    assert frame.samples.shape == ((channels, 8) if planar else (1, 8 * channels))
    made = frame.replace_samples(np.ones_like(frame.samples))
    assert np.array_equal(made.samples, np.ones_like(frame.samples))
    assert (made.format, made.layout, made.rate, made.nb_samples) == (sample_format, layout, 48_000, 8)
    assert (made.timestamp, made.time_base) == (frame.timestamp, frame.time_base)
    assert made.side_data is frame.side_data
    sent = made.to_av()
    assert (sent.pts, sent.sample_rate, sent.samples) == (4800, 48_000, 8)


def test_an_untouched_sound_goes_to_the_encoder_as_it_came() -> None:
    frame = av.AudioFrame.from_ndarray(np.zeros((2, 8), np.float32), format="fltp", layout="stereo")
    frame.sample_rate = 48_000
    assert AudioFrame(frame, 5, Fraction(1, 48_000)).to_av() is frame


def test_samples_changed_in_place_are_sent() -> None:
    frame = sound()
    frame.samples[1] = 0.25
    assert frame.to_av().to_ndarray().tolist() == [[0.0] * 8, [0.25] * 8]


def test_more_or_fewer_samples_are_taken() -> None:
    assert sound().replace_samples(np.zeros((2, 3), np.float32)).nb_samples == 3


def test_one_row_will_do_for_mono_and_for_packed_sound() -> None:
    assert sound("fltp", "mono").replace_samples(np.zeros(5, np.float32)).nb_samples == 5
    assert sound("s16", "stereo").replace_samples(np.zeros(6, np.int16)).nb_samples == 3


def test_a_list_or_a_tensor_will_do() -> None:
    assert sound("fltp", "mono").replace_samples([[0.5, -0.5]]).samples.tolist() == [[0.5, -0.5]]  # type: ignore[arg-type]
    assert sound().replace_samples(torch.ones(2, 4)).samples.shape == (2, 4)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("sample_format", "layout", "shape"),
    [
        ("fltp", "stereo", (1, 8)),
        ("fltp", "stereo", (8, 2)),
        ("fltp", "stereo", (8,)),
        ("flt", "stereo", (2, 8)),
        ("flt", "stereo", (1, 7)),
        ("fltp", "mono", (1, 1, 8)),
    ],
)
def test_samples_of_another_shape_are_refused(sample_format: str, layout: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=f"{sample_format} {layout} frame have shape"):
        sound(sample_format, layout).replace_samples(np.zeros(shape, np.float32))


@pytest.mark.parametrize(
    ("sample_format", "given", "sent"),
    [
        ("s16", np.float32([1.0, -1.0, 0.5, 0.0, 3.0, -3.0]), [32767, -32768, 16384, 0, 32767, -32768]),
        ("s32", np.float64([1.0, -1.0]), [2**31 - 1, -(2**31)]),
        ("u8", np.float32([1.0, -1.0, 0.0]), [255, 0, 128]),
        ("flt", np.int16([-32768, 16384, 0]), [-1.0, 0.5, 0.0]),
        ("flt", np.uint8([0, 128]), [-1.0, 0.0]),
        ("s32", np.int16([1, -2]), [65536, -131072]),
        ("s16", np.int32([65536, -131072]), [1, -2]),
        ("dbl", np.float32([0.25]), [0.25]),
        ("s16", np.float32([np.nan]), [0]),
    ],
)
def test_another_dtype_is_brought_to_the_formats_full_scale(
    sample_format: str, given: np.ndarray[Any, Any], sent: list[float]
) -> None:
    assert sound(sample_format, "mono").replace_samples(given).samples[0].tolist() == sent


def test_samples_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="floats or integers"):
        sound("flt", "mono").replace_samples(np.zeros(4, complex))


def test_a_sound_without_time_begins_at_zero() -> None:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 8), np.float32), format="fltp", layout="mono")
    frame.sample_rate = 8000
    assert AudioFrame(frame).timestamp == 0
    assert AudioFrame(frame, 8000).seconds == 1.0
