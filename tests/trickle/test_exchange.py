"""The long requests, byte by byte on raw sockets: flushing, keep-alive, lost and stalled peers, closed channels."""

from __future__ import annotations

import asyncio
import socket

import pytest

from byoc_nb.trickle import TrickleServer

from .raw import Raw, Site, connect, until


@pytest.fixture
async def impatient() -> Site:  # type: ignore[misc]
    server = TrickleServer(stall_seconds=0.15)
    server.create("ch")
    base = await server.start()
    yield Site(server, base)
    await server.stop()


async def first_byte(site: Site, raw: Raw, seq: int, data: bytes = b"x") -> None:
    """Begin a segment and wait until the server has its first bytes."""
    before = site.server.stats.bytes_in
    raw.post(f"/ch/{seq}")
    raw.chunk(data)
    await until(lambda: site.server.stats.bytes_in == before + len(data))


# -- readers -------------------------------------------------------------------------------------------------------


async def test_a_reader_at_the_edge_gets_no_header_until_the_first_byte_then_every_chunk_at_once(site: Site) -> None:
    async with connect(site.base) as reader, connect(site.base) as writer:
        reader.get("/ch/0")
        assert await reader.silent()
        writer.post("/ch/0")
        assert await reader.silent()  # a preconnect is no data
        writer.chunk(b"one")
        head = await reader.head()
        assert (head.status, head["Lp-Trickle-Seq"], head["Transfer-Encoding"]) == (200, "0", "chunked")
        assert head["Lp-Trickle-Latest"] is None  # it was at the head when it came
        assert await reader.read_chunk() == b"one"
        writer.chunk(b"two")
        assert await reader.read_chunk() == b"two"
        writer.end()
        assert await reader.read_chunk() == b""
        reader.get("/ch/next")  # the connection stays usable
        assert (await reader.head())["Lp-Trickle-Latest"] == "1"


async def test_minus_two_on_a_fresh_channel_waits_for_segment_0(site: Site) -> None:
    async with connect(site.base) as reader, connect(site.base) as writer:
        reader.get("/ch/-2")
        await until(lambda: site.server.stats.readers == 1)
        await first_byte(site, writer, 0)
        assert (await reader.head())["Lp-Trickle-Seq"] == "0"


async def test_many_readers_get_the_same_segment(site: Site) -> None:
    async with connect(site.base) as writer:
        await first_byte(site, writer, 0, b"a" * 100_000)
        writer.end()
        assert (await writer.answer()).status == 200

        async def read() -> bytes:
            async with connect(site.base) as reader:
                reader.send("GET /ch/0 HTTP/1.0\r\nHost: x\r\n\r\n")  # without chunks: body until the close
                head = await reader.head()
                assert head["Transfer-Encoding"] is None
                return await reader.rest()

        assert await asyncio.gather(*(read() for _ in range(20))) == [b"a" * 100_000] * 20


async def test_an_empty_segment_is_a_200_without_bytes(site: Site) -> None:
    async with connect(site.base) as reader, connect(site.base) as writer:
        reader.get("/ch/0")
        await until(lambda: site.server.stats.readers == 1)
        writer.send("POST /ch/0 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        answer = await writer.answer()
        assert (answer.status, answer["Connection"], answer["Lp-Trickle-Seq"]) == (200, "close", "0")
        head = await reader.head()
        assert (head.status, head["Content-Length"], head["Lp-Trickle-Seq"], head["Lp-Trickle-Latest"]) == (
            200,
            "0",
            "0",
            "1",
        )
        assert head["Lp-Trickle-Closed"] is None


async def test_a_slow_reader_finishes_the_segment_that_it_holds_and_is_then_told_to_jump(site: Site) -> None:
    async with connect(site.base) as reader, connect(site.base) as writer:
        await first_byte(site, writer, 0, b"zero")
        reader.get("/ch/0")
        await reader.head()
        assert await reader.read_chunk() == b"zero"
        writer.chunk(b" end")
        writer.end()
        for seq in range(1, 7):
            assert (await writer.answer()).status == 200
            writer.post(f"/ch/{seq}")
            writer.chunk(b"x")
            writer.end()
        await writer.answer()
        assert await reader.read_chunk() == b" end"
        assert await reader.read_chunk() == b""
        reader.get("/ch/1")
        head = await reader.head()
        assert (head.status, head["Lp-Trickle-Latest"]) == (470, "7")


async def test_a_waiting_reader_that_leaves_is_noticed(site: Site) -> None:
    async with connect(site.base) as reader:
        reader.get("/ch/0")
        await until(lambda: site.server.stats.readers == 1)
    await until(lambda: site.server.stats.readers == 0)


async def test_a_reader_that_leaves_mid_segment_is_noticed(site: Site) -> None:
    async with connect(site.base) as writer, connect(site.base) as reader:
        await first_byte(site, writer, 0)
        reader.get("/ch/0")
        await reader.head()
        reader.cut()
        await until(lambda: site.server.stats.readers == 0)
        writer.end()
        assert (await writer.answer()).status == 200


async def test_a_reader_that_takes_nothing_is_cut_and_the_others_go_on(impatient: Site) -> None:
    data = bytes(64 * 1024)
    async with connect(impatient.base) as writer, connect(impatient.base) as reader:
        stuck = socket.socket()
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stuck.connect(("127.0.0.1", int(impatient.base.rpartition(":")[2])))
        stuck.sendall(b"GET /ch/0 HTTP/1.1\r\nHost: x\r\n\r\n")
        reader.get("/ch/0")
        await until(lambda: impatient.server.stats.readers == 2)
        writer.post("/ch/0")
        got = 0

        async def drain() -> None:
            nonlocal got
            await reader.head()
            while chunk := await reader.read_chunk():
                got += len(chunk)

        drained = asyncio.create_task(drain())
        for _ in range(200):
            writer.chunk(data)
            await writer.writer.drain()
        writer.end()
        await drained
        assert got == 200 * len(data)
        await until(lambda: impatient.server.stats.readers == 0)
        assert impatient.server.stats.stalled == 1
        stuck.close()


# -- publishers ----------------------------------------------------------------------------------------------------


async def test_an_idle_preconnect_gets_100_continue_again_and_again_until_the_first_byte(site: Site) -> None:
    async with connect(site.base) as writer:
        writer.post("/ch/0")
        for _ in range(3):
            assert (await writer.head()).status == 100
        writer.chunk(b"x")
        await until(lambda: site.server.stats.bytes_in == 1)
        await asyncio.sleep(0.2)  # four intervals in which nothing must come but what was under way
        writer.end()
        provisional = 0
        while (head := await writer.head()).status == 100:
            provisional += 1
        assert provisional <= 1
        assert (head.status, head["Lp-Trickle-Seq"], head["Content-Length"]) == (200, "0", "0")


async def test_a_preconnect_can_be_read_while_the_one_before_is_written(site: Site) -> None:
    async with connect(site.base) as one, connect(site.base) as two, connect(site.base) as reader:
        await first_byte(site, one, 0)
        two.post("/ch/1")
        await until(lambda: site.server.stats.writers == 2)
        reader.get("/ch/next")
        assert (await reader.head())["Lp-Trickle-Latest"] == "1"


async def test_a_publisher_that_drops_leaves_the_segment_open_and_the_next_one_appends(site: Site) -> None:
    async with connect(site.base) as reader, connect(site.base) as again:
        async with connect(site.base) as writer:
            await first_byte(site, writer, 0, b"one")
            reader.get("/ch/0")
            await reader.head()
            assert await reader.read_chunk() == b"one"
            writer.cut()
        await until(lambda: site.server.stats.writers == 0)
        assert await reader.silent()
        await first_byte(site, again, 0, b"two")
        assert await reader.read_chunk() == b"two"
        again.end()
        assert await reader.read_chunk() == b""


async def test_a_preconnect_that_drops_leaves_the_head_where_it_is(site: Site) -> None:
    async with connect(site.base) as writer:
        writer.post("/ch/0")
        await until(lambda: site.server.stats.writers == 1)
    await until(lambda: site.server.stats.writers == 0)
    async with connect(site.base) as raw:
        raw.get("/ch/next")
        assert (await raw.head())["Lp-Trickle-Latest"] == "0"


async def test_a_broken_body_is_no_end_of_segment(site: Site) -> None:
    async with connect(site.base) as writer, connect(site.base) as reader:
        await first_byte(site, writer, 0, b"one")
        reader.get("/ch/0")
        await reader.head()
        assert await reader.read_chunk() == b"one"
        writer.send(b"this is no chunk size\r\n")
        assert await reader.silent()
        writer.cut()
        await until(lambda: site.server.stats.writers == 0)
        assert await reader.silent()
    async with connect(site.base) as again:
        await first_byte(site, again, 0, b"two")
        again.end()
        assert (await again.answer()).status == 200


async def test_an_unknown_channel_is_404_with_connection_close_even_to_an_open_body(site: Site) -> None:
    async with connect(site.base) as writer:
        writer.post("/unknown/0")
        head = await writer.head()
        assert (head.status, head["Connection"]) == (404, "close")
        await writer.rest()  # the server closes


async def test_posting_a_finished_segment_is_answered_before_the_body_ends(site: Site) -> None:
    async with connect(site.base) as writer, connect(site.base) as again:
        await first_byte(site, writer, 0)
        writer.end()
        await writer.answer()
        again.post("/ch/0")
        head = await again.head()
        assert (head.status, head["Connection"], head["Lp-Trickle-Seq"]) == (200, "close", "0")


async def test_an_evicted_preconnect_is_answered(site: Site) -> None:
    async with connect(site.base) as ahead, connect(site.base) as writer:
        ahead.post("/ch/5")
        await until(lambda: site.server.stats.writers == 1)
        await first_byte(site, writer, 0)
        head = await ahead.answer()
        assert (head.status, head["Connection"], head["Lp-Trickle-Closed"]) == (200, "close", None)


async def test_reset_releases_the_readers_of_what_a_lost_publisher_left(site: Site) -> None:
    async with connect(site.base) as reader, connect(site.base) as again, connect(site.base) as ahead:
        async with connect(site.base) as writer:
            await first_byte(site, writer, 0)
            reader.get("/ch/0")
            await reader.head()
            await reader.read_chunk()
        ahead.post("/ch/2")
        await until(lambda: site.server.stats.writers == 1)
        again.post("/ch/1", "Lp-Trickle-Reset: 1")
        assert await reader.read_chunk() == b""
        await until(lambda: site.server.stats.writers == 2)  # the later preconnect is left alone


async def test_a_publisher_that_stops_in_mid_segment_is_cut_an_idle_preconnect_is_not(impatient: Site) -> None:
    async with connect(impatient.base) as stuck, connect(impatient.base) as idle:
        idle.post("/ch/1")
        await first_byte(impatient, stuck, 0)
        head = await stuck.head()
        assert (head.status, head["Connection"]) == (408, "close")
        assert impatient.server.stats.stalled == 1
        assert await idle.silent(0.3)
        idle.chunk(b"x")
        idle.end()
        assert (await idle.answer()).status == 200


async def test_an_expect_header_gets_its_continue(site: Site) -> None:
    async with connect(site.base) as writer:
        writer.send("POST /ch/0 HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n")
        assert (await writer.head()).status == 100
        writer.send(b"x")
        assert (await writer.answer()).status == 200


# -- the end of a channel ------------------------------------------------------------------------------------------


async def test_closing_a_channel_tells_waiting_readers_and_idle_preconnects(site: Site) -> None:
    async with connect(site.base) as reader, connect(site.base) as writer:
        reader.get("/ch/0")
        writer.post("/ch/0")
        await until(lambda: (site.server.stats.readers, site.server.stats.writers) == (1, 1))
        site.server.close("ch")
        head = await reader.head()
        assert (head.status, head["Content-Length"], head["Lp-Trickle-Closed"]) == (200, "0", "terminated")
        assert head["Lp-Trickle-Seq"] == "0"
        assert head["Lp-Trickle-Latest"] is not None
        answer = await writer.answer()
        assert (answer.status, answer["Connection"], answer["Lp-Trickle-Closed"]) == (200, "close", "terminated")


async def test_a_body_under_way_ends_with_its_channel_and_its_publisher_is_told(site: Site) -> None:
    async with connect(site.base) as reader, connect(site.base) as writer:
        await first_byte(site, writer, 0)
        reader.get("/ch/0")
        await reader.head()
        assert await reader.read_chunk() == b"x"
        site.server.close("ch")
        assert await reader.read_chunk() == b""
        answer = await writer.answer()
        assert (answer.status, answer["Lp-Trickle-Closed"]) == (200, "terminated")
        reader.get("/ch/1")
        assert (await reader.head()).status == 404
