"""Routes, statuses and headers as go-livepeer's trickle server has them, and the server's life."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from byoc_nb.trickle import TrickleError, TrickleServer, TrickleSubscriber, server

from .raw import Site, connect, until


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        yield session


Reply = tuple[int, dict[str, str], bytes]


async def ask(http: aiohttp.ClientSession, method: str, url: str, **options: object) -> Reply:
    async with http.request(method, url, **options) as response:  # type: ignore[arg-type]
        return response.status, {k.lower(): v for k, v in response.headers.items()}, await response.read()


async def publish(http: aiohttp.ClientSession, url: str, *bodies: bytes) -> None:
    for seq, body in enumerate(bodies):
        assert (await ask(http, "POST", f"{url}/{seq}", data=body))[0] == 200


# -- routes --------------------------------------------------------------------------------------------------------


async def test_create_answers_200_for_an_existing_channel_and_404_without_autocreate(site: Site, http) -> None:
    assert (await ask(http, "POST", site.url))[::2] == (200, b"")
    status, _, body = await ask(http, "POST", f"{site.base}/other")
    assert (status, body) == (404, b"Stream not found")


async def test_autocreate_makes_channels_for_posts_and_never_for_gets(http) -> None:
    autocreating = TrickleServer(autocreate=True)
    base = await autocreating.start()
    assert (await ask(http, "GET", f"{base}/a/0"))[0] == 404
    assert (await ask(http, "POST", f"{base}/a", headers={"Expect-Content": "application/json"}))[0] == 200
    assert (await ask(http, "POST", f"{base}/b/0", data=b"x", headers={"Content-Type": "text/x"}))[0] == 200
    assert (await ask(http, "POST", f"{base}/c/bad", data=b"x"))[0] == 400
    assert autocreating.names() == ["a", "b"]
    await ask(http, "POST", f"{base}/a/0", data=b"{}", headers={"Content-Type": "text/ignored"})
    assert (await ask(http, "GET", f"{base}/a/0"))[1]["content-type"] == "application/json"
    assert (await ask(http, "GET", f"{base}/b/0"))[1]["content-type"] == "text/x"
    await autocreating.stop()


async def test_a_get_serves_the_segment_with_its_seq_and_the_channels_mime(site: Site, http) -> None:
    await publish(http, site.url, b"zero", b"one")
    status, headers, body = await ask(http, "GET", f"{site.url}/0")
    assert (status, body) == (200, b"zero")
    assert headers["lp-trickle-seq"] == "0"
    assert headers["lp-trickle-latest"] == "2"
    assert headers["content-type"] == "video/MP2T"
    assert "lp-trickle-closed" not in headers


async def test_a_post_is_answered_with_its_effective_seq_and_nothing_else(site: Site, http) -> None:
    await publish(http, site.url, b"zero")
    status, headers, body = await ask(http, "POST", f"{site.url}/-1", data=b"one")
    assert (status, headers["lp-trickle-seq"], body) == (200, "1", b"")


async def test_minus_two_serves_the_newest(site: Site, http) -> None:
    await publish(http, site.url, b"zero", b"one")
    _, headers, body = await ask(http, "GET", f"{site.url}/-2")
    assert (headers["lp-trickle-seq"], body) == ("1", b"one")


async def test_470_tells_the_requested_seq_and_the_head(site: Site, http) -> None:
    await publish(http, site.url, b"zero")
    status, headers, _ = await ask(http, "GET", f"{site.url}/7")
    assert (status, headers["lp-trickle-seq"], headers["lp-trickle-latest"]) == (470, "7", "1")


async def test_next_is_the_head_as_body_and_header(site: Site, http) -> None:
    assert (await ask(http, "GET", f"{site.url}/next"))[2] == b"0"
    await publish(http, site.url, b"zero", b"one")
    status, headers, body = await ask(http, "GET", f"{site.url}/next")
    assert (status, headers["lp-trickle-latest"], body) == (200, "2", b"2")
    assert (await ask(http, "GET", f"{site.base}/unknown/next"))[0] == 404


async def test_posting_a_finished_segment_is_200_and_the_data_is_gone(site: Site, http) -> None:
    await publish(http, site.url, b"zero", b"one")
    status, headers, _ = await ask(http, "POST", f"{site.url}/0", data=b"again")
    assert (status, headers["connection"], headers["lp-trickle-seq"]) == (200, "close", "0")
    assert (await ask(http, "GET", f"{site.url}/0"))[2] == b"zero"
    assert (await ask(http, "GET", f"{site.url}/next"))[2] == b"2"


async def test_deleting_a_channel_removes_it_and_a_second_time_is_400(site: Site, http) -> None:
    assert (await ask(http, "DELETE", site.url))[::2] == (200, b"")
    assert (await ask(http, "DELETE", site.url))[::2] == (400, b"Invalid stream")
    assert (await ask(http, "GET", f"{site.url}/0"))[0] == 404
    assert (await ask(http, "POST", f"{site.url}/0", data=b"x"))[0] == 404


async def test_deleting_a_segment_ends_it(site: Site, http) -> None:
    async with connect(site.base) as reader:
        reader.get("/ch/0")
        await until(lambda: site.server.stats.readers == 1)
        assert (await ask(http, "DELETE", f"{site.url}/0"))[0] == 200
        head = await reader.head()
        assert (head.status, head["Content-Length"], head["Lp-Trickle-Seq"]) == (200, "0", "0")
        assert head["Lp-Trickle-Latest"] == "0"
        assert head["Lp-Trickle-Closed"] is None


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/ch/x", 400),
        ("GET", "/ch/-3", 400),
        ("GET", "/unknown/0", 404),
        ("POST", "/ch/x", 400),
        ("POST", "/ch/-2", 400),
        ("POST", "/ch/next", 400),
        ("DELETE", "/ch/x", 400),
        ("DELETE", "/ch/-1", 400),
        ("DELETE", "/ch/3", 400),
        ("DELETE", "/unknown/0", 404),
        ("GET", "/", 404),
        ("GET", "/a/b/c", 404),
        ("GET", "/ch", 405),
        ("PUT", "/ch/0", 405),
        ("HEAD", "/ch/0", 405),
    ],
)
async def test_what_the_server_refuses(site: Site, http, method: str, path: str, status: int) -> None:
    assert (await ask(http, method, site.base + path))[0] == status
    assert (await ask(http, "GET", f"{site.url}/next"))[0] == 200  # and the channel lives on


@pytest.mark.parametrize("path", ["//ch/0", "/ch//0", "/ch/0/", "///ch///0//", "/ch/+0", "/%63h/0", "/ch/0?x=1"])
async def test_doubled_and_trailing_slashes_and_escapes_mean_the_same(site: Site, http, path: str) -> None:
    await publish(http, site.url, b"zero")
    async with connect(site.base) as raw:
        raw.get(path)
        assert (await raw.head()).status == 200
        assert await raw.read_chunk() == b"zero"


async def test_too_large_and_too_many() -> None:
    small = TrickleServer(autocreate=True, max_segment_bytes=1000, max_channels=1)
    base = await small.start()
    async with aiohttp.ClientSession() as http:
        status, headers, _ = await ask(http, "POST", f"{base}/a/0", data=bytes(2000))
        assert (status, headers["connection"]) == (413, "close")
        assert (await ask(http, "POST", f"{base}/b"))[0] == 429
        assert (await ask(http, "POST", f"{base}/b/0", data=b"x"))[0] == 429
        assert (await ask(http, "POST", f"{base}/a/1", data=b"fits"))[0] == 200
    await small.stop()


async def test_the_changefeed_is_a_channel_like_any_other(http) -> None:
    feeding = TrickleServer(changefeed=True)
    base = await feeding.start()
    feeding.create("x")
    feeding.close("x")
    bodies = [(await ask(http, "GET", f"{base}/_changes/{seq}"))[2] for seq in range(3)]
    assert bodies == [b'{"added":["_changes"]}', b'{"added":["x"]}', b'{"removed":["x"]}']
    await feeding.stop()


# -- in process ----------------------------------------------------------------------------------------------------


async def test_create_close_and_names() -> None:
    trickle = TrickleServer(max_channels=2)
    trickle.create("a")
    trickle.create("b", "application/json")
    assert trickle.names() == ["a", "b"]
    assert trickle.stats.channels == 2
    with pytest.raises(TrickleError) as caught:
        trickle.create("c")
    assert caught.value.status == 429
    assert trickle.close("a")
    assert not trickle.close("a")
    trickle.close_all()
    assert trickle.names() == []


def test_a_name_with_a_slash_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="a/b"):
        TrickleServer().create("a/b")


# -- life ----------------------------------------------------------------------------------------------------------


async def test_the_base_url_holds_the_base_path_and_the_server_can_start_again(http) -> None:
    trickle = TrickleServer(base_path="ai/trickle")
    base = await trickle.start()
    assert base.endswith("/ai/trickle")
    with pytest.raises(RuntimeError):
        await trickle.start()
    trickle.create("ch")
    assert (await ask(http, "GET", f"{base}/ch/next"))[0] == 200
    assert (await ask(http, "GET", base.removesuffix("/ai/trickle") + "/ch/next"))[0] == 404
    await trickle.stop()
    await trickle.stop()
    assert trickle.names() == []
    base = await trickle.start()
    trickle.create("ch")
    assert (await ask(http, "GET", f"{base}/ch/next"))[0] == 200
    await trickle.stop()


async def test_an_occupied_port_is_an_os_error_and_leaves_nothing(site: Site) -> None:
    other = TrickleServer()
    with pytest.raises(OSError, match="in use"):
        await other.start(port=int(site.base.rpartition(":")[2]))
    await other.start()
    await other.stop()


async def test_stopping_releases_everybody_at_once(site: Site) -> None:
    async with connect(site.base) as reader, connect(site.base) as idle, connect(site.base) as busy:
        busy.post("/ch/0")
        busy.chunk(b"x")
        await until(lambda: site.server.stats.bytes_in == 1)
        reader.get("/ch/1")
        idle.post("/ch/1")
        await until(lambda: (site.server.stats.readers, site.server.stats.writers) == (1, 2))
        async with asyncio.timeout(2):
            await site.server.stop()
        for raw in (reader, idle, busy):
            head = await raw.answer()
            assert (head.status, head["Lp-Trickle-Closed"]) == (200, "terminated")
        assert site.server.stats.readers == site.server.stats.writers == 0


async def test_mounted_it_lives_beside_other_routes_and_ends_with_the_application(http) -> None:
    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    trickle = TrickleServer(base_path="/ai/trickle/", max_segment_bytes=4 * 1024 * 1024)
    app = web.Application(client_max_size=10)
    app.router.add_get("/hello", hello)
    app.router.add_get("/ai/hello", hello)
    trickle.mount(app)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    trickle.create("ch")
    assert (await ask(http, "GET", f"{base}/hello"))[2] == b"hello"
    assert (await ask(http, "GET", f"{base}/ai/hello"))[2] == b"hello"
    body = bytes(2 * 1024 * 1024)  # far over client_max_size, which is for whole bodies
    assert (await ask(http, "POST", f"{base}/ai/trickle/ch/0", data=io.BytesIO(body)))[0] == 200
    assert (await ask(http, "GET", f"{base}/ai/trickle//ch/0/"))[2] == body
    waiting = asyncio.create_task(ask(http, "GET", f"{base}/ai/trickle/ch/1"))
    await until(lambda: trickle.stats.readers == 1)
    async with asyncio.timeout(2):
        await runner.cleanup()
    assert (await waiting)[1]["lp-trickle-closed"] == "terminated"


async def test_idle_channels_are_swept_while_the_server_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SWEEP_SECONDS", 0.01)
    monkeypatch.setattr("byoc_nb.trickle.channels.IDLE_SECONDS", 0.05)
    trickle = TrickleServer()
    await trickle.start()
    trickle.create("idle")
    trickle.create("_kept")
    await until(lambda: trickle.names() == ["_kept"])
    assert trickle.stats.swept == 1
    await trickle.stop()


async def test_a_reader_that_is_behind_gets_the_end_of_a_channel_that_lingers(http) -> None:
    lingering = TrickleServer(autocreate=True, linger_seconds=10.0)
    url = await lingering.start() + "/ch"
    try:
        await publish(http, url, b"zero", b"one", b"", b"three")
        async with TrickleSubscriber(url, start=0) as subscriber:
            read = [await (await anext(subscriber)).read()]
            assert (await ask(http, "DELETE", url))[0] == 200
            read += [await segment.read() async for segment in subscriber]
        assert read == [b"zero", b"one", b"", b"three"]
        assert (await ask(http, "GET", f"{url}/-1"))[0] == 404
        await lingering.stop()
        url = await lingering.start() + "/ch"
        assert (await ask(http, "GET", f"{url}/0"))[0] == 404
    finally:
        await lingering.stop()
