"""A hundred streams one after the other leave no thread, no task, no socket and no memory behind."""

from __future__ import annotations

import asyncio
import gc
import os
from pathlib import Path

import aiohttp
import pytest
from kit import WAIT, Trickle, auntil, decode, open_sockets, ours, segments

from byoc_nb import FrameProcessor, StreamServer, VideoFrame
from byoc_nb.trickle import TricklePublisher, TrickleSubscriber

ROUNDS = 100
WARM = 30  # rounds after which every buffer, cache and arena of the process has its size
GROWTH_BYTES = 12 << 20  # allowed over the other 70: far under one picture or one segment a round
PICTURES = 12
CHANNELS = {"in": "subscribe_url", "out": "publish_url", "control": "control_url", "events": "events_url"}
CHANNELS |= {"data": "data_url"}


class Negative(FrameProcessor):
    def process_video_async(self, frame: VideoFrame) -> VideoFrame:
        self.publish_data({"at": frame.timestamp})
        return frame.replace_array(255 - frame.array)


def resident() -> int:
    """Bytes of this process in memory."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def one_round(http: aiohttp.ClientSession, rest: str, trickle: Trickle, number: int, part: bytes) -> None:
    """Start, half a second of video through, stop, channels closed; as the orchestrator does it."""
    urls = {key: trickle.channel(f"{name}{number}") for name, key in CHANNELS.items()}
    body = {"gateway_request_id": f"round{number}", "params": {"strength": number}, **urls}
    async with http.post(f"{rest}/stream/start", json=body) as answer:
        assert answer.status == 200, await answer.text()
    async with TricklePublisher(urls["subscribe_url"]) as camera, TrickleSubscriber(urls["publish_url"]) as viewer:
        async with await camera.next() as segment:
            await segment.write(part)
        seen = b""
        async for chunk in await anext(viewer):
            seen += chunk
            if len(decode(seen)[0]) >= PICTURES - 1:  # the last may wait in its PES for the next
                break
    async with http.post(f"{rest}/stream/stop", data=b"stream ended") as answer:
        assert answer.status == 200
    for name in CHANNELS:
        trickle.server.close(f"{name}{number}")


@pytest.mark.usefixtures("no_thread_left")
async def test_a_hundred_rounds_leave_nothing_behind(trickle: Trickle) -> None:
    part = segments(PICTURES / 30)[0]
    server = StreamServer(Negative, host="127.0.0.1", port=0, policy="lossless")
    await server.start_server()
    await server.loaded()
    tasks = sockets = memory = 0
    async with aiohttp.ClientSession() as http:
        for number in range(ROUNDS):
            async with asyncio.timeout(WAIT):
                await one_round(http, f"http://127.0.0.1:{server.port}", trickle, number, part)
            if number == WARM - 1:
                await auntil(lambda: not trickle.server.stats.readers + trickle.server.stats.writers)
                await asyncio.sleep(0)
                tasks, sockets, memory = len(asyncio.all_tasks()), open_sockets(), resident()
        await auntil(lambda: ours() == ["byoc-processor"])
        await auntil(lambda: len(asyncio.all_tasks()) <= tasks)
        await auntil(lambda: open_sockets() <= sockets)
        assert resident() - memory < GROWTH_BYTES
    await server.stop()
