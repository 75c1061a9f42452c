"""The number in a picture: it survives codecs, RGB and being turned into its negative; and is never guessed."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import pytest
from kit import CLIP

from byoc_nb.bench.stamp import MAX_NUMBER, Stamp, burn, read


def real_picture(size: tuple[int, int] = (640, 480)) -> av.VideoFrame:
    with av.open(str(CLIP)) as container:
        return next(container.decode(video=0)).reformat(*size, format="yuv420p")


@pytest.mark.parametrize("size", [(1280, 720), (640, 480), (320, 180)])
@pytest.mark.parametrize("number", [0, 1, 12_345, MAX_NUMBER])
def test_a_number_is_read_as_it_was_burned(number: int, size: tuple[int, int]) -> None:
    assert read(burn(real_picture(size), number)) == Stamp(number, negative=False)


@pytest.mark.parametrize("number", [7, 0b1010_1010_1010_1010])
def test_it_survives_rgb_the_negative_and_a_bad_encoder(number: int) -> None:
    rgb = burn(real_picture(), number).to_ndarray(format="rgb24")
    negative = av.VideoFrame.from_ndarray(255 - rgb, format="rgb24").reformat(format="yuv420p")
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 640, 480, "yuv420p"
    encoder.time_base = Fraction(1, 30)
    encoder.options = {"crf": "40", "tune": "zerolatency", "preset": "ultrafast"}
    decoder = av.CodecContext.create("h264", "r")
    packets = [*encoder.encode(negative), *encoder.encode(None)]
    (picture,) = [picture for packet in [*packets, None] for picture in decoder.decode(packet)]
    assert read(picture) == Stamp(number, negative=True)


def test_the_rest_of_the_picture_stays_as_it_is() -> None:
    picture = real_picture()
    before, after = (frame.to_ndarray(format="yuv420p")[32:480] for frame in (picture, burn(picture, 5)))
    assert np.array_equal(before, after)


def test_a_picture_without_a_number_has_none() -> None:
    assert read(av.VideoFrame.from_ndarray(np.full((720, 640), 128, np.uint8), format="yuv420p")) is None


def test_a_damaged_number_is_refused() -> None:
    planes = burn(real_picture(), 4).to_ndarray(format="yuv420p")
    cell = 640 // 22
    planes[:32, 7 * cell : 8 * cell] = 190  # a bit that wasn't set
    assert read(av.VideoFrame.from_ndarray(planes, format="yuv420p")) is None
