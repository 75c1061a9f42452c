"""One segment going out: the body on the wire, back-pressure, retries, early answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from byoc_nb.trickle import ChannelClosed, SegmentWriter, TrickleError, wire, writer
from byoc_nb.trickle.writer import Link

from .raw import WAIT, Head, Raw, Site, connect, scripted, until

pytestmark = pytest.mark.usefixtures("quick_retries")

Open = Callable[[str], Link]


@pytest.fixture
async def link() -> AsyncIterator[Open]:
    """Makes links to a base URL's channel, all on one session."""
    async with wire.open_session() as session:
        yield lambda base: Link(f"{base}/ch", "video/MP2T", session, verify_tls=False)


class Peer:
    """A server under the test's control: every request lands in `requests` and waits for `release`."""

    def __init__(self, *answers: Callable[[Raw], Awaitable[None]]) -> None:
        self.answers = list(answers)
        self.requests: list[Head] = []
        self.release = asyncio.Event()

    async def __call__(self, raw: Raw, head: Head) -> None:
        self.requests.append(head)
        if self.answers:
            await self.answers.pop(0)(raw)
        else:
            await self.release.wait()

    async def arrived(self, count: int = 1) -> None:
        await until(lambda: len(self.requests) >= count)


async def body_then_200(raw: Raw) -> None:
    while await raw.read_chunk():
        pass
    raw.respond(200, "Lp-Trickle-Seq: 7")


async def cut(raw: Raw) -> None:
    raw.cut()


def respond(status: int, *headers: str) -> Callable[[Raw], Awaitable[None]]:
    async def answer(raw: Raw) -> None:
        raw.respond(status, "Connection: close", *headers)
        raw.writer.close()

    return answer


async def test_the_headers_go_out_before_the_first_byte_and_chunks_as_they_are_written(link: Open) -> None:
    got: list[bytes] = []

    async def read(raw: Raw) -> None:
        while chunk := await raw.read_chunk():
            got.append(chunk)
        raw.respond(200, "Lp-Trickle-Seq: 0")

    peer = Peer(read)
    async with scripted(peer) as base:
        segment = SegmentWriter(link(base), 0)
        await peer.arrived()
        head = peer.requests[0]
        assert (head[":method"], head[":path"]) == ("POST", "/ch/0")
        assert (head["Transfer-Encoding"], head["Content-Type"]) == ("chunked", "video/MP2T")
        assert head["Expect"] is None
        assert head["Lp-Trickle-Reset"] is None
        for chunk in (b"one", b"", b"two"):
            await segment.write(chunk)
            await until(lambda: got[-1:] == [chunk] or not chunk)  # noqa: B023
        assert not segment.answered
        await segment.close()
        assert segment.answered
        assert got == [b"one", b"two"]
        await segment.close()


async def test_repeated_provisional_answers_are_tolerated(site: Site, link: Open) -> None:
    segment = SegmentWriter(link(site.base), 0)
    await asyncio.sleep(0.3)  # five `100 Continue`
    await segment.write(b"late")
    await segment.close()
    async with connect(site.base) as raw:
        raw.get("/ch/0")
        await raw.head()
        assert await raw.read_chunk() == b"late"


async def test_reset_is_a_header_of_the_post(link: Open) -> None:
    peer = Peer(body_then_200)
    async with scripted(peer) as base:
        segment = SegmentWriter(link(base), 3, reset=True)
        await peer.arrived()
        assert peer.requests[0]["Lp-Trickle-Reset"]
        await segment.close()


async def test_the_servers_seq_replaces_minus_one(link: Open) -> None:
    async with scripted(Peer(body_then_200)) as base:
        segment = SegmentWriter(link(base), -1)
        assert segment.seq == -1
        await segment.close()
        assert segment.seq == 7


async def test_close_waits_for_the_answer(link: Open) -> None:
    answer = asyncio.Event()

    async def hold(raw: Raw) -> None:
        while await raw.read_chunk():
            pass
        await answer.wait()
        raw.respond(200)

    async with scripted(Peer(hold)) as base:
        segment = SegmentWriter(link(base), 0)
        await segment.write(b"x")
        closing = asyncio.create_task(segment.close())
        done, _ = await asyncio.wait([closing], timeout=0.05)
        assert not done
        answer.set()
        await asyncio.wait_for(closing, WAIT)


async def test_a_writer_whose_peer_does_not_read_waits(link: Open) -> None:
    peer = Peer()
    async with scripted(peer) as base:
        segment = SegmentWriter(link(base), 0)
        await peer.arrived()

        async def flood() -> int:
            for count in range(1000):
                try:
                    await asyncio.wait_for(segment.write(bytes(256 * 1024)), 0.2)
                except TimeoutError:
                    return count
            return 1000

        assert await flood() < 100  # what the sockets hold, and 1 MiB of ours
        assert segment._outstanding <= writer.MAX_OUTSTANDING_BYTES
        blocked = asyncio.create_task(segment.write(b"x" * 1024 * 1024))
        await segment.drop()
        with pytest.raises(TrickleError):
            await asyncio.wait_for(blocked, WAIT)


async def test_a_chunk_larger_than_the_queue_still_goes_through(site: Site, link: Open) -> None:
    segment = SegmentWriter(link(site.base), 0)
    await segment.write(bytes(3 * 1024 * 1024))
    await segment.close()
    assert site.server.stats.bytes_in == 3 * 1024 * 1024


@pytest.mark.parametrize("failure", [cut, respond(500), respond(503)], ids=["cut", "500", "503"])
async def test_what_was_never_sent_is_tried_again(link: Open, failure: Callable[[Raw], Awaitable[None]]) -> None:
    peer = Peer(failure, failure, body_then_200)
    async with scripted(peer) as base:
        segment = SegmentWriter(link(base), 7)
        await peer.arrived(3)
        await segment.write(b"x")
        await segment.close()


async def test_retries_are_bounded(link: Open) -> None:
    peer = Peer(*[cut] * 20)
    async with scripted(peer) as base:
        segment = SegmentWriter(link(base), 0)
        with pytest.raises(TrickleError) as caught:
            await segment.close()
        assert caught.value.url == f"{base}/ch/0"
        assert len(peer.requests) == writer.MAX_RETRIES + 1


async def test_a_connection_that_held_for_a_while_starts_the_count_anew(
    link: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "HELD_SECONDS", 0.0)
    peer = Peer(*[cut] * 20, body_then_200)
    async with scripted(peer) as base:
        segment = SegmentWriter(link(base), 0)
        await peer.arrived(21)
        await segment.close()


async def test_a_body_that_was_begun_is_never_sent_twice(link: Open) -> None:
    async def cut_after_a_chunk(raw: Raw) -> None:
        await raw.read_chunk()
        raw.cut()

    peer = Peer(cut_after_a_chunk, body_then_200)
    async with scripted(peer) as base:
        segment = SegmentWriter(link(base), 0)
        await segment.write(b"one")
        await until(lambda: segment.answered)
        with pytest.raises(TrickleError):
            await segment.write(b"two")
        with pytest.raises(TrickleError):
            await segment.close()
        assert len(peer.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [respond(404), respond(200, "Lp-Trickle-Closed: terminated"), respond(404, "Lp-Trickle-Closed: x")],
    ids=["404", "closed", "both"],
)
async def test_404_and_the_closed_header_end_the_channel(link: Open, answer: Callable[[Raw], Awaitable[None]]) -> None:
    peer = Peer(answer)
    async with scripted(peer) as base:
        shared = link(base)
        segment = SegmentWriter(shared, 0)
        await until(lambda: segment.answered)
        assert shared.ended is not None
        with pytest.raises(ChannelClosed):
            await segment.write(b"x")
        with pytest.raises(ChannelClosed):
            await segment.close()
        assert len(peer.requests) == 1


async def test_an_answer_before_the_last_byte_is_an_error(link: Open) -> None:
    async with scripted(Peer(respond(200, "Lp-Trickle-Seq: 0"))) as base:
        segment = SegmentWriter(link(base), 0)
        await until(lambda: segment.answered)
        with pytest.raises(TrickleError, match="before its last byte"):
            await segment.write(b"x")


async def test_a_refusal_is_not_tried_again(link: Open) -> None:
    peer = Peer(respond(413))
    async with scripted(peer) as base:
        segment = SegmentWriter(link(base), 0)
        with pytest.raises(TrickleError) as caught:
            await segment.close()
        assert caught.value.status == 413
        assert len(peer.requests) == 1


async def test_writing_after_close_is_an_error(site: Site, link: Open) -> None:
    segment = SegmentWriter(link(site.base), 0)
    await segment.close()
    with pytest.raises(TrickleError, match="already closed"):
        await segment.write(b"x")


async def test_abort_deletes_the_segment_so_that_its_readers_move_on(site: Site, link: Open) -> None:
    async with connect(site.base) as reader:
        segment = SegmentWriter(link(site.base), 0)
        await segment.write(b"half")
        reader.get("/ch/0")
        await reader.head()
        assert await reader.read_chunk() == b"half"
        await segment.abort()
        assert await reader.read_chunk() == b""
        with pytest.raises(TrickleError):
            await segment.write(b"x")
        await segment.abort()


async def test_abort_of_a_finished_segment_does_nothing(site: Site, link: Open) -> None:
    segment = SegmentWriter(link(site.base), 0)
    await segment.write(b"x")
    await segment.close()
    await segment.abort()


async def test_abort_survives_a_server_that_is_gone(link: Open) -> None:
    peer = Peer()
    async with scripted(peer) as base:
        segment = SegmentWriter(link(base), 0)
        await peer.arrived()
    await segment.abort()


async def test_drop_leaves_the_segment_to_be_gone_on_with(site: Site, link: Open) -> None:
    shared = link(site.base)
    segment = SegmentWriter(shared, 0)
    await segment.write(b"one")
    await until(lambda: site.server.stats.bytes_in == 3)
    await segment.drop()
    again = SegmentWriter(shared, 0)
    await again.write(b"two")
    await again.close()
    async with shared.session.get(f"{site.url}/0") as response:
        assert await response.read() == b"onetwo"


async def test_as_a_context_it_closes_and_aborts_on_an_error(site: Site, link: Open) -> None:
    shared = link(site.base)
    async with SegmentWriter(shared, 0) as segment:
        await segment.write(b"x")
    assert segment.answered
    with pytest.raises(KeyError):
        async with SegmentWriter(shared, 1) as broken:
            await broken.write(b"x")
            await until(lambda: site.server.stats.bytes_in == 2)
            raise KeyError
    async with shared.session.get(f"{site.url}/1") as response:
        assert await response.read() == b"x"  # ended by the DELETE


async def test_a_session_closed_by_its_owner_is_an_error_and_no_silence(link: Open) -> None:
    shared = link("http://127.0.0.1:1")
    await shared.session.close()
    segment = SegmentWriter(shared, 0)
    with pytest.raises(TrickleError):
        await segment.close()
