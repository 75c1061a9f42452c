"""The whole network on one port."""

from __future__ import annotations

import asyncio
import subprocess

import pytest
from kit import WAIT, auntil, collect, decode, ours

from byoc_nb.network.local import INPUT, OUTPUT, LocalNetwork, StreamRefused
from byoc_nb.network.source import Source
from byoc_nb.processor import FrameProcessor
from byoc_nb.runtime.slot import ProcessorSlot

pytestmark = pytest.mark.usefixtures("no_thread_left")


class Pass(FrameProcessor):
    async def on_stream_start(self, params):
        if params.get("fail"):
            raise ValueError("no GPU")

    async def process_video_async(self, frame):
        return frame


def pattern(**options):
    return Source("testsrc", size=(96, 64), fps=25, **options)


@pytest.fixture
async def network():
    slot = ProcessorSlot()
    await slot.load(Pass)
    made = LocalNetwork(slot, Pass, host="127.0.0.1", port=0)
    await made.listen()
    yield made
    await made.close()
    await asyncio.to_thread(slot.close)


async def test_the_source_goes_through_the_processor_to_the_output(network):
    await network.play(pattern(), policy="lossless", params={"a": 1})
    reading = asyncio.create_task(collect(network.urls["output"]))
    await auntil(lambda: network.server.session.stats.frames_out > 25)
    assert network.server.session.params == {"a": 1}
    assert network.server.policy == "lossless"
    await network.halt()
    network.trickle.close_all()
    pictures, sounds = decode(b"".join(await asyncio.wait_for(reading, WAIT)))
    assert len(pictures) > 25 and sounds


async def test_the_urls(network):
    port = network.server.port
    assert network.urls == {
        "rest": f"http://127.0.0.1:{port}",
        "trickle": f"http://127.0.0.1:{port}/trickle/",
        "input": f"http://127.0.0.1:{port}/trickle/{INPUT}",
        "output": f"http://127.0.0.1:{port}/trickle/{OUTPUT}",
    }


async def test_playing_again_takes_the_place_of_what_played(network):
    first, second = pattern(), pattern()
    await network.play(first)
    session = network.server.session
    await network.play(second)
    assert session.ended
    await auntil(lambda: network.server.session.stats.frames_out > 5)
    assert ours().count("byoc-source") == 1


async def test_a_refused_stream_says_why_closes_the_source_and_leaves_the_network_ready(network):
    source = pattern()
    with pytest.raises(StreamRefused, match="no GPU"):
        await network.play(source, params={"fail": True})
    assert "byoc-source" not in ours()
    assert not network.server.active
    await network.play(pattern())
    await auntil(lambda: network.server.session.stats.frames_out > 5)


async def test_halt_leaves_the_processor_and_the_server(network):
    await network.play(pattern())
    await network.halt()
    await network.halt()
    assert ours() == ["byoc-processor"]
    assert not network.server.active


@pytest.fixture
def short(tmp_path):
    path = str(tmp_path / "short.mp4")
    pattern_ = "testsrc2=size=96x64:rate=25:duration=0.4"
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", pattern_, path], check=True)
    return path


async def test_a_source_that_ends_ends_the_stream_and_another_may_follow(network, short):
    await network.play(Source(short, loop=False), policy="lossless")
    await asyncio.wait_for(network.server.session.wait_ended(), WAIT)
    assert network.server.session.reason == "the input ended"
    assert network.server.session.stats.frames_out == 10
    await network.play(pattern())
    await auntil(lambda: network.server.session.stats.frames_out > 5)


async def test_closing_while_it_plays_frees_everything(network):
    await network.play(pattern())
    port = network.server.port
    await network.close()
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", port)
    server.close()
    await server.wait_closed()
    assert ours() == ["byoc-processor"]


async def test_sources_that_are_chosen_at_once_come_one_after_the_other(network):
    sources = [pattern() for _ in range(4)]
    await asyncio.gather(*(network.play(source) for source in sources))
    assert network.source is sources[-1] and network.server.active
    await auntil(lambda: network.server.session.stats.frames_out > 3)
    assert len([name for name in ours() if name == "byoc-source"]) == 1


class Slow(Pass):
    """Begins no stream until it is let."""

    async def on_stream_start(self, params):
        await asyncio.Event().wait()


@pytest.mark.parametrize("ending", ["cancelled", "closed"])
async def test_a_stream_that_only_begins_holds_nobody_up_and_leaves_nothing(ending):
    slot = ProcessorSlot()
    await slot.load(Slow)
    network = LocalNetwork(slot, Slow, host="127.0.0.1", port=0)
    await network.listen()
    source = pattern()
    playing = asyncio.create_task(network.play(source))
    await auntil(lambda: network.server._beginning is not None)
    if ending == "cancelled":
        playing.cancel()
    else:
        await asyncio.wait_for(network.close(), WAIT)
    await asyncio.wait({playing}, timeout=WAIT)
    assert playing.cancelled() and not network.server.active and network.source is None
    assert network.server._beginning is None and source._feed._container is None, "it is closed"
    await network.close()
    await asyncio.to_thread(slot.close)
