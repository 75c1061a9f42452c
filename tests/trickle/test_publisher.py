"""The publisher against our server, and against older servers that answer its questions differently."""

from __future__ import annotations

import asyncio
import gc
import shutil
import ssl
import subprocess
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from byoc_nb.trickle import (
    ChannelClosed,
    ChannelNotFound,
    TrickleError,
    TricklePublisher,
    TrickleServer,
    TrickleSubscriber,
    publisher,
)
from byoc_nb.trickle.writer import MAX_RETRIES

from .raw import Head, Raw, Site, connect, scripted, until

pytestmark = pytest.mark.usefixtures("quick_retries")


async def send(out: TricklePublisher, body: bytes) -> int:
    async with await out.next() as segment:
        await segment.write(body)
    return segment.seq


async def fetch(url: str, seq: int) -> bytes:
    async with aiohttp.ClientSession() as session, session.get(f"{url}/{seq}") as response:
        assert response.status == 200
        return await response.read()


class Old:
    """A server whose answers to GETs are given by status, with `Latest` where it is 470; POSTs are taken in."""

    def __init__(self, next_route: int, far_ahead: int, latest: int = 0) -> None:
        self.statuses = {"next": next_route, str(publisher.FAR_AHEAD): far_ahead}
        self.latest = latest
        self.posted: list[Head] = []

    async def __call__(self, raw: Raw, head: Head) -> None:
        element = (head[":path"] or "").rpartition("/")[2]
        if head[":method"] == "GET":
            status = self.statuses[element]
            if status == 0:
                await asyncio.Event().wait()
            raw.respond(status, *([f"Lp-Trickle-Latest: {self.latest}"] if status == 470 else []), body=b"hello")
            return
        self.posted.append(head)
        while await raw.read_chunk():
            pass
        seq = int(element)
        raw.respond(200, f"Lp-Trickle-Seq: {self.latest if seq < 0 else seq}")
        self.latest += 1

    @property
    def seqs(self) -> list[int]:
        return [int((head[":path"] or "").rpartition("/")[2]) for head in self.posted]


# -- the ordinary course -------------------------------------------------------------------------------------------


async def test_segments_are_numbered_from_0_and_carry_what_was_written(site: Site) -> None:
    async with TricklePublisher(site.url) as out:
        assert [await send(out, body) for body in (b"zero", b"one", b"two")] == [0, 1, 2]
    assert [await fetch(site.url, seq) for seq in range(3)] == [b"zero", b"one", b"two"]


async def test_the_following_segment_is_connected_as_soon_as_one_is_handed_out(site: Site) -> None:
    async with TricklePublisher(site.url) as out:
        await out.next()
        await until(lambda: site.server.stats.writers == 2)
        async with connect(site.base) as reader:
            reader.get("/ch/1")
            await until(lambda: site.server.stats.readers == 1)


async def test_segments_may_overlap(site: Site) -> None:
    async with TricklePublisher(site.url) as out:
        one, two = await out.next(), await out.next()
        await two.write(b"two")
        await one.write(b"one")
        await two.close()
        await one.close()
    assert (await fetch(site.url, 0), await fetch(site.url, 1)) == (b"one", b"two")


async def test_an_idle_preconnect_outlives_many_provisional_answers(site: Site) -> None:
    async with TricklePublisher(site.url) as out:
        await send(out, b"zero")
        await asyncio.sleep(0.3)  # five `100 Continue`
        assert await send(out, b"one") == 1
    assert await fetch(site.url, 1) == b"one"


async def test_it_takes_over_where_another_publisher_stopped(site: Site) -> None:
    async with TricklePublisher(site.url) as out:
        await send(out, b"zero")
        await send(out, b"one")
    async with TricklePublisher(site.url + "/") as out:
        assert await send(out, b"two") == 2


async def test_taking_over_releases_the_readers_of_a_lost_publisher(site: Site) -> None:
    async with connect(site.base) as reader, TricklePublisher(site.url) as out:
        async with connect(site.base) as lost:
            lost.post("/ch/0")
            lost.chunk(b"half")
            reader.get("/ch/0")
            await reader.head()
            assert await reader.read_chunk() == b"half"
        segment = await out.next()
        assert segment.seq == 1
        assert await reader.read_chunk() == b""


async def test_closing_leaves_no_empty_segment_and_its_readers_wait_on(site: Site) -> None:
    async with TrickleSubscriber(site.url) as sub:
        async with TricklePublisher(site.url) as out:
            await send(out, b"zero")
        assert await (await anext(sub)).read() == b"zero"
        async with TricklePublisher(site.url) as out:
            await send(out, b"one")
        segment = await anext(sub)
        assert (segment.seq, await segment.read()) == (1, b"one")


async def test_closing_finishes_an_open_segment_an_exception_aborts_it(site: Site) -> None:
    async with TricklePublisher(site.url) as out:
        await (await out.next()).write(b"zero")
    assert await fetch(site.url, 0) == b"zero"
    with pytest.raises(KeyError):
        async with TricklePublisher(site.url) as out:
            segment = await out.next()
            await segment.write(b"half")
            await until(lambda: site.server.stats.bytes_in == 8)
            raise KeyError
    assert await fetch(site.url, 1) == b"half"  # ended by the DELETE of the segment


async def test_delete_ends_the_channel_for_everybody(site: Site) -> None:
    async with TrickleSubscriber(site.url) as sub:
        out = TricklePublisher(site.url)
        await send(out, b"zero")
        assert await (await anext(sub)).read() == b"zero"
        await until(lambda: site.server.stats.readers == 1)
        await out.close(delete=True)
        assert [s async for s in sub] == []
        assert sub.ended == "closed"
    assert site.server.names() == []


async def test_delete_works_on_a_publisher_that_never_published(site: Site) -> None:
    await TricklePublisher(site.url).close(delete=True)
    assert site.server.names() == []


async def test_a_closed_publisher_says_so(site: Site) -> None:
    out = TricklePublisher(site.url)
    await out.close()
    await out.close()
    with pytest.raises(TrickleError, match="closed"):
        await out.next()


# -- create --------------------------------------------------------------------------------------------------------


async def test_create_makes_the_channel_with_its_mime() -> None:
    server = TrickleServer(autocreate=True)
    base = await server.start()
    async with TricklePublisher(f"{base}/ch", mime="application/json") as out:
        await out.create()
        await out.create()
        await send(out, b"{}")
        async with aiohttp.ClientSession() as http, http.get(f"{base}/ch/0") as response:
            assert response.content_type == "application/json"
    await server.stop()


async def test_create_on_a_server_without_autocreate_is_channel_not_found(site: Site) -> None:
    async with TricklePublisher(f"{site.base}/other") as out:
        with pytest.raises(ChannelNotFound):
            await out.create()


async def test_create_tells_a_refusal() -> None:
    server = TrickleServer(autocreate=True, max_channels=0)
    base = await server.start()
    async with TricklePublisher(f"{base}/ch") as out:
        with pytest.raises(TrickleError) as caught:
            await out.create()
        assert caught.value.status == 429
    await server.stop()


# -- servers that answer differently -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("next_route", "far_ahead", "latest", "first"),
    [
        (400, 470, 5, 5),  # "next" is a bad segment, the 470 tells the head
        (404, 470, 5, 5),
        (404, 470, 0, 0),
        (200, 470, 5, 5),  # a catch-all route that says "hello"
        (404, 404, 0, 0),  # no channel yet: the POST may create it
        (405, 405, 0, 0),  # a server without GET has nothing to take over from
        (501, 501, 0, 0),
    ],
)
async def test_the_head_on_servers_without_next(next_route: int, far_ahead: int, latest: int, first: int) -> None:
    old = Old(next_route, far_ahead, latest)
    async with scripted(old) as base, TricklePublisher(f"{base}/ch") as out:
        assert (await out.next()).seq == first
        await until(lambda: sorted(old.seqs) == [first, first + 1])
        assert [bool(head["Lp-Trickle-Reset"]) for head in old.posted if head[":path"] == f"/ch/{first}"] == [first > 0]


async def test_where_the_head_is_unclear_the_server_numbers_the_first_segment() -> None:
    old = Old(500, 500, latest=4)
    async with scripted(old) as base, TricklePublisher(f"{base}/ch") as out:
        first = await out.next()
        assert first.seq == -1
        await first.write(b"x")
        await asyncio.sleep(0.05)
        assert old.seqs == [-1]  # nothing to preconnect: nobody knows its number
        second = await out.next()  # ends the first one, whose answer names the seq
        assert (first.seq, second.seq) == (4, 5)
        await until(lambda: sorted(old.seqs) == [-1, 5, 6])


async def test_a_server_that_holds_the_question_is_unclear_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "ANSWER_SECONDS", 0.05)
    async with scripted(Old(0, 0)) as base, TricklePublisher(f"{base}/ch") as out:
        assert (await out.next()).seq == -1


async def test_a_closed_channel_is_told_by_next() -> None:
    async def closed(raw: Raw, _: Head) -> None:
        raw.respond(200, "Lp-Trickle-Closed: terminated", "Lp-Trickle-Latest: 3", body=b"3")

    async with scripted(closed) as base, TricklePublisher(f"{base}/ch") as out:
        with pytest.raises(ChannelClosed):
            await out.next()
        assert out.ended


# -- ends and failures ---------------------------------------------------------------------------------------------


async def test_an_unknown_channel_is_closed_from_the_first_write_on(site: Site) -> None:
    async with TricklePublisher(f"{site.base}/unknown") as out:
        segment = await out.next()
        with pytest.raises(ChannelClosed) as caught:
            await segment.close()
        assert caught.value.status == 404
        assert out.ended
        with pytest.raises(ChannelClosed):
            await out.next()


async def test_the_end_of_the_channel_reaches_an_idle_publisher(site: Site) -> None:
    async with TricklePublisher(site.url) as out:
        await send(out, b"zero")
        await until(lambda: site.server.stats.writers == 1)
        site.server.close("ch")
        await until(lambda: out.ended)
        with pytest.raises(ChannelClosed) as caught:
            await out.next()
        assert caught.value.url == site.url


async def test_the_end_of_the_channel_reaches_a_publisher_in_mid_segment(site: Site) -> None:
    async with TricklePublisher(site.url) as out:
        segment = await out.next()
        await segment.write(b"x")
        await until(lambda: site.server.stats.bytes_in == 1)
        site.server.close("ch")
        await until(lambda: segment.answered)
        with pytest.raises(ChannelClosed):
            await segment.write(b"y")


async def test_the_end_told_to_one_segment_leaves_no_preconnect_of_the_next_behind() -> None:
    tasks = asyncio.all_tasks()

    async def peer(raw: Raw, head: Head) -> None:
        if head[":path"] == "/ch/0":
            raw.respond(200, "Lp-Trickle-Closed: terminated", "Connection: close")
        elif head[":path"] == "/ch/1":
            await asyncio.Event().wait()
        else:
            raw.respond(404)

    async with scripted(peer) as base:
        async with TricklePublisher(f"{base}/ch") as out:
            await out.next()
            await until(lambda: out.ended)
            with pytest.raises(ChannelClosed):
                await out.next()
        left = {task for task in asyncio.all_tasks() - tasks if task.get_name().startswith("trickle-")}
        assert not left


async def test_closing_ends_a_search_for_a_server_that_is_not_there() -> None:
    out = TricklePublisher("http://127.0.0.1:1/ch")
    waiting = asyncio.create_task(out.next())
    await asyncio.sleep(0.002)
    await out.close()
    with pytest.raises(TrickleError):
        await waiting


async def test_a_preconnect_that_the_server_ended_is_skipped(site: Site) -> None:
    async with TricklePublisher(site.url) as out, aiohttp.ClientSession() as http:
        await send(out, b"zero")
        await until(lambda: site.server.stats.writers == 1)
        assert (await http.delete(f"{site.url}/1")).status == 200
        await until(lambda: site.server.stats.writers == 0)
        await asyncio.sleep(0.05)
        assert await send(out, b"two") == 2


async def test_a_segment_ended_by_the_server_is_an_error_and_the_next_one_goes_on(site: Site) -> None:
    async with TricklePublisher(site.url) as out, aiohttp.ClientSession() as http:
        segment = await out.next()
        await segment.write(b"x")
        await until(lambda: site.server.stats.bytes_in == 1)
        assert (await http.delete(f"{site.url}/0")).status == 200
        await until(lambda: segment.answered)
        with pytest.raises(TrickleError):
            await segment.close()
        assert await send(out, b"one") == 1


async def test_a_lost_preconnect_is_connected_again() -> None:
    connected = 0

    async def peer(raw: Raw, head: Head) -> None:
        nonlocal connected
        if head[":method"] == "GET":
            raw.respond(404)
            return
        if head[":path"] == "/ch/1":
            connected += 1
            if connected <= 2:
                raw.cut()
                return
        while await raw.read_chunk():
            pass
        raw.respond(200)

    async with scripted(peer) as base, TricklePublisher(f"{base}/ch") as out:
        assert await send(out, b"zero") == 0
        await until(lambda: connected == 3)
        assert await send(out, b"one") == 1


async def test_after_an_outage_longer_than_the_retries_the_next_segment_goes_on() -> None:
    old = Old(404, 470)
    outage = True
    refused = 0

    async def peer(raw: Raw, head: Head) -> None:
        nonlocal refused
        if outage and head[":path"] == "/ch/1":
            refused += 1
            raw.cut()
        else:
            await old(raw, head)

    async with scripted(peer) as base, TricklePublisher(f"{base}/ch") as out:
        assert await send(out, b"zero") == 0
        await until(lambda: refused == MAX_RETRIES + 1)
        await asyncio.sleep(0.02)
        outage = False
        assert await send(out, b"one") == 1
        assert not any(head["Lp-Trickle-Reset"] for head in old.posted)


async def test_nobody_there_is_an_error_with_the_url() -> None:
    async with TricklePublisher("http://127.0.0.1:1/ch") as out:
        with pytest.raises(TrickleError) as caught:
            await out.next()
        assert "127.0.0.1:1/ch" in caught.value.url
        assert caught.value.hint


# -- resources -----------------------------------------------------------------------------------------------------


async def test_a_given_session_is_used_and_left_open(site: Site) -> None:
    async with aiohttp.ClientSession() as session:
        async with TricklePublisher(site.url, session=session) as out:
            await send(out, b"zero")
        assert not session.closed
        await until(lambda: site.server.stats.writers == 0)


async def test_nothing_is_left_behind(site: Site) -> None:
    tasks = asyncio.all_tasks()
    for _ in range(3):
        out = TricklePublisher(site.url)
        await send(out, b"x")
        await out.next()
        sub = TrickleSubscriber(site.url)
        await anext(sub)
        await out.close()
        await sub.close()
    await until(lambda: site.server.stats.writers == site.server.stats.readers == 0)
    await until(lambda: asyncio.all_tasks() <= tasks)
    gc.collect()  # an unclosed socket would warn here, and warnings are errors


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes a certificate with openssl")
async def test_self_signed_certificates_are_accepted_unless_verification_is_asked_for(tmp_path: Path) -> None:
    key, cert = str(tmp_path / "key.pem"), str(tmp_path / "cert.pem")
    subject = ["-subj", "/CN=localhost", "-days", "1", "-nodes"]
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", *subject]
    subprocess.run([*command, "-keyout", key, "-out", cert], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    server, app = TrickleServer(keepalive_seconds=0.02), web.Application()
    server.mount(app)
    server.create("ch")
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    url = f"https://127.0.0.1:{runner.addresses[0][1]}/ch"
    async with TricklePublisher(url) as out, TrickleSubscriber(url) as sub:
        await send(out, b"zero")
        assert await (await anext(sub)).read() == b"zero"
    async with TricklePublisher(url, verify_tls=True) as out:
        with pytest.raises(TrickleError, match="certificate"):
            await out.next()
    async with TrickleSubscriber(url, verify_tls=True, max_retries=0) as sub:
        with pytest.raises(TrickleError, match="certificate"):
            await anext(sub)
    await runner.cleanup()
