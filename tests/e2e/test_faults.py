"""Faults on a real stream: after each the process is up, nothing leaks, the next stream works, one line tells it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fault_kit import PICTURES, Bench, bench, clip_segments
from kit import publish
from trickle.raw import Head, Raw, scripted

from byoc_nb.runtime import channels
from byoc_nb.runtime.ports import free_port

pytestmark = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="the ffmpeg program is not installed")


@pytest.fixture
async def desk(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Bench]:
    clip_segments()
    async with bench(tmp_path, caplog) as made:
        yield made


# ---- the input


async def test_the_input_channel_vanishes(desk: Bench) -> None:
    camera = await desk.start("control", "events")
    await camera.play(2)
    await camera.delete()
    await desk.ended()
    assert len(await desk.output()) == 2 * PICTURES
    assert desk.said() == ["stream s1 ends: the input ended"]
    await desk.unharmed()


async def test_the_input_channel_vanishes_in_the_middle_of_a_segment(desk: Bench) -> None:
    camera = await desk.start("control", "events")
    await camera.play(1)
    async with camera.segment() as raw:
        await camera.send(raw, clip_segments()[1][:20_001])
        await camera.delete()
        assert (await raw.answer())["Lp-Trickle-Closed"]
    await desk.ended()
    assert len(await desk.output()) > PICTURES
    assert desk.said() == ["stream s1 ends: the input ended"]
    await desk.unharmed()


@pytest.mark.parametrize("release", ["the segment is deleted", "the next one resets"])
async def test_a_segment_is_cut_in_the_middle_of_a_packet(desk: Bench, release: str) -> None:
    camera = await desk.start()
    await camera.play(1)
    async with camera.segment() as raw:
        await camera.send(raw, clip_segments()[1][:20_001])
    camera.at += 1
    reset = ["Lp-Trickle-Reset: 1"] if release == "the next one resets" else []
    if not reset:
        await camera.delete(camera.seq - 1)
    await camera.play(1, *reset)
    await camera.play(1)
    await desk.pictures(3 * PICTURES)
    await desk.stop()
    pictures = await desk.output()
    assert len(pictures) > 3 * PICTURES, "all of the three whole segments, and what there was of the other"
    assert desk.said() == [
        "input: DamagedStream: bytes of the input's video are missing, or its clock jumped",
        "stream s1 ends: stopped",
    ]
    await desk.unharmed()


async def test_the_publisher_comes_back_to_the_same_segment_and_goes_on(desk: Bench) -> None:
    camera = await desk.start()
    await camera.play(1)
    data = clip_segments()[1]
    async with camera.segment() as raw:
        await camera.send(raw, data[:20_001])
    camera.seq -= 1
    async with camera.segment() as raw:
        await camera.send(raw, data[20_001:])
        raw.end()
        assert (await raw.answer()).status == 200
    camera.at += 1
    await camera.play(1)
    await desk.pictures(3 * PICTURES)
    await desk.stop()
    assert len(await desk.output()) == 3 * PICTURES, "nothing is lost"
    assert desk.said() == ["stream s1 ends: stopped"]
    assert desk.hub.said() == ["the publisher of s1-in/1 broke off; its 20001 bytes wait for it"]
    await desk.unharmed()


async def test_the_publisher_skips_sequence_numbers(desk: Bench) -> None:
    """The ring has five segments: the reader waits for one that never comes until the fifth after it begins."""
    camera = await desk.start()
    camera.pace = 0.5
    await camera.play(1)
    camera.seq += 10
    camera.at += 10
    await camera.play(4)
    await desk.pictures(2 * PICTURES)
    await desk.stop()
    pictures = await desk.output()
    assert len(pictures) in (3 * PICTURES, 4 * PICTURES), "at most the one is lost that was under way at the jump"
    assert re.fullmatch(r"the input skipped 1[01] segments", desk.said()[0])
    assert desk.said()[1:] == ["stream s1 ends: stopped"]
    await desk.unharmed()


# ---- the output and the side channels


async def test_the_output_channel_is_deleted(desk: Bench) -> None:
    camera = await desk.start("control", "events")
    await camera.play(1)
    desk.hub.close(desk.channel("out"))
    await camera.play(1)
    await desk.ended()
    assert desk.said() == [
        "stream s1 ends: the output failed: the trickle channel …/s1-out is closed: the other side ended the stream, "
        "or the channel does not exist: start a new one"
    ]
    await desk.unharmed()


GARBAGE = [
    b"{",
    b"\xff\xfe\x00",
    b"[1]",
    b"[" * 100_000,
    b'{"width": 3}',
    b'{"a": NaN}',
    b'{"a":' * 500 + b"1" + b"}" * 500,
]


async def test_control_sends_garbage(desk: Bench) -> None:
    camera = await desk.start("control", "events")
    await camera.play(1)
    await publish(f"{desk.hub.base}/{desk.channel('control')}", GARBAGE, end=False)
    await camera.play(2)
    await desk.pictures(3 * PICTURES)
    await desk.stop()
    assert len(await desk.output()) == 3 * PICTURES
    *told, last = desk.said()
    assert len(told) == len(GARBAGE)
    assert all("control message" in line and "\n" not in line for line in told)
    assert last == "stream s1 ends: stopped"
    await desk.unharmed()


@contextlib.asynccontextmanager
async def refusing(how: str, desk: Bench) -> AsyncIterator[str]:
    async def error(raw: Raw, head: Head) -> None:
        raw.respond(500, "Connection: close")
        raw.writer.close()

    if how == "500":
        async with scripted(error) as base:
            yield f"{base}/events"
    elif how == "404":
        yield f"{desk.hub.base}/nothing"
    else:
        yield f"http://127.0.0.1:{free_port('127.0.0.1')}/events"


@pytest.mark.parametrize("how", ["connection refused", "404", "500"])
async def test_the_events_endpoint_refuses(desk: Bench, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "HEARTBEAT_SECONDS", 0.2)
    monkeypatch.setattr("byoc_nb.trickle.wire.BACKOFF_SECONDS", 0.01)
    async with refusing(how, desk) as url:
        camera = await desk.start("control", events_url=url)
        await camera.play(3)
        await desk.pictures(3 * PICTURES)
        await desk.stop()
        assert len(await desk.output()) == 3 * PICTURES
    told, last = desk.said()
    assert told.startswith("events can't be published to …/") and "\n" not in told
    assert last == "stream s1 ends: stopped"
    await desk.unharmed()


# ---- the orchestrator's host


@pytest.mark.parametrize("channels", [(), ("control", "events", "data")])
async def test_the_orchestrators_host_disappears_and_returns(desk: Bench, channels: tuple[str, ...]) -> None:
    camera = await desk.start(*channels)
    await camera.play(1)
    began = time.monotonic()
    await asyncio.to_thread(desk.hub.die)
    await desk.ended(15)
    assert time.monotonic() - began < 10
    assert not any("\n" in line for line in desk.said())
    (end,) = [line for line in desk.said() if line.startswith("stream s1 ends: ")]
    told = [line for line in desk.said() if "Cannot connect to host" in line]
    if channels:
        assert len(told) <= len(channels) + 1, "one line for each channel at the most"
    else:
        assert told == [end] and end.startswith("stream s1 ends: the input failed: ")
    await asyncio.to_thread(desk.hub.start)
    await desk.unharmed()
