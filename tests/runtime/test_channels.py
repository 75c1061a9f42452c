"""Events and control, as go-livepeer's gateway and orchestrator see them."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from kit import WAIT, auntil, collect_json, publish

from byoc_nb.runtime import channels
from byoc_nb.runtime.channels import WAITING_EVENTS, Control, Events
from byoc_nb.trickle import TricklePublisher

STATUS = {"pipeline": "x", "state": "ONLINE", "input_status": {"fps": 29.9}, "inference_status": {"fps": 24.1}}


async def read(url, count, into):
    reading = asyncio.create_task(collect_json(url, into))
    await auntil(lambda: len(into) >= count)
    reading.cancel()
    await asyncio.wait([reading])


async def finish(task):
    await asyncio.wait_for(task, WAIT)


# ---- events


async def test_heartbeat_and_status_are_the_first_thing_that_is_sent(trickle):
    url, found = trickle.channel("events"), []
    events = Events(url, lambda: STATUS)
    running = asyncio.create_task(events.run())
    await read(url, 1, found)
    await events.close()
    await finish(running)
    beat = found[0]
    assert beat["queue_event_type"] == "stream_heartbeat"
    assert beat["event"]["type"] == "heartbeat"
    assert beat["event"]["timestamp"] > 1_600_000_000_000, "epoch milliseconds"
    assert beat["event"]["fps"] == {"ingress_video_fps": 29.9, "egress_video_fps": 24.1}


async def test_the_status_has_the_type_that_the_gateway_stores(trickle, monkeypatch):
    monkeypatch.setattr(channels, "HEARTBEAT_SECONDS", 0.05)
    url, found = trickle.channel("events"), []
    events = Events(url, lambda: STATUS)
    running = asyncio.create_task(events.run())
    await read(url, 6, found)
    await events.close()
    await finish(running)
    kinds = [item["event"]["type"] for item in found]
    assert kinds.count("heartbeat") >= 2 and kinds.count("status") >= 2
    status = next(item for item in found if item["event"]["type"] == "status")
    assert status["queue_event_type"] == "ai_stream_events"
    assert {key: status["event"][key] for key in STATUS} == STATUS


async def test_an_event_of_ones_own_and_what_is_emitted_just_before_the_end(trickle):
    url, found = trickle.channel("events"), []
    events = Events(url, lambda: STATUS)
    running = asyncio.create_task(events.run())
    reading = asyncio.create_task(collect_json(url, found))
    await auntil(lambda: found)
    events.emit("params_updated", params={"prompt": "cat", "odd": object()})
    events.emit("stream_stopped", reason="stopped")
    await events.close()
    await finish(running)
    await auntil(lambda: found[-1]["event"]["type"] == "stream_stopped")
    reading.cancel()
    await asyncio.wait([reading])
    assert found[-2]["event"]["params"]["prompt"] == "cat"
    assert found[-2]["queue_event_type"] == "ai_stream_events"


async def test_without_a_channel_there_is_nothing_to_do():
    events = Events("", lambda: STATUS)
    await asyncio.wait_for(events.run(), WAIT)
    events.emit("x")
    await asyncio.wait_for(events.close(), WAIT)


async def test_a_refusing_channel_is_tried_again_and_taken_when_it_is_there(trickle, monkeypatch, caplog):
    monkeypatch.setattr(channels, "HEARTBEAT_SECONDS", 0.05)
    found = []
    events = Events(f"{trickle.base}/late", lambda: STATUS)
    running = asyncio.create_task(events.run())
    await auntil(lambda: "can't be published" in caplog.text)
    assert not running.done()
    await read(trickle.channel("late"), 2, found)
    await events.close()
    await finish(running)


async def test_while_the_channel_is_away_the_oldest_events_give_way(trickle):
    url, found = trickle.channel("events"), []
    events = Events(url, lambda: STATUS)
    for number in range(200):
        events.emit("note", number=number)
    running = asyncio.create_task(events.run())
    await read(url, 4, found)
    notes = [item["event"]["number"] for item in found if item["event"]["type"] == "note"]
    assert notes[0] >= 200 - WAITING_EVENTS
    await events.close()
    await finish(running)


async def test_a_server_that_accepts_and_never_answers_holds_nobody_up(monkeypatch, caplog):
    monkeypatch.setattr(channels, "ANSWER_SECONDS", 0.1)
    monkeypatch.setattr(channels, "HEARTBEAT_SECONDS", 0.05)
    tries = []

    async def silent(reader, writer):
        tries.append(writer)

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/events"
    events = Events(url, lambda: STATUS)
    running = asyncio.create_task(events.run())
    await auntil(lambda: len(tries) >= 2)
    assert caplog.text.count("can't be published") == 1
    async with asyncio.timeout(3.0):
        await events.close()
    running.cancel()
    await asyncio.wait([running], timeout=WAIT)
    assert running.done()
    server.close()
    for writer in tries:
        writer.close()
    await server.wait_closed()


async def test_closing_while_the_channel_refuses_takes_a_second(trickle):
    events = Events(f"{trickle.base}/nothing", lambda: STATUS)
    running = asyncio.create_task(events.run())
    await asyncio.sleep(0)
    async with asyncio.timeout(2.0):
        await events.close()
    running.cancel()
    await asyncio.wait([running])


# ---- control


async def messages_of(trickle, *parts, caplog=None):
    url, found = trickle.channel("control"), []

    async def take(message):
        found.append(message)

    running = asyncio.create_task(Control(url, take).run())
    await publish(url, parts)
    await finish(running)
    return found


async def test_messages_arrive_in_order_and_the_end_of_the_channel_ends_it(trickle):
    found = await messages_of(trickle, *[json.dumps({"n": n}).encode() for n in range(4)])
    assert found == [{"n": n} for n in range(4)]


async def test_keepalives_and_empty_segments_are_ignored(trickle, caplog):
    with caplog.at_level(logging.WARNING):
        found = await messages_of(trickle, b'{"keep":"alive"}', b"", b"  \n", b'{"keep": "alive"}', b'{"a":1}')
    assert found == [{"a": 1}]
    assert not caplog.records


@pytest.mark.parametrize("garbage", [b"{", b"\xff\xfe\x00", b"[1,2]", b'"x"', b"7", b"null", b"[" * 50_000])
async def test_garbage_is_logged_and_passed_over(trickle, caplog, garbage):
    assert await messages_of(trickle, garbage, b'{"a":1}') == [{"a": 1}]
    assert "a control message isn't" in caplog.text


async def test_a_message_larger_than_32_kib(trickle):
    message = {"prompt": "x" * 200_000}
    assert await messages_of(trickle, json.dumps(message).encode()) == [message]


async def test_a_message_beyond_the_bound_is_refused_whole(trickle, monkeypatch, caplog):
    monkeypatch.setattr(channels, "MAX_CONTROL_BYTES", 100_000)
    big = json.dumps({"prompt": "x" * 300_000}).encode()
    assert await messages_of(trickle, big, b'{"a":1}') == [{"a": 1}]
    assert "too long" in caplog.text


async def test_a_message_that_was_sent_before_we_came_is_read(trickle):
    url, found = trickle.channel("control"), []

    async def take(message):
        found.append(message)

    async with TricklePublisher(url) as channel:
        async with await channel.next() as segment:
            await segment.write(b'{"a":1}')
        running = asyncio.create_task(Control(url, take).run())
        await auntil(lambda: found)
        await channel.close(delete=True)
    await finish(running)


@pytest.mark.parametrize("where", ["no channel", "no server"])
async def test_a_control_channel_that_is_not_there_ends_it(trickle, where, caplog, monkeypatch):
    monkeypatch.setattr("byoc_nb.trickle.wire.BACKOFF_SECONDS", 0.005)
    url = f"{trickle.base}/nothing" if where == "no channel" else "http://127.0.0.1:9/control"
    await finish(asyncio.create_task(Control(url, None).run()))
    assert "control channel failed" in caplog.text
