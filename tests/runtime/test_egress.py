"""Chunks to trickle segments."""

from __future__ import annotations

import asyncio
import time

import pytest
from kit import WAIT, collect

from byoc_nb.media.encode import Chunk
from byoc_nb.runtime.egress import publish_segments
from byoc_nb.runtime.threads import CrossQueue
from byoc_nb.trickle import ChannelClosed, TrickleError, TrickleSubscriber


def queue(*chunks, close=True):
    made = CrossQueue(1 << 20, weigh=lambda item: len(item[0].data))
    for data, opens in chunks:
        made.put((Chunk(data, opens), time.monotonic()))
    if close:
        made.close()
    return made


async def test_each_opening_chunk_begins_a_segment_and_the_end_deletes_the_channel(trickle):
    url, sent = trickle.channel("out"), []
    reading = asyncio.create_task(collect(url))
    await publish_segments(url, queue((b"a", True), (b"b", False), (b"c", True), (b"d", True)), sent=sent.append)
    assert await asyncio.wait_for(reading, WAIT) == [b"ab", b"c", b"d"]
    assert len(sent) == 4
    assert trickle.server.names() == []


async def test_a_stream_that_was_stopped_leaves_the_channel_to_its_owner(trickle):
    await publish_segments(trickle.channel("out"), queue((b"a", True)), done=lambda: False)
    assert trickle.server.names() == ["out"]


async def test_bytes_before_the_first_opening_chunk_are_left_out(trickle):
    url = trickle.channel("out")
    reading = asyncio.create_task(collect(url))
    await publish_segments(url, queue((b"x", False), (b"a", True)))
    assert await asyncio.wait_for(reading, WAIT) == [b"a"]


async def test_every_byte_goes_at_once_not_with_its_segment(trickle):
    url, chunks = trickle.channel("out"), queue((b"first", True), close=False)
    publishing = asyncio.create_task(publish_segments(url, chunks))
    async with TrickleSubscriber(url) as channel:
        segment = await asyncio.wait_for(anext(channel), WAIT)
        assert await asyncio.wait_for(anext(segment), WAIT) == b"first"
        await chunks.aput((Chunk(b"second"), 0.0))
        assert await asyncio.wait_for(anext(segment), WAIT) == b"second"
    chunks.close()
    await asyncio.wait_for(publishing, WAIT)


async def test_a_segment_that_fails_is_left_out_and_the_next_is_a_fresh_start(trickle):
    url, chunks, failed = trickle.channel("out"), queue((b"a", True), close=False), []
    publishing = asyncio.create_task(publish_segments(url, chunks, failed=failed.append))
    async with TrickleSubscriber(url) as channel:
        await anext(await anext(channel))
        trickle.server._channels.find("out").delete_segment(0)
        for _ in range(200):
            await chunks.aput((Chunk(b"b"), 0.0))
            await asyncio.sleep(0.005)
            if failed:
                break
        await chunks.aput((Chunk(b"lost"), 0.0))
        await chunks.aput((Chunk(b"c", True), 0.0))
        chunks.close()
        await asyncio.wait_for(publishing, WAIT)
        rest = [await segment.read() async for segment in channel]
    assert len(failed) == 1
    assert rest[-1] == b"c"


async def test_a_channel_that_never_was(trickle):
    chunks = queue((b"a", True), close=False)
    publishing = asyncio.create_task(publish_segments(f"{trickle.base}/nothing", chunks))
    with pytest.raises(TrickleError):
        async with asyncio.timeout(WAIT):
            while not publishing.done():
                await chunks.aput((Chunk(b"b"), 0.0))
                await chunks.aput((Chunk(b"c", True), 0.0))
                await asyncio.sleep(0.01)
            await publishing


async def test_a_channel_that_is_closed_meanwhile_ends_it(trickle):
    url, chunks = trickle.channel("out"), queue((b"a", True), close=False)
    publishing = asyncio.create_task(publish_segments(url, chunks))
    async with TrickleSubscriber(url) as channel:
        await anext(await anext(channel))
    trickle.server.close("out")
    with pytest.raises(ChannelClosed):
        async with asyncio.timeout(WAIT):
            while not publishing.done():
                await chunks.aput((Chunk(b"b", True), 0.0))
                await asyncio.sleep(0.01)
            await publishing
