"""Who may call the container."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from byoc_nb import FrameProcessor, StreamServer
from byoc_nb.runtime.guard import is_loopback
from byoc_nb.trickle import TrickleServer


class Passes(FrameProcessor):
    def process_video_async(self, frame):
        return frame


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = StreamServer(Passes, host="127.0.0.1", port=0)
    TrickleServer(base_path="/trickle/", autocreate=True).mount(server.app)
    await server.start_server()
    yield server.port
    await server.stop()


async def status(port: int, path: str, method: str = "POST", **headers: str) -> int:
    async with (
        aiohttp.ClientSession() as http,
        http.request(method, f"http://127.0.0.1:{port}{path}", headers=headers, data=b"{}") as answer,
    ):
        return answer.status


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://localhost"])
@pytest.mark.parametrize("path", ["/stream/stop", "/api/stream/stop", "/trickle/x/0", "/process/frame"])
async def test_a_page_of_another_site_can_change_nothing(port: int, path: str, origin: str) -> None:
    assert await status(port, path, Origin=origin) == 403


async def test_a_name_that_resolves_to_this_machine_is_another_site(port: int) -> None:
    assert await status(port, "/stream/stop", Origin="http://evil.example", Host="evil.example") == 403


async def test_programs_and_pages_of_the_server_itself_are_served(port: int) -> None:
    assert await status(port, "/stream/stop") == 200
    assert await status(port, "/stream/stop", Origin=f"http://127.0.0.1:{port}") == 200
    assert await status(port, "/health", "GET", Origin="http://evil.example") == 200  # which the browser won't show it


async def test_a_server_for_other_machines_has_no_site_of_its_own() -> None:
    server = StreamServer(Passes, host="0.0.0.0", port=0)
    await server.start_server()
    try:
        assert await status(server.port, "/stream/stop", Origin="http://gateway.example") == 200
    finally:
        await server.stop()


@pytest.mark.parametrize(
    ("host", "own"),
    [
        *((host, True) for host in ("127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost")),
        *((host, False) for host in ("0.0.0.0", "192.168.1.5", "example.com", "")),
    ],
)
def test_loopback(host: str, own: bool) -> None:
    assert is_loopback(host) is own
