"""A browser's pictures as a source."""

from __future__ import annotations

import asyncio
import threading
from fractions import Fraction

import av
import numpy as np
import pytest
from feed_kit import playing
from kit import CLOCK, auntil

from byoc_nb.network.source import Source
from byoc_nb.network.sources.webcam import WebcamFeed

pytestmark = pytest.mark.usefixtures("no_thread_left")


def jpeg(level=100, size=(96, 64)):
    frame = av.VideoFrame.from_ndarray(np.full((size[1], size[0], 3), level, np.uint8), format="rgb24")
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = *size, "yuvj420p", Fraction(1, 30)
    return b"".join(map(bytes, encoder.encode(frame.reformat(format="yuvj420p"))))


def announced(width, height, marker=0xC0):
    """A JPEG that says that it is of this size."""
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0")
    data[at + 1] = marker
    data[at + 5 : at + 9] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


async def pushed(made, data, count=1):
    """Push one after the other, each when the one before was sent."""
    for _ in range(count):
        before = made.source.frames_sent
        assert made.source.push(data)
        await auntil(lambda before=before: made.source.frames_sent > before)


async def test_pictures_are_shown_when_they_come(trickle):
    source = Source("webcam")
    assert source.describe().items() >= {"kind": "webcam", "spec": "webcam", "size": None, "seekable": False}.items()
    async with playing(trickle, source) as made:
        await pushed(made, jpeg(80))
        await asyncio.sleep(0.3)  # the camera is off for a while
        assert source.frames_sent == 1 and made.error is None
        await pushed(made, jpeg(160, (200, 50)))
        await pushed(made, jpeg(160, (40, 400)))
    assert [round(float(picture.array.mean()) / 10) * 10 for picture in made.pictures] == [80, 160, 160]
    assert {(picture.width, picture.height) for picture in made.pictures} == {(96, 64)}
    first, second, third = (picture.timestamp for picture in made.pictures)
    assert first == 0 and 0.3 * CLOCK <= second < 3 * CLOCK and second < third
    assert not made.sounds


async def test_what_can_not_be_decoded_is_counted_and_left_out(trickle):
    whole = jpeg()
    async with playing(trickle, Source("webcam")) as made:
        await pushed(made, whole)
        for bad in (b"", b"\xff\xd8", b"GIF89a", whole[:60], announced(96, 64, marker=0xC2), b"\xff\xda" * 9 + whole):
            assert not made.source.push(bad)
        nothing = bytearray(whole)
        nothing[whole.index(b"\xff\xc0") + 9] = 0  # how many components it has
        made.source.push(bytes(nothing))
        await auntil(lambda: made.source.describe()["damaged"] == 7)
        await pushed(made, whole)
    assert len(made.pictures) == 2


@pytest.mark.parametrize("size", [(65535, 65535), (4097, 100), (100, 4097), (0, 64), (1, 1)])
def test_a_size_that_is_too_much_is_refused_unread(size):
    feed = WebcamFeed()
    assert not feed.push(announced(*size))
    assert feed.counts == {"dropped": 1, "damaged": 0}


def test_too_many_bytes_and_too_many_pictures_are_refused():
    feed = WebcamFeed()
    assert not feed.push(jpeg() + b"\0" * (4 << 20))
    taken = sum(feed.push(jpeg()) for _ in range(200))
    assert taken == 60
    assert feed.counts["dropped"] == 1 + 140 + 59, "the newest one waits"


async def test_many_threads_push(trickle):
    data = jpeg()
    async with playing(trickle, Source("webcam")) as made:
        threads = [threading.Thread(target=lambda: [made.source.push(data) for _ in range(50)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        await auntil(lambda: made.source.frames_sent)
    times = [picture.timestamp for picture in made.pictures]
    assert times == sorted(set(times))


async def test_the_largest_picture_and_a_size_that_was_asked_for(trickle):
    async with playing(trickle, Source("webcam", size=(128, 72))) as made:
        await pushed(made, jpeg(size=(4096, 4096)))
    assert (made.pictures[0].width, made.pictures[0].height) == (128, 72)
