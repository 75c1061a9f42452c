"""A folder of images as a source."""

from __future__ import annotations

import logging

import av
import numpy as np
import pytest
from feed_kit import ffmpeg, playing
from kit import CLOCK

from byoc_nb.network.source import Source, SourceError

pytestmark = pytest.mark.usefixtures("no_thread_left")


def image(path, level, size=(96, 64)):
    picture = np.full((size[1], size[0], 3), level, np.uint8)
    av.VideoFrame.from_ndarray(picture, format="rgb24").save(str(path.with_suffix(".png")))
    if path.suffix != ".png":
        ffmpeg("-i", path.with_suffix(".png"), path)
        path.with_suffix(".png").unlink()


def levels(pictures):
    return [round(float(picture.array.mean()) / 10) * 10 for picture in pictures]


async def test_every_type_by_name_with_numbers_in_their_order_in_the_size_of_the_first(tmp_path, trickle):
    folder = tmp_path / "bilder ✓"
    folder.mkdir()
    sizes = [(96, 64), (200, 50), (31, 77), (640, 480), (2, 2)]
    for number, (suffix, size) in enumerate(zip(("png", "jpg", "webp", "bmp", "tif"), sizes, strict=True)):
        image(folder / f"{'Shot' if number % 2 else 'shot'}{number + 8}.{suffix}", 40 + 40 * number, size)
    (folder / "notes.txt").write_text("nothing")
    source = Source(str(folder), fps=25, loop=False)
    assert source.describe().items() >= {"kind": "images", "duration": 5 / 25, "size": [96, 64], "fps": 25}.items()
    async with playing(trickle, source, to_its_end=True) as made:
        pass
    assert levels(made.pictures) == [40, 80, 120, 160, 200]
    assert [picture.timestamp for picture in made.pictures] == [3600 * n for n in range(5)]
    assert {(picture.width, picture.height) for picture in made.pictures} == {(96, 64)}


async def test_an_image_is_shown_for_its_time_and_sent_again_meanwhile(tmp_path, trickle):
    for number in range(2):
        image(tmp_path / f"{number}.png", 60 + 60 * number)
    async with playing(trickle, Source(tmp_path, fps=5, loop=False), to_its_end=True) as made:
        pass
    assert levels(made.pictures) == [60, 60, 120, 120]
    assert made.pictures[-1].timestamp == 3 * CLOCK // 10
    assert Source(tmp_path).duration == 2.0, "a second each, where nothing is said"


async def test_what_can_not_be_read_is_left_out_with_one_warning(tmp_path, trickle, caplog):
    for number in range(3):
        image(tmp_path / f"{number}.png", 60 + 60 * number)
    whole = (tmp_path / "1.png").read_bytes()
    (tmp_path / "0.png").write_bytes(b"no image")
    (tmp_path / "1.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "3.jpg").write_bytes(b"")
    async with playing(trickle, Source(tmp_path, fps=50)) as made:
        await made.sent(10)
    assert set(levels(made.pictures)) >= {180}
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warned) == len(set(warned)) <= 3
    assert any("0.png is left out" in line for line in warned)


@pytest.mark.parametrize("names", [(), ("notes.txt",), ("a.png", "b.jpg")])
def test_a_folder_without_an_image(tmp_path, names):
    for name in names:
        (tmp_path / name).write_text("hello")
    with pytest.raises(SourceError, match=r"without images|no image in .* can be read") as caught:
        Source(tmp_path)
    assert "\n" not in caught.value.one_line()


async def test_a_seek_goes_to_an_image(tmp_path, trickle):
    for number in range(10):
        image(tmp_path / f"{number}.png", 20 + 20 * number)
    source = Source(tmp_path, fps=1)
    async with playing(trickle, source) as made:
        await made.sent(2)
        source.seek(7.5)
        await made.sent(2)
        assert 7.0 <= source.position < 8.0
    assert levels(made.pictures)[-1] == 160
    assert len(made.segments) == 2


async def test_a_cameras_picture_is_scaled_down(tmp_path):
    image(tmp_path / "huge.png", 100, (4000, 3000))
    source = Source(tmp_path)
    assert source.describe()["size"] == [1920, 1440]
    source.join(0)
