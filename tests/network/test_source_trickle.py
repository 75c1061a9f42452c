"""Another trickle channel as a source."""

from __future__ import annotations

import asyncio

import pytest
from feed_kit import playing
from kit import number_of, publish, segments

from byoc_nb.network.source import Source, SourceError
from byoc_nb.network.sources import trickle as trickle_source

pytestmark = pytest.mark.usefixtures("no_thread_left")


async def opened(url, **options):
    return await asyncio.to_thread(Source, f"trickle+{url}", **options)


async def test_a_channel_is_played_from_its_newest_segment_to_its_end(trickle):
    url = trickle.channel("far")
    parts = segments(4.0, start=900_000)
    await publish(url, parts[:1], end=False)
    source = await opened(url)
    assert source.describe().items() >= {"kind": "trickle", "seekable": False}.items()
    async with playing(trickle, source, to_its_end=True) as made:
        await publish(url, parts[1:])
    assert made.error is None
    assert [number_of(picture) for picture in made.pictures] == list(range(120))
    assert made.pictures[0].timestamp == 0
    assert [picture.timestamp for picture in made.pictures] == [3000 * n for n in range(120)]
    assert made.sounds


async def test_a_channel_whose_clock_starts_anew_and_damage(trickle):
    url = trickle.channel("far")
    await publish(url, segments(2.0, start=900_000), end=False)
    source = await opened(url, size=(64, 64))
    damaged = bytearray(segments(2.0)[0])
    damaged[5000:9000] = bytes(4000)
    async with playing(trickle, source, to_its_end=True) as made:
        await publish(url, [segments(2.0)[0], bytes(damaged), b"rubbish" * 100])
    times = [picture.timestamp for picture in made.pictures]
    assert times == sorted(set(times)) and len(times) > 120
    assert {(picture.width, picture.height) for picture in made.pictures} == {(64, 64)}


async def test_what_is_no_channel(trickle, monkeypatch):
    monkeypatch.setattr(trickle_source, "OPEN_SECONDS", 0.3)
    for url, said in (
        (f"{trickle.base}/nowhere", "there is no channel"),
        (trickle.channel("silent"), "nothing came from"),
    ):
        with pytest.raises(SourceError, match=said):
            await opened(url)


async def test_a_server_that_is_away():
    at = asyncio.get_running_loop().time()
    with pytest.raises(SourceError, match="can't be read") as caught:
        await opened("http://me:s3cret@127.0.0.1:9/x?token=s3cret")
    assert "s3cret" not in caught.value.one_line()
    assert asyncio.get_running_loop().time() - at < 5
