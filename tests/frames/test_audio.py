"""AudioFrame: lazy, writable in place, every sample format."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import av
import numpy as np
import pytest
import torch

from byoc_nb.frames import AudioFrame


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
