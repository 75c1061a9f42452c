"""The subscriber against our server, and against servers that do what go-livepeer's may do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aiohttp
import pytest

from byoc_nb.trickle import ChannelNotFound, TrickleError, TricklePublisher, TrickleSubscriber, subscriber

from .raw import WAIT, Head, Raw, Site, scripted, until

Answer = Callable[[Raw], None]


@pytest.fixture(autouse=True)
def no_waiting(quick_retries: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subscriber, "AHEAD_SECONDS", 0.01)


def served(seq: int, body: bytes) -> Answer:
    return lambda raw: raw.respond(200, f"Lp-Trickle-Seq: {seq}", body=body)


def missing(latest: int) -> Answer:
    return lambda raw: raw.respond(470, f"Lp-Trickle-Latest: {latest}")


def closed(body: bytes = b"") -> Answer:
    return lambda raw: raw.respond(200, "Lp-Trickle-Closed: terminated", "Lp-Trickle-Seq: 9", body=body)


class Script:
    """Answers by path, in order; the last one repeats. Keeps what was asked."""

    def __init__(self, **answers: list[Answer]) -> None:
        self.answers = {name.replace("_", "-").removeprefix("s"): list(given) for name, given in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, raw: Raw, head: Head) -> None:
        element = (head[":path"] or "").rpartition("/")[2]
        self.asked.append(element)
        answers = self.answers.get(element)
        if not answers:
            await asyncio.Event().wait()  # a GET at the edge
        else:
            (answers.pop(0) if len(answers) > 1 else answers[0])(raw)


async def publish(site: Site, *bodies: bytes) -> None:
    async with TricklePublisher(site.url) as publisher:
        for body in bodies:
            async with await publisher.next() as segment:
                await segment.write(body)


async def collect(sub: TrickleSubscriber) -> list[tuple[int, int, bytes]]:
    return [(s.seq, s.gap, await s.read()) async for s in sub]


# -- the ordinary course -------------------------------------------------------------------------------------------


async def test_segments_come_in_order_until_the_channel_is_closed(site: Site) -> None:
    async with TrickleSubscriber(site.url) as sub:
        reading = asyncio.create_task(collect(sub))
        await until(lambda: site.server.stats.readers == 1)
        await publish(site, b"zero", b"one", b"two")
        await until(lambda: site.server.stats.bytes_out == 10 and site.server.stats.readers == 1)
        site.server.close("ch")
        assert await reading == [(0, 0, b"zero"), (1, 0, b"one"), (2, 0, b"two")]
        assert sub.ended == "closed"
        assert sub.gaps == 0
        assert [s async for s in sub] == []


async def test_a_segment_is_there_with_its_headers_and_its_chunks_as_they_arrive(site: Site) -> None:
    async with TricklePublisher(site.url) as publisher, TrickleSubscriber(site.url) as sub:
        writer = await publisher.next()
        await writer.write(b"one")
        segment = await anext(sub)
        assert await anext(segment) == b"one"
        await writer.write(b"two")
        assert await anext(segment) == b"two"
        rest = asyncio.create_task(segment.read())
        await writer.close()
        assert await rest == b""
        assert not segment.truncated


async def test_the_next_request_is_under_way_while_the_current_segment_is_read(site: Site) -> None:
    async with TricklePublisher(site.url) as publisher, TrickleSubscriber(site.url) as sub:
        writer = await publisher.next()
        await writer.write(b"one")
        await anext(sub)
        await until(lambda: site.server.stats.readers == 2)


@pytest.mark.parametrize(("start", "first"), [(-2, 2), (0, 0), (1, 1)])
async def test_where_it_starts(site: Site, start: int, first: int) -> None:
    await publish(site, b"zero", b"one", b"two")
    async with TrickleSubscriber(site.url, start=start) as sub:
        segment = await anext(sub)
        assert (segment.seq, segment.gap) == (first, 0)


async def test_minus_one_starts_with_the_next_segment(site: Site) -> None:
    await publish(site, b"zero")
    async with TrickleSubscriber(site.url, start=-1) as sub:
        waiting = asyncio.ensure_future(anext(sub))
        await until(lambda: site.server.stats.readers == 1)
        await publish(site, b"one")
        assert (await waiting).seq == 1


async def test_an_empty_segment_is_a_segment_without_bytes(site: Site) -> None:
    async with TrickleSubscriber(site.url) as sub:
        waiting = asyncio.ensure_future(anext(sub))
        await until(lambda: site.server.stats.readers == 1)
        await publish(site, b"", b"one")
        segment = await waiting
        assert (segment.seq, await segment.read(), segment.truncated) == (0, b"", False)
        assert await (await anext(sub)).read() == b"one"


async def test_giving_up_the_wait_for_a_segment_loses_nothing(site: Site) -> None:
    async with TrickleSubscriber(site.url) as sub:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(sub), 0.05)
        await publish(site, b"zero")
        assert await (await anext(sub)).read() == b"zero"


async def test_asking_for_the_next_segment_gives_up_the_unread_one(site: Site) -> None:
    async with TricklePublisher(site.url) as publisher, TrickleSubscriber(site.url) as sub:
        await (await publisher.next()).write(b"never ends")
        segment = await anext(sub)
        await (await publisher.next()).write(b"one")
        assert (await anext(sub)).seq == 1
        assert segment.truncated
        assert await segment.read() == b""


async def test_a_blocked_get_is_issued_anew_and_that_is_no_error(site: Site) -> None:
    script = Script(s0=[served(0, b"zero")])
    async with (
        scripted(script) as base,
        TrickleSubscriber(f"{base}/ch", start=0, refresh_seconds=0.03, max_retries=0) as s,
    ):
        await anext(s)
        await until(lambda: script.asked.count("1") >= 4)
        script.answers["1"] = [served(1, b"one")]
        assert await (await anext(s)).read() == b"one"
        assert s.gaps == 0


async def test_a_slow_body_outlives_the_refresh(site: Site) -> None:
    async with TricklePublisher(site.url) as publisher, TrickleSubscriber(site.url, refresh_seconds=0.03) as sub:
        writer = await publisher.next()
        await writer.write(b"one")
        segment = await anext(sub)
        await asyncio.sleep(0.15)
        await writer.write(b"two")
        await writer.close()
        assert await segment.read() == b"onetwo"


# -- 470 -----------------------------------------------------------------------------------------------------------


async def test_a_reader_that_fell_out_of_the_ring_jumps_to_the_head_and_counts(site: Site) -> None:
    async with TrickleSubscriber(site.url, start=0) as sub:
        await publish(site, b"0")
        assert (await anext(sub)).seq == 0
        stats = lambda: site.server.stats  # noqa: E731
        await until(lambda: stats().readers == 1)  # the GET for 1, which may finish it after its eviction
        await publish(site, *[b"%d" % n for n in range(1, 9)])
        assert [(s.seq, s.gap) for s in [await anext(sub)]] == [(1, 0)]
        waiting = asyncio.ensure_future(anext(sub))
        await until(lambda: stats().readers == 1)
        await publish(site, b"9")
        segment = await waiting
        assert (segment.seq, segment.gap, sub.gaps) == (9, 7, 7)


async def test_a_segment_that_the_writer_has_not_reached_is_asked_for_again(site: Site) -> None:
    script = Script(s7=[missing(2), missing(6), missing(7), served(7, b"seven")])
    async with scripted(script) as base, TrickleSubscriber(f"{base}/ch", start=7, max_retries=0) as sub:
        segment = await anext(sub)
        assert (segment.seq, segment.gap) == (7, 0)
        assert script.asked[:4] == ["7"] * 4


async def test_a_470_without_latest_is_asked_again(site: Site) -> None:
    script = Script(s7=[lambda raw: raw.respond(470), served(7, b"seven")])
    async with scripted(script) as base, TrickleSubscriber(f"{base}/ch", start=7) as sub:
        assert (await anext(sub)).seq == 7


async def test_at_the_start_a_jump_is_no_gap(site: Site) -> None:
    script = Script(s_2=[missing(4)], s4=[served(4, b"four")])
    async with scripted(script) as base, TrickleSubscriber(f"{base}/ch") as sub:
        segment = await anext(sub)
        assert (segment.seq, segment.gap) == (4, 0)


# -- the end -------------------------------------------------------------------------------------------------------


async def test_the_closed_header_counts_whatever_the_body_says(site: Site) -> None:
    script = Script(s0=[served(0, b"zero")], s1=[closed(b"Entry not found")])
    async with scripted(script) as base, TrickleSubscriber(f"{base}/ch", start=0) as sub:
        assert await collect(sub) == [(0, 0, b"zero")]
        assert sub.ended == "closed"


async def test_the_end_is_told_only_after_the_segments_before_it(site: Site) -> None:
    script = Script(s0=[served(0, b"zero")], s1=[closed()])
    async with scripted(script) as base, TrickleSubscriber(f"{base}/ch", start=0) as sub:
        segment = await anext(sub)
        await until(lambda: "1" in script.asked)
        assert sub.ended is None
        assert await segment.read() == b"zero"


async def test_an_unknown_channel_raises(site: Site) -> None:
    async with TrickleSubscriber(f"{site.base}/unknown") as sub:
        with pytest.raises(ChannelNotFound) as caught:
            await anext(sub)
        assert caught.value.url == f"{site.base}/unknown"
        assert sub.ended == "failed"
        with pytest.raises(StopAsyncIteration):
            await anext(sub)


@pytest.mark.parametrize("before", ["a segment", "a 470"])
async def test_404_later_is_the_end_of_a_deleted_channel(site: Site, before: str) -> None:
    script = Script(s0=[served(0, b"zero") if before == "a segment" else missing(1)], s1=[lambda raw: raw.respond(404)])
    async with scripted(script) as base, TrickleSubscriber(f"{base}/ch", start=0) as sub:
        await collect(sub)
        assert sub.ended == "deleted"


# -- failures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "failure",
    [lambda raw: raw.respond(500), lambda raw: raw.cut(), lambda raw: raw.respond(200)],
    ids=["500", "cut", "no seq to -2"],
)
async def test_bounded_retries_and_then_an_error(site: Site, failure: Answer) -> None:
    script = Script(s_2=[failure])
    async with scripted(script) as base, TrickleSubscriber(f"{base}/ch", max_retries=3) as sub:
        with pytest.raises(TrickleError) as caught:
            await anext(sub)
        assert caught.value.url == f"{base}/ch"
        assert caught.value.hint
        assert sub.ended == "failed"
        assert set(script.asked) == {"-2"}
        assert 4 <= len(script.asked) <= 8  # aiohttp itself asks once more when the connection is lost


async def test_a_failure_that_passes_is_not_seen(site: Site) -> None:
    script = Script(
        s0=[lambda raw: raw.cut(), lambda raw: raw.respond(503), served(0, b"zero")],
        s1=[lambda raw: raw.cut(), lambda raw: raw.cut(), closed()],
    )
    async with scripted(script) as base, TrickleSubscriber(f"{base}/ch", start=0, max_retries=2) as sub:
        assert await collect(sub) == [(0, 0, b"zero")]


async def test_a_failure_found_ahead_is_raised_after_the_segments_before_it(site: Site) -> None:
    script = Script(s0=[served(0, b"zero")], s1=[lambda raw: raw.respond(500)])
    async with scripted(script) as base, TrickleSubscriber(f"{base}/ch", start=0, max_retries=1) as sub:
        segment = await anext(sub)
        await until(lambda: script.asked.count("1") == 2)
        assert await segment.read() == b"zero"
        with pytest.raises(TrickleError):
            await anext(sub)
        assert sub.ended == "failed"


async def test_a_body_that_is_cut_is_truncated_and_the_next_segment_follows(site: Site) -> None:
    def half(raw: Raw) -> None:
        raw.send("HTTP/1.1 200 OK\r\nLp-Trickle-Seq: 0\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
        raw.writer.close()

    script = Script(s0=[half], s1=[served(1, b"one")])
    async with scripted(script) as base, TrickleSubscriber(f"{base}/ch", start=0) as sub:
        segment = await anext(sub)
        data = await segment.read()
        assert segment.truncated
        assert b"hello".startswith(data)
        after = await anext(sub)
        assert (after.seq, await after.read(), after.gap, after.truncated) == (1, b"one", 0, False)


async def test_a_server_that_names_no_seq_is_believed_to_serve_what_was_asked(site: Site) -> None:
    script = Script(s3=[lambda raw: raw.respond(200, body=b"three")])
    async with scripted(script) as base, TrickleSubscriber(f"{base}/ch", start=3) as sub:
        assert (await anext(sub)).seq == 3


def test_a_start_below_minus_two_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="-3"):
        TrickleSubscriber("http://x/ch", start=-3)


# -- closing -------------------------------------------------------------------------------------------------------


async def test_close_ends_a_waiting_iteration_and_leaves_nothing(site: Site) -> None:
    tasks = asyncio.all_tasks()
    sub = TrickleSubscriber(site.url)
    reading = asyncio.create_task(collect(sub))
    await until(lambda: site.server.stats.readers == 1)
    await sub.close()
    assert await asyncio.wait_for(reading, WAIT) == []
    assert sub.ended is None
    await sub.close()
    assert await collect(sub) == []
    await until(lambda: site.server.stats.readers == 0)
    await until(lambda: asyncio.all_tasks() <= tasks)


async def test_close_in_mid_segment_cuts_it(site: Site) -> None:
    async with TricklePublisher(site.url) as publisher:
        await (await publisher.next()).write(b"never ends")
        sub = TrickleSubscriber(site.url)
        segment = await anext(sub)
        await sub.close()
        assert await segment.read() == b""
        assert segment.truncated


async def test_close_wakes_who_waits_for_the_next_chunk(site: Site) -> None:
    async with TricklePublisher(site.url) as publisher:
        await (await publisher.next()).write(b"never ends")
        sub = TrickleSubscriber(site.url)
        segment = await anext(sub)
        assert await anext(segment) == b"never ends"
        rest = asyncio.create_task(segment.read())
        await asyncio.sleep(0.02)
        await sub.close()
        assert await asyncio.wait_for(rest, WAIT) == b""
        assert segment.truncated


async def test_close_discards_a_segment_and_a_failure_that_nobody_asked_for(site: Site) -> None:
    for ahead in (served(1, b"one"), lambda raw: raw.respond(500)):
        script = Script(s0=[served(0, b"zero")], s1=[ahead])
        async with scripted(script) as base, TrickleSubscriber(f"{base}/ch", start=0, max_retries=0) as sub:
            await anext(sub)
            await until(lambda: "1" in script.asked)  # noqa: B023
            await asyncio.sleep(0.02)


async def test_closing_before_the_first_segment_is_no_error() -> None:
    await TrickleSubscriber("http://127.0.0.1:1/ch").close()


async def test_a_given_session_is_used_and_left_open(site: Site) -> None:
    used: list[str] = []
    trace = aiohttp.TraceConfig()

    async def note(*args: object) -> None:
        used.append("request")

    trace.on_request_start.append(note)
    async with aiohttp.ClientSession(trace_configs=[trace]) as session:
        await publish(site, b"zero")
        async with TrickleSubscriber(site.url, session=session) as sub:
            assert await (await anext(sub)).read() == b"zero"
        assert used
        assert not session.closed


async def test_a_close_that_is_cancelled_leaves_no_connection(site: Site) -> None:
    subscriber = TrickleSubscriber(site.url)
    waiting = asyncio.create_task(anext(subscriber))
    await until(lambda: site.server.stats.readers == 1)
    closing = asyncio.create_task(subscriber.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing, waiting])
    assert closing.cancelled()
    await until(lambda: site.server.stats.readers == 0)
    assert subscriber._session is not None and subscriber._session.closed
