"""The container's REST API over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import io
import threading
import time

import aiohttp
import pytest
from aiohttp import web
from kit import WAIT, auntil, collect_json, segments
from pydantic import BaseModel, Field

from byoc_nb.processor import FrameProcessor
from byoc_nb.runtime.server import RouteConfig, StreamServer
from byoc_nb.trickle import TricklePublisher

pytestmark = pytest.mark.usefixtures("no_thread_left")


class Pass(FrameProcessor):
    async def process_video_async(self, frame):
        return frame


class Tuned(FrameProcessor):
    class Params(BaseModel):
        strength: float = Field(0.5, ge=0, le=1)
        mode: str = "soft"

    calls: list

    def __init__(self):
        self.calls = []

    def update_params(self, params):
        if params.get("mode") == "refuse":
            raise ValueError("not that mode")
        self.calls.append(params)

    async def process_video_async(self, frame):
        return frame


class Client:
    def __init__(self, server, http):
        self.server, self.http, self.base = server, http, f"http://127.0.0.1:{server.port}"

    async def call(self, method, path, **options):
        async with self.http.request(method, self.base + path, **options) as answer:
            assert answer.content_type == "application/json"
            return answer.status, await answer.json()

    async def get(self, path):
        return await self.call("GET", path)

    async def post(self, path, json=None, **options):
        if json is not None:
            options["json"] = json
        return await self.call("POST", path, **options)

    async def start(self, **changes):
        return await self.post("/stream/start", {"gateway_request_id": "test", **changes})

    @property
    def instance(self):
        return self.server.slot.current.processor.instance


@pytest.fixture
async def serve():
    async with contextlib.AsyncExitStack() as stack:

        async def make(target=Pass, *, wait=True, **options):
            server = StreamServer(target, port=0, host="127.0.0.1", **options)
            await server.start_server()
            stack.push_async_callback(server.stop)
            if wait:
                await server.loaded()
            return Client(server, await stack.enter_async_context(aiohttp.ClientSession()))

        yield make


# ---- start


@pytest.mark.parametrize("prefix", ["", "/api", "/live/v1"])
async def test_the_routes_stand_at_the_root_under_api_and_under_ones_own_prefix(serve, prefix):
    client = await serve(route_prefix="/live/v1/")
    status, body = await client.post(f"{prefix}/stream/start", {"gateway_request_id": "one"})
    assert (status, body["status"], body["request_id"]) == (200, "success", "one")
    assert body["current_state"]["active_streams"] == 1
    assert (await client.post(f"{prefix}/stream/params", {"a": 1}))[0] == 200
    assert (await client.get(f"{prefix}/stream/status"))[1]["params"] == {"a": 1}
    assert (await client.post(f"{prefix}/stream/stop"))[0] == 200


@pytest.mark.parametrize("prefix", ["live", "/live", "live/", "/", ""])
async def test_the_prefix_is_taken_with_or_without_slashes(serve, prefix):
    client = await serve(route_prefix=prefix)
    path = f"/{prefix.strip('/')}/stream/status" if prefix.strip("/") else "/stream/status"
    assert (await client.get(path))[0] == 200


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"gateway_request_id": None}, "gateway_request_id"),
        ({"subscribe_url": "nowhere"}, "subscribe_url"),
        ({"publish_url": "ftp://x/y"}, "publish_url"),
        ({"params": []}, "params"),
        ({"params": {"width": 512}}, "params"),
        ({"params": {"width": 512, "height": "high"}}, "params.height"),
        ({"params": {"max_framerate": 500}}, "params.max_framerate"),
        ({"params": {"strength": 7}}, "strength"),
    ],
)
async def test_a_400_names_the_field(serve, changes, field):
    client = await serve(Tuned)
    status, body = await client.start(**changes)
    assert (status, body["status"], list(body["errors"])) == (400, "error", [field])
    assert field.split(".")[-1] in body["message"]
    assert not client.server.active


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000])
async def test_a_body_that_is_no_json_object(serve, body):
    client = await serve()
    status, answer = await client.post("/stream/start", data=body)
    assert (status, list(answer["errors"])) == (400, ["body"])


async def test_null_params_unknown_keys_and_params_for_someone_else(serve):
    client = await serve(Tuned)
    assert (await client.start(params=None, brand_new={"x": 1}))[0] == 200
    await client.post("/stream/stop")
    assert (await client.start(params={"strength": 0.7, "unknown_to_us": 1, "width": 64, "height": 64}))[0] == 200
    assert client.instance.params.strength == 0.7


async def test_a_second_stream_is_refused_as_busy_and_the_first_goes_on(serve):
    client = await serve()
    await client.start()
    status, body = await client.start(gateway_request_id="other")
    assert status == 503
    assert "another stream" in body["message"]
    assert (await client.get("/stream/status"))[1]["current_params"]["gateway_request_id"] == "test"


async def test_of_several_starts_at_once_exactly_one_wins(serve):
    class Slow(Pass):
        async def on_stream_start(self, params):
            await asyncio.sleep(0.05)

    client = await serve(Slow)
    answers = await asyncio.gather(*(client.start(gateway_request_id=f"s{n}") for n in range(6)))
    assert sorted(status for status, _ in answers) == [200] + [503] * 5


async def test_a_start_waits_while_the_model_loads(serve):
    release = threading.Event()

    class Heavy(Pass):
        def load_model(self):
            release.wait(WAIT)

    client = await serve(Heavy, wait=False)
    starting = asyncio.create_task(client.start())
    status, body = await client.get("/health")
    assert (status, body) == (200, {"status": "LOADING"})
    assert (await client.get("/stream/status"))[1]["pipeline_ready"] is False
    assert (await client.get("/params/schema"))[0] == 200
    assert not starting.done()
    release.set()
    assert (await starting)[0] == 200
    assert (await client.get("/health"))[1] == {"status": "OK"}


@pytest.mark.parametrize("error", [ValueError("no weights"), SystemExit("no weights")])
async def test_a_failed_load_is_told_by_health_and_start(serve, error):
    class Broken(Pass):
        def load_model(self):
            raise error

    client = await serve(Broken, wait=False)
    status, body = await client.start()
    assert status == 503
    assert "no weights" in body["message"]
    assert await client.get("/health") == (503, {"status": "ERROR"})
    assert "no weights" in (await client.get("/stream/status"))[1]["error_message"]


@pytest.mark.parametrize("error", [ValueError("no GPU"), SystemExit("no GPU")])
async def test_a_start_hook_that_refuses_is_told_and_the_next_start_is_free(serve, error):
    class Picky(Pass):
        async def on_stream_start(self, params):
            if params.get("fail"):
                raise error

    client = await serve(Picky)
    status, body = await client.start(params={"fail": True})
    assert status == 400
    assert "no GPU" in body["message"]
    assert (await client.get("/health"))[1] == {"status": "IDLE"}
    assert (await client.start())[0] == 200


async def test_a_client_that_goes_away_while_the_stream_starts_blocks_nothing(serve):
    begun, release = threading.Event(), threading.Event()

    class Slow(Pass):
        def on_stream_start(self, params):
            begun.set()
            release.wait(WAIT)

    client = await serve(Slow)
    starting = asyncio.create_task(client.start())
    await asyncio.to_thread(begun.wait, WAIT)
    starting.cancel()
    await asyncio.wait([starting])
    release.set()
    await auntil(lambda: client.server.active)  # the orchestrator stops what it gave up, and it can
    assert (await client.post("/stream/stop"))[1]["message"] == "Stream stopped successfully"
    assert (await client.start())[0] == 200


# ---- stop


@pytest.mark.parametrize("body", [b"", b"timeout waiting for events", b'{"stream_id": "x"}', b"\xff\xfe"])
async def test_stop_takes_any_body_any_number_of_times(serve, body):
    client = await serve()
    await client.start()
    for expected in ("Stream stopped successfully", "No active stream", "No active stream"):
        status, answer = await client.post("/stream/stop", data=body, skip_auto_headers=["Content-Type"])
        assert (status, answer["message"]) == (200, expected)


# ---- params


async def test_params_reach_the_processor_and_the_events(serve, trickle):
    found, events = [], trickle.channel("events")
    client = await serve(Tuned)
    await client.start(events_url=events)
    reading = asyncio.create_task(collect_json(events, found))
    status, body = await client.post("/stream/params", {"strength": 0.9})
    assert (status, body["message"]) == (200, "Parameters updated successfully")
    assert client.instance.params.strength == 0.9
    assert client.instance.calls == [{"strength": 0.9}]
    await auntil(lambda: any(item["event"]["type"] == "params_updated" for item in found))
    reading.cancel()
    await asyncio.wait([reading])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"strength": 7}, "strength"), ({"strength": "x"}, "strength"), ({"strenght": 0.1}, "strenght"),
        ({"mode": "refuse"}, "params"), ({"width": 64}, "params"), ({"max_framerate": 0}, "params.max_framerate"),
        ({"strength": 0.9, "mode": 5}, "mode"),
    ],
)  # fmt: skip
async def test_params_that_are_refused_change_nothing(serve, changes, field):
    client = await serve(Tuned)
    await client.start()
    status, body = await client.post("/stream/params", changes)
    assert (status, list(body["errors"])) == (400, [field])
    assert (client.instance.params.strength, client.instance.params.mode) == (0.5, "soft")
    assert client.instance.calls == []
    assert client.server.session.params == {}


async def test_a_misspelt_param_gets_a_hint(serve):
    client = await serve(Tuned)
    await client.start()
    assert "strength" in (await client.post("/stream/params", {"strenght": 0.1}))[1]["message"]


async def test_a_processor_without_params_takes_any_object(serve):
    client = await serve()
    await client.start(params={"prompt": "cat"})
    await client.post("/stream/params", {"prompt": "dog", "steps": [1, 2]})
    assert client.instance.params == {"prompt": "dog", "steps": [1, 2]}


async def test_params_without_a_stream(serve):
    client = await serve()
    assert (await client.post("/stream/params", {"a": 1}))[0] == 400


async def test_params_for_a_processor_that_blocks_are_answered_in_time(serve, trickle):
    """byoc-sdk gives an update 5 s."""
    begun, release = threading.Event(), threading.Event()

    class Blocks(Tuned):
        def process_video(self, frame):
            begun.set()
            release.wait(WAIT)
            return frame

        process_video_async = process_video

    client = await serve(Blocks)
    await client.start(subscribe_url=trickle.channel("in"))
    async with TricklePublisher(f"{trickle.base}/in") as channel, await channel.next() as segment:
        await segment.write(segments(0.5)[0])
        await asyncio.to_thread(begun.wait, WAIT)
        at = time.monotonic()
        status, body = await client.post("/stream/params", {"strength": 0.9})
        assert time.monotonic() - at < 3.0
        assert (status, "when it can" in body["message"]) == (200, True)
        release.set()
        await auntil(lambda: client.instance.params.strength == 0.9)


async def test_control_messages_are_params_too(serve, trickle, caplog):
    client = await serve(Tuned)
    await client.start(control_url=trickle.channel("control"))
    async with TricklePublisher(f"{trickle.base}/control") as channel:
        for message in (b'{"keep":"alive"}', b'{"strength": 7}', b"garbage", b'{"strength": 0.8, "other": 1}'):
            async with await channel.next() as segment:
                await segment.write(message)
        await auntil(lambda: client.instance.params.strength == 0.8)
    assert "a control message was refused: ParamsError: strength" in caplog.text
    assert client.server.active


async def test_the_schema(serve):
    client = await serve(Tuned)
    assert (await client.get("/params/schema"))[1]["properties"]["strength"]["maximum"] == 1
    client = await serve()
    assert (await client.get("/params/schema"))[1] == {"type": "object", "properties": {}}


# ---- the rest of the API


async def test_status_while_a_stream_runs_and_after(serve, trickle):
    client = await serve(policy="lossless")
    assert (await client.get("/stream/status"))[1]["status"] == "IDLE"
    await client.start(subscribe_url=trickle.channel("in"))
    async with TricklePublisher(f"{trickle.base}/in") as channel:
        async with await channel.next() as segment:
            await segment.write(segments(1.0)[0])
        await auntil(lambda: client.server.session.stats.frames_out == 30)
        body = (await client.get("/stream/status"))[1]
        assert (body["frames_in"], body["frames_out"], body["client_running"], body["ended"]) == (30, 30, True, None)
        assert set(body["fps"]) == {"ingress_video_fps", "egress_video_fps"}
        await channel.close(delete=True)
    await auntil(lambda: not client.server.active)
    body = (await client.get("/stream/status"))[1]
    assert (body["status"], body["ended"]) == ("IDLE", "the input ended")


async def test_version_and_names(serve):
    client = await serve(pipeline="p", capability_name="green-tint")
    body = (await client.get("/version"))[1]
    assert (body["pipeline"], body["model_id"]) == ("p", "green-tint")
    assert body["version"]


@pytest.mark.parametrize("header", [None, "", "Bearer wrong", "secret", "bearer secret", "Bearer ", b"Bearer \xff"])
async def test_a_wrong_token_is_401(serve, header):
    client = await serve(token="secret")
    headers = (
        {}
        if header is None
        else {"Authorization": header.decode("utf-8", "surrogateescape") if isinstance(header, bytes) else header}
    )
    for path in ("/stream/start", "/api/stream/start", "/stream/params", "/stream/stop"):
        assert (await client.post(path, {"gateway_request_id": "x"}, headers=headers))[0] == 401
    assert (await client.get("/stream/status"))[0] == 401
    assert (await client.get("/health"))[0] == 200


async def test_the_right_token(serve):
    client = await serve(token="secret")
    headers = {"Authorization": "Bearer secret"}
    assert (await client.post("/stream/start", {"gateway_request_id": "x"}, headers=headers))[0] == 200


async def test_a_body_over_10_mb_is_413(serve):
    client = await serve()
    for path in ("/stream/start", "/stream/params"):
        status, body = await client.post(path, data=io.BytesIO(b"x" * (11 << 20)))
        assert (status, "10 MB" in body["message"]) == (413, True)


async def test_404_and_405_are_json(serve):
    client = await serve()
    status, body = await client.get("/nothing")
    assert (status, body["status"]) == (404, "error")
    async with client.http.get(f"{client.base}/stream/start") as answer:
        assert (answer.status, answer.headers["Allow"]) == (405, "POST")
        assert (await answer.json())["status"] == "error"


# ---- the user's own routes


async def test_custom_routes_as_pytrickle_has_them(serve):
    async def hello(request):
        return web.json_response({"hello": request.match_info.get("name", "")})

    async def moved(request):
        raise web.HTTPFound("/hello/you")

    async def broken(request):
        raise ValueError("my own mistake")

    client = await serve(
        custom_routes=[
            RouteConfig("GET", "/hello/{name}", hello),
            {"method": "POST", "path": "/hello", "handler": hello},
            {"handler": moved, "method": "GET", "path": "/moved"},
            ("GET", "/broken", broken),
        ]
    )
    assert await client.get("/hello/you") == (200, {"hello": "you"})
    assert await client.post("/hello") == (200, {"hello": ""})
    assert await client.get("/moved") == (200, {"hello": "you"}), "a redirect is no error"
    status, body = await client.get("/broken")
    assert (status, "my own mistake" in body["message"]) == (500, True)


async def test_middleware_and_app_options(serve):
    @web.middleware
    async def mark(request, handler):
        answer = await handler(request)
        answer.headers["X-Mark"] = "1"
        return answer

    client = await serve(middleware=[mark])
    async with client.http.get(f"{client.base}/health") as answer:
        assert answer.headers["X-Mark"] == "1"
