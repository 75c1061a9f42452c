"""A container elsewhere, driven with our source over our channels."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from aiohttp import web
from kit import WAIT, auntil, number_of, picture
from pydantic import SecretStr

from byoc_nb import BaseModel, Field, FrameProcessor, StreamServer
from byoc_nb.network.container import Container, ContainerError, Refused
from byoc_nb.network.remote import RemoteNetwork
from byoc_nb.network.source import Source
from byoc_nb.runtime.ports import PortInUse, free_port

TOKEN = "of-the-container"


class Dim(FrameProcessor):
    class Params(BaseModel):
        level: float = Field(1.0, ge=0, le=1)

    def process_video_async(self, frame):
        if self.params.level == 0:
            raise ValueError("too dark")
        return frame.replace_array((frame.array * self.params.level).astype("uint8"))


def numbered():
    """Pictures that show their number."""
    for number in range(4096):
        yield picture(number, format="rgb24").to_ndarray()


@pytest.fixture
async def server() -> AsyncIterator[StreamServer]:
    running = StreamServer(Dim, host="127.0.0.1", port=0, token=TOKEN)
    await running.start_server()
    await running.loaded()
    yield running
    await running.stop()


@pytest.fixture
async def remote(server: StreamServer, no_thread_left: None) -> AsyncIterator[RemoteNetwork]:
    made = RemoteNetwork(Container(f"http://127.0.0.1:{server.port}", token=TOKEN))
    await made.listen()
    yield made
    await made.close()


async def test_pictures_go_through_it_and_are_paired_by_their_time(remote: RemoteNetwork) -> None:
    await remote.play(Source(numbered))
    watching = remote.watching
    await auntil(lambda: watching.stats.frames_out > 15)
    before, after = watching.newest
    assert number_of(before) == number_of(after) and before.timestamp == after.timestamp
    assert remote.active and 0 < watching.latency(0.5) < 2000
    assert set(remote.urls) == {"rest", "trickle", "input", "output"}


async def test_its_parameters_are_seen_and_set(remote: RemoteNetwork, server: StreamServer) -> None:
    assert remote.schema["properties"]["level"]["maximum"] == 1 and remote.values == {"level": 1.0}
    await remote.change({"level": 0.75})  # before there is a stream: it begins with it
    await remote.play(Source("testsrc", size=(96, 64)))
    await auntil(lambda: remote.watching.newest)
    assert server.slot.current.processor.values.level == 0.75
    await remote.change({"level": 0.25})
    await auntil(lambda: remote.watching.newest[1].array.mean() < 0.4 * remote.watching.newest[0].array.mean())
    with pytest.raises(Refused) as caught:
        await remote.change({"level": 7})
    assert list(caught.value.errors) == ["level"] and remote.values == {"level": 0.25}
    await server.update_params({"level": 0.5})  # by somebody else
    await auntil(lambda: remote.values == {"level": 0.5})
    await remote.change({"level": 0})
    await auntil(lambda: "too dark" in str(remote.status.get("last_error")))


async def test_another_source_takes_the_place_of_the_first(remote: RemoteNetwork) -> None:
    await remote.play(Source("testsrc", size=(96, 64)))
    await auntil(lambda: remote.watching.newest)
    first = remote.urls["input"]
    await remote.play(Source("testsrc", size=(128, 96)))
    await auntil(lambda: remote.watching.newest[1].width == 128)
    assert remote.urls["input"] != first, "nobody can go on reading or writing by the old name"


async def test_it_ends_when_the_container_does(remote: RemoteNetwork, server: StreamServer) -> None:
    await remote.play(Source("testsrc", size=(96, 64)))
    await auntil(lambda: remote.watching.newest)
    await server.stop_stream()
    await auntil(lambda: not remote.active)
    assert remote.ended == "the container ended the stream"
    await remote.play(Source("testsrc", size=(96, 64)))
    await auntil(lambda: remote.watching.stats.frames_out)
    await server.stop()
    await auntil(lambda: "can't be reached" in remote.ended)


async def test_a_source_that_ends_ends_the_stream(remote: RemoteNetwork) -> None:
    await remote.play(Source(iter([picture(n, format="rgb24").to_ndarray() for n in range(20)])))
    await auntil(lambda: not remote.active)
    assert remote.watching.stats.frames_out == 20


async def test_a_container_that_is_busy_keeps_its_stream(remote: RemoteNetwork, server: StreamServer) -> None:
    await remote.play(Source("testsrc", size=(96, 64)))
    other = RemoteNetwork(Container(remote.container.url, token=TOKEN))
    await other.listen()
    source = Source("testsrc", size=(96, 64))
    with pytest.raises(Refused, match="took no stream"):
        await other.play(source)
    await other.close()
    assert server.active and not other.active
    at = remote.watching.stats.frames_out
    await auntil(lambda: remote.watching.stats.frames_out > at + 3)


async def test_what_is_no_container_is_told() -> None:
    with pytest.raises(ContainerError, match="isn't a URL"):
        Container("localhost:8000")
    with pytest.raises(ContainerError, match="can't be reached"):
        await RemoteNetwork(Container(f"http://127.0.0.1:{free_port('127.0.0.1')}")).listen()
    runner = web.AppRunner(web.Application())
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    with pytest.raises(ContainerError, match="no BYOC container"):
        await RemoteNetwork(Container(f"http://127.0.0.1:{runner.addresses[0][1]}")).listen()
    await runner.cleanup()


async def test_a_token_that_is_missing_and_a_port_that_is_taken(server: StreamServer) -> None:
    url = f"http://127.0.0.1:{server.port}"
    with pytest.raises(ContainerError, match="answers /stream/status with 401"):
        await RemoteNetwork(Container(url)).listen()
    with pytest.raises(PortInUse):
        await RemoteNetwork(Container(url, token=TOKEN), port=server.port).listen()


def test_a_container_elsewhere_must_be_able_to_call_this_machine() -> None:
    there = Container("http://192.0.2.7:8000")
    with pytest.raises(ContainerError, match=r"can't reach 127\.0\.0\.1") as caught:
        RemoteNetwork(there)
    assert "--host 0.0.0.0" in caught.value.hint
    assert RemoteNetwork(there, host="10.0.0.1")._reach == "10.0.0.1"
    assert RemoteNetwork(there, reach="tunnel.example")._reach == "tunnel.example"


async def test_the_stream_routes_of_older_containers_are_found() -> None:
    async def status(request: web.Request) -> web.Response:
        return web.json_response({"state": "IDLE"})

    app = web.Application()
    app.router.add_get("/api/stream/status", status)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    container = Container(f"http://127.0.0.1:{runner.addresses[0][1]}/")
    await container.open()
    assert await container.status() == {"state": "IDLE"}
    assert await container.schema() is None
    await asyncio.gather(container.close(), runner.cleanup())


@contextlib.asynccontextmanager
async def answering(**answers: web.Response | Callable[..., Any]) -> AsyncIterator[str]:
    """The URL of something that answers so; `status` and `schema` by default as a container that declares nothing."""

    def handler(answer: Any) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            made = answer(request) if callable(answer) else answer
            return await made if asyncio.iscoroutine(made) else made

        return handle

    given = {"status": lambda request: web.json_response({"state": "IDLE"}), **answers}
    paths = {"status": "/stream/status", "schema": "/params/schema", "start": "/stream/start", "stop": "/stream/stop"}
    app = web.Application()
    for name, answer in given.items():
        app.router.add_route("*", paths[name], handler(answer))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_an_answer_that_comes_in_pieces_is_read_as_a_whole() -> None:
    async def schema(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        text = json.dumps({"properties": {"a": {"default": 1, "description": "x" * 100_000}}}).encode()
        for part in (text[:20], text[20:]):
            await answer.write(part)
            await asyncio.sleep(0.05)
        return answer

    async with answering(schema=schema) as url:
        made = RemoteNetwork(Container(url))
        await made.listen()
        assert made.values == {"a": 1}
        await made.close()


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"status": lambda request: web.Response(text="<html>")}, "no BYOC container"),
        ({"status": lambda request: web.Response(status=302, headers={"Location": "/"})}, "answers .* with 302"),
        ({"status": lambda request: web.Response(text="[" * 100_000)}, "no BYOC container"),
        ({"status": lambda request: web.Response(body=b" " * (2 << 20))}, "more than 1 MiB"),
        ({"schema": lambda request: web.json_response({"properties": {"a": 1}})}, "no JSON schema"),
    ],
)
async def test_answers_that_no_container_gives_are_told_in_one_line(answers: Any, said: str) -> None:
    async with answering(**answers) as url:
        with pytest.raises(ContainerError, match=said):
            await RemoteNetwork(Container(url)).listen()


async def test_a_schema_that_is_none_is_as_good_as_none() -> None:
    async with answering(schema=lambda request: web.json_response({"properties": [1]})) as url:
        made = RemoteNetwork(Container(url))
        await made.listen()
        assert made.schema is None and made.values == {}
        await made.close()


@pytest.mark.parametrize("url", ["http://me:s3cret@127.0.0.1:1", "http://127.0.0.1:1/?key=s3cret"])
def test_a_url_with_a_secret_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ContainerError, match="no user, password or query") as caught:
        Container(url)
    assert "s3cret" not in caught.value.one_line()


@pytest.mark.parametrize("url", ["http://", "http://[::1", "http://127.0.0.1:99999"])
def test_what_is_no_url_is_told(url: str) -> None:
    with pytest.raises(ContainerError, match="isn't a URL"):
        Container(url)


async def test_a_start_that_is_never_answered_can_be_broken_off(no_thread_left: None) -> None:
    asked, stopped = asyncio.Event(), asyncio.Event()

    async def start(request: web.Request) -> web.Response:
        asked.set()
        await stopped.wait()
        return web.json_response({})

    def stop(request: web.Request) -> web.Response:
        stopped.set()
        return web.json_response({})

    async with answering(start=start, stop=stop) as url:
        made = RemoteNetwork(Container(url))
        await made.listen()
        source = Source("testsrc", size=(96, 64))
        playing = asyncio.create_task(made.play(source))
        await asked.wait()
        await asyncio.wait_for(made.close(), WAIT)
        await asyncio.wait({playing}, timeout=WAIT)
        assert playing.cancelled() and stopped.is_set(), "what it may begin all the same is ended"
        assert source._feed._container is None


async def test_sources_that_are_chosen_at_once_come_one_after_the_other(remote: RemoteNetwork) -> None:
    sources = [Source("testsrc", size=(96, 64)) for _ in range(3)]
    await asyncio.gather(*(remote.play(source) for source in sources))
    assert remote.publishing.source is sources[-1]
    await auntil(lambda: remote.watching.stats.frames_out > 3)
    assert len(remote._trickle.names()) == 2


async def test_our_channels_are_where_they_were_asked_for(server: StreamServer, no_thread_left: None) -> None:
    made = RemoteNetwork(Container(f"http://127.0.0.1:{server.port}", token=TOKEN), host="127.0.0.2")
    await made.listen()
    await made.play(Source("testsrc", size=(96, 64)))
    assert made.urls["input"].startswith(f"http://127.0.0.2:{made.port}/")
    await auntil(lambda: made.watching.stats.frames_out > 3)
    await made.close()


async def test_what_the_container_hides_is_not_sent_back_to_it() -> None:
    class Keyed(FrameProcessor):
        class Params(BaseModel):
            key: SecretStr = SecretStr("of the code")
            level: float = 0.5

        def process_video_async(self, frame):
            return frame

    server = StreamServer(Keyed, host="127.0.0.1", port=0)
    await server.start_server()
    await server.loaded()
    remote = RemoteNetwork(Container(f"http://127.0.0.1:{server.port}"))
    await remote.listen()
    await auntil(lambda: "key" in remote.values)
    await remote.change({"level": 0.75})
    await remote.play(Source("testsrc", size=(96, 64)))
    await auntil(lambda: remote.watching.newest)
    values = server.slot.current.processor.values
    assert (values.key.get_secret_value(), values.level) == ("of the code", 0.75)
    await remote.close()
    await server.stop()
