"""The figures as a Prometheus server reads them."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from kit import auntil, segments
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as plain

from byoc_nb.processor import FrameProcessor
from byoc_nb.runtime.server import StreamServer
from byoc_nb.trickle import TricklePublisher

pytestmark = pytest.mark.usefixtures("no_thread_left")


class Fails(FrameProcessor):
    """Raises for every tenth frame."""

    count = 0

    async def process_video_async(self, frame):
        self.count += 1
        if self.count % 10 == 0:
            raise ValueError('a "quoted" text\nin two lines')
        return frame


class Scraper:
    def __init__(self, http):
        self._http = http

    async def get(self, accept="", parse=plain):
        """What was scraped: {(name, label values): value}."""
        async with self._http.get("/metrics", headers={"Accept": accept} if accept else {}) as answer:
            assert answer.status == 200
            self.content_type = answer.headers["Content-Type"]
            self.families = {family.name: family for family in parse(await answer.text())}
        samples = [sample for family in self.families.values() for sample in family.samples]
        return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


@pytest.fixture
async def server():
    made = StreamServer(Fails, port=0, host="127.0.0.1", policy="lossless")
    await made.start_server()
    yield made
    await made.stop()


@pytest.fixture
async def scraper(server):
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as http:
        yield Scraper(http)


STATES = ("LOADING", "IDLE", "OK", "ERROR")


def state(found):
    return [name for name in STATES if found["byoc_state", name] == 1]


async def test_before_during_and_after_a_stream(server, scraper, trickle):
    await server.loaded()
    found = await scraper.get()
    assert state(found) == ["IDLE"]
    assert found["byoc_reloads_total",] == 0
    assert not [key for key in found if key[0].startswith("byoc_frames")], "no stream, no figures of one"

    url = trickle.channel("in")
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as http:
        start = {"gateway_request_id": "x", "subscribe_url": url}
        assert (await http.post("/live-video-to-video", json=start)).status == 200
    async with TricklePublisher(url) as channel:
        async with await channel.next() as segment:
            await segment.write(segments(1.0)[0])
        await auntil(lambda: server.session.stats.frames_out == 30)
        found = await scraper.get()
        assert state(found) == ["OK"]
        assert found["byoc_frames_total", "in"] == found["byoc_frames_total", "out"] == 30
        assert found["byoc_audio_frames_total", "in"] > 40
        assert found["byoc_errors_total",] == 3
        assert found["byoc_frames_per_second", "out"] > 0
        assert 0 < found["byoc_latency_seconds", "0.5"] <= found["byoc_latency_seconds", "0.99"] < 10
        stages = {key[-1] for key in found if key[0] == "byoc_stage_seconds"}
        assert stages == {"decode", "queue", "process", "encode", "publish"}
        server.session.stats.drop('odd "cause"\\', 2)
        assert (await scraper.get())["byoc_frames_dropped_total", 'odd "cause"\\'] == 2
        await channel.close(delete=True)
    await auntil(lambda: not server.active)
    found = await scraper.get()
    assert (state(found), found["byoc_frames_total", "out"]) == (["IDLE"], 30), "the last stream's figures stay"


async def test_types_and_texts(server, scraper):
    await scraper.get()
    assert scraper.families["byoc_state"].type == "gauge"
    assert scraper.families["byoc_reloads"].type == "counter"
    assert all(family.documentation for family in scraper.families.values())


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain;version=0.0.4", "application/json", "§"])
async def test_plain_text_for_everyone(server, scraper, accept):
    await scraper.get(accept)
    assert scraper.content_type == "text/plain; version=0.0.4; charset=utf-8"


async def test_openmetrics_for_those_that_ask_for_it(server, scraper):
    found = await scraper.get("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", parse=openmetrics)
    assert scraper.content_type.startswith("application/openmetrics-text")
    assert sum(found["byoc_state", name] for name in STATES) == 1


async def test_while_it_loads_and_when_that_fails():
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Slow(Fails):
        async def load_model(self):
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(release.wait(), loop))
            raise OSError("no weights")

    server = StreamServer(Slow, port=0, host="127.0.0.1")
    await server.start_server()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as http:
        scraper = Scraper(http)
        assert state(await scraper.get()) == ["LOADING"]
        release.set()
        await auntil(lambda: server.load_error)
        assert state(await scraper.get()) == ["ERROR"]
    await server.stop()
