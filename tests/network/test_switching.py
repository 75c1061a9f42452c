"""One source after the other on a running network."""

from __future__ import annotations

import asyncio
import itertools
import time

import av
import numpy as np
import pytest
from feed_kit import clip, descriptors
from kit import WAIT, auntil, ours
from test_source_webcam import jpeg

from byoc_nb.network.local import LocalNetwork
from byoc_nb.network.source import Source, SourceError
from byoc_nb.processor import FrameProcessor
from byoc_nb.runtime.slot import ProcessorSlot

pytestmark = pytest.mark.usefixtures("no_thread_left")


class Pass(FrameProcessor):
    async def process_video_async(self, frame):
        return frame


@pytest.fixture
async def network():
    slot = ProcessorSlot()
    await slot.load(Pass)
    made = LocalNetwork(slot, Pass, host="127.0.0.1", port=0)
    await made.listen()
    yield made
    await made.close()
    await asyncio.to_thread(slot.close)


def greys():
    while True:
        yield np.full((64, 96, 3), 90, np.uint8)


@pytest.fixture
async def specs(tmp_path, trickle):
    """Something to play of every kind."""
    clip(tmp_path / "clip.ts", 2.0)
    (tmp_path / "images").mkdir()
    av.VideoFrame.from_ndarray(np.full((64, 96, 3), 90, np.uint8), format="rgb24").save(str(tmp_path / "images/1.png"))
    far = Source("testsrc", size=(96, 64), fps=25)
    running = asyncio.create_task(far.run(trickle.channel("far")))
    web = await asyncio.start_server(serve_file((tmp_path / "clip.ts").read_bytes()), "127.0.0.1", 0)
    await auntil(lambda: far.frames_sent)
    yield {
        "file": str(tmp_path / "clip.ts"),
        "images": str(tmp_path / "images"),
        "testsrc": "testsrc",
        "url": f"http://127.0.0.1:{web.sockets[0].getsockname()[1]}/clip.ts",
        "generator": greys,
        "trickle": f"trickle+{trickle.base}/far",
        "webcam": "webcam",
    }
    far.stop()
    await running
    await asyncio.to_thread(far.join, WAIT)
    web.close()


def serve_file(data):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + data)
        writer.close()

    return answer


async def switch(network, spec, **options):
    """Play it; the seconds until its first picture is through."""
    source = await asyncio.to_thread(Source, spec, size=(96, 64), **options)
    at = time.monotonic()
    await network.play(source)
    if source.kind == "webcam":
        source.push(jpeg())
    await auntil(lambda: network.server.session.stats.frames_out)
    return time.monotonic() - at


async def test_from_every_kind_to_every_other_within_a_second_and_nothing_is_left(network, specs):
    await switch(network, specs["testsrc"])
    await network.halt()
    await auntil(lambda: "byoc-open" not in ours())
    threads, open_before = ours(), descriptors()
    took = {}
    for first, second in itertools.permutations(specs, 2):
        if network.source is None or network.source.kind != first:
            await switch(network, specs[first])
        took[first, second] = await switch(network, specs[second])
        assert ours().count("byoc-source") == ours().count("byoc-feed") == 2, "and that of the far channel"
    await network.halt()
    assert ours() == threads
    # the far channel's publisher may have another connection by now, a pair of sockets; one a switch would be dozens
    await auntil(lambda: len(descriptors()) <= len(open_before) + 2)
    assert sorted(took.values())[len(took) // 2] < 1.0, took
    assert max(took.values()) < 3.0, took


async def test_a_source_that_does_not_open_leaves_the_running_one_as_it_is(network, specs, tmp_path):
    await switch(network, specs["testsrc"])
    session, source = network.server.session, network.source
    for wrong in ("nowhere.mp4", "http://127.0.0.1:9/x", "trickle+http://127.0.0.1:9/x", 5):
        with pytest.raises(SourceError):
            await switch(network, wrong)
    before = session.stats.frames_out
    await auntil(lambda: session.stats.frames_out > before + 5)
    assert network.source is source and not session.ended


async def test_a_generator_that_raises_ends_the_stream_with_one_warning(network, caplog):
    def broken():
        raise RuntimeError("no film")
        yield

    await network.play(await asyncio.to_thread(Source, broken))
    await asyncio.wait_for(network.server.session.wait_ended(), WAIT)
    lines = [record.getMessage() for record in caplog.records if "no film" in record.getMessage()]
    assert len(lines) == 1
    assert lines[0].startswith("the source stopped: broken raised RuntimeError: no film (line")


@pytest.fixture
def swept(monkeypatch):
    """Trickle servers that from now on look for idle channels all the time."""
    monkeypatch.setattr("byoc_nb.trickle.channels.IDLE_SECONDS", 0.05)
    monkeypatch.setattr("byoc_nb.trickle.server.SWEEP_SECONDS", 0.02)


async def test_a_camera_may_be_off_for_as_long_as_it_likes(swept, network):
    await switch(network, "webcam")
    await asyncio.sleep(0.3)
    assert not network.server.session.ended
    network.source.push(jpeg())
    await auntil(lambda: network.server.session.stats.frames_out == 2)
