"""What strangers send to an application: answered, and not logged at length."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from byoc_nb.trickle.hosting import set_up

from .raw import connect


@pytest.fixture
async def base() -> AsyncIterator[str]:
    async def read(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    async def fail(request: web.Request) -> web.Response:
        raise ValueError("a defect")

    app = web.Application()
    app.router.add_post("/read", read)
    app.router.add_post("/fail", fail)
    runner = await set_up(app)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"POST /read HTTP/9\r\nHost: x\r\n\r\n",
        b"POST /re\x00ad HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
    ],
)
async def test_what_is_no_http_is_a_400_without_a_line_in_the_log(
    base: str, request_: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with connect(base) as raw:
        raw.send(request_)
        assert (await raw.head()).status == 400
        await raw.rest()
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


@pytest.mark.parametrize("expect", [b"\xff", b"cake", b""])
@pytest.mark.parametrize("path", [b"/read", b"/nothing"])
async def test_an_expectation_that_nobody_knows_is_a_417(base: str, expect: bytes, path: bytes) -> None:
    async with connect(base) as raw:
        raw.send(b"POST %b HTTP/1.1\r\nHost: x\r\nExpect: %b\r\nContent-Length: 1\r\n\r\nx" % (path, expect))
        assert (await raw.head()).status == 417
        await raw.rest()


async def test_an_expected_continue_still_comes(base: str) -> None:
    async with connect(base) as raw:
        raw.send("POST /read HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 1\r\n\r\n")
        assert (await raw.head()).status == 100
        raw.send("x")
        assert (await raw.head()).status == 200


async def test_a_defect_of_a_handler_is_a_500_with_its_traceback_in_the_log(
    base: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with connect(base) as raw:
        raw.send("POST /fail HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert (await raw.head()).status == 500
    assert "ValueError: a defect" in caplog.text
