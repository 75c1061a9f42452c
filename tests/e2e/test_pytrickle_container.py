"""The container's contract with a stranger on either side: pytrickle's own server, and go-livepeer's way of calling."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from fault_kit import CHUNKS, PICTURES, Negative, clip_segments
from kit import WAIT, Trickle, auntil, collect, collect_json, decode

from byoc_nb import StreamServer, VideoFrame
from byoc_nb.runtime.ports import free_port
from byoc_nb.trickle import TricklePublisher, TrickleServer

PYTRICKLE = os.environ.get("BYOC_PYTRICKLE_PYTHON", "")
CONTAINER = Path(__file__).parents[1] / "fixtures" / "peers" / "pytrickle_container.py"
SECONDS = 4
GO = {"User-Agent": "Go-http-client/1.1", "Accept-Encoding": "gzip", "X-Stream-Id": "cam-7f3a91c2"}

pytestmark = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="the ffmpeg program is not installed")


async def publish_clip(url: str, *, end: bool) -> None:
    """Our source: a second of the clip every second, as a camera sends it."""
    async with TricklePublisher(url) as channel:
        for part in (await asyncio.to_thread(clip_segments))[:SECONDS]:
            async with await channel.next() as segment:
                for at in range(0, len(part), step := -(-len(part) // CHUNKS)):
                    await segment.write(part[at : at + step])
                    await asyncio.sleep(1 / CHUNKS)  # what it took to record
        if end:
            await channel.close(delete=True)


def assert_negative(given: list[VideoFrame], got: list[VideoFrame]) -> None:
    """Each picture that came back is the negative of the one with its time."""
    at = {frame.timestamp: frame for frame in given}
    assert {frame.timestamp for frame in got} <= at.keys()
    for frame in got:
        expected = 255 - at[frame.timestamp].array.astype(int)
        assert np.abs(frame.array - expected).mean() < 12, f"the picture at {frame.seconds} s"


# ---- pytrickle's server on our channels


@contextlib.asynccontextmanager
async def pytrickle_container() -> AsyncIterator[str]:
    """pytrickle's StreamServer in a process of its own, ready for a stream; its URL."""
    port = free_port("127.0.0.1")
    process = await asyncio.create_subprocess_exec(
        PYTRICKLE, CONTAINER, str(port), stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(60), aiohttp.ClientSession() as http:  # importing torch takes its time
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    async with http.get(f"http://127.0.0.1:{port}/health") as answer:
                        if (await answer.json())["status"] == "IDLE":
                            break
                assert process.returncode is None
                await asyncio.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@pytest.mark.skipif(not PYTRICKLE, reason="no environment with pytrickle: run it as `make test`")
async def test_pytrickles_server_processes_a_stream_that_our_server_carries(trickle: Trickle) -> None:
    names = {"in": "subscribe_url", "out": "publish_url", "control": "control_url", "events": "events_url"}
    urls = {key: trickle.channel(name) for name, key in names.items()}
    events: list[Any] = []
    async with pytrickle_container() as rest, aiohttp.ClientSession() as http:
        params = {"width": 160, "height": 90, "max_framerate": 25}
        body = {"gateway_request_id": "x", "params": params, **urls}
        async with http.post(f"{rest}/stream/start", json=body) as answer:
            assert answer.status == 200, await answer.text()
        reading = asyncio.create_task(collect(urls["publish_url"]))
        told = asyncio.create_task(collect_json(urls["events_url"], events))
        await publish_clip(urls["subscribe_url"], end=False)
        async with http.get(f"{rest}/stream/status") as answer:
            assert (await answer.json())["client_active"]
        trickle.server.close("in")
        await auntil(lambda: trickle.server.stats.writers <= 1)  # the end of its output has come, but for preconnects
        async with http.post(f"{rest}/stream/stop", json={}) as answer:
            await answer.read()
        trickle.server.close_all()
        output = b"".join(await asyncio.wait_for(reading, WAIT))
        await asyncio.wait_for(told, WAIT)
    given = decode(b"".join(clip_segments()[:SECONDS]))[0]
    got = decode(output)[0]
    assert SECONDS * PICTURES - 5 <= len(got) <= SECONDS * PICTURES, "it loses a few at the end"
    assert_negative(given, got)
    assert "send_first_processed_segment" in {event["event"]["type"] for event in events}


# ---- our container as go-livepeer's orchestrator calls it


class Orchestrator:
    """Calls the container as go-livepeer does; its channels stand on another port, under `/ai/trickle/`."""

    def __init__(self, rest: str, channels: TrickleServer, base: str, http: aiohttp.ClientSession) -> None:
        self._rest, self._channels, self.base, self._http = rest, channels, base, http

    async def post(self, path: str, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
        skipped = () if "Content-Type" in headers else ("Content-Type",)
        async with self._http.post(
            self._rest + path, data=body, headers=GO | headers, skip_auto_headers=skipped
        ) as answer:
            return answer.status, await answer.json()

    async def start(self, **changes: Any) -> tuple[int, dict[str, Any]]:
        """The body as captured from go-livepeer, on new channels."""
        stream = "cam-7f3a91c2"
        body: dict[str, Any] = {"gateway_request_id": stream}
        for key, suffix in (("control", "-control"), ("events", "-events"), ("subscribe", ""), ("publish", "-out")):
            self._channels.create(stream + suffix, "video/MP2T" if suffix in ("", "-out") else "application/json")
            body[f"{key}_url"] = f"{self.base}/{stream}{suffix}"
        self._channels.create(f"{stream}-data", "application/jsonl")
        body |= {"data_url": f"{self.base}/{stream}-data", "params": None, **changes}
        return await self.post("/stream/start", json.dumps(body).encode(), **{"Content-Type": "application/json"})

    def url(self, suffix: str = "") -> str:
        return f"{self.base}/cam-7f3a91c2{suffix}"

    async def status(self) -> dict[str, Any]:
        async with self._http.get(f"{self._rest}/stream/status") as answer:
            return dict(await answer.json())

    async def stop(self, body: bytes = b"stream ended") -> tuple[int, dict[str, Any]]:
        return await self.post("/stream/stop", body)


@pytest.fixture
async def orchestrator() -> AsyncIterator[Orchestrator]:
    server = StreamServer(Negative, host="127.0.0.1", port=0)
    channels = TrickleServer(base_path="/ai/trickle/")
    await server.start_server()
    base = await channels.start()
    async with aiohttp.ClientSession() as http:
        yield Orchestrator(f"http://127.0.0.1:{server.port}", channels, base, http)
    await server.stop()
    await channels.stop()


async def test_a_whole_stream_as_the_orchestrator_and_the_gateway_drive_it(orchestrator: Orchestrator) -> None:
    events: list[Any] = []
    status, body = await orchestrator.start()
    assert (status, body["status"], body["request_id"]) == (200, "success", "cam-7f3a91c2")
    reading = asyncio.create_task(collect(orchestrator.url("-out"), start=-1))
    told = asyncio.create_task(collect_json(orchestrator.url("-events"), events))
    async with TricklePublisher(orchestrator.url("-control"), mime="application/json") as control:
        async with await control.next() as segment:
            await segment.write(b'{"keep":"alive"}')
        status, body = await orchestrator.post(
            "/stream/params", b'{"prompt":"dog"}', **{"Content-Type": "application/json"}
        )
        assert status == 200
        await publish_clip(orchestrator.url(), end=True)  # the gateway deletes the input when the ingest ends
        output = decode(b"".join(await asyncio.wait_for(reading, WAIT)))[0]
    await asyncio.wait_for(asyncio.shield(orchestrator.stop(b"timeout waiting for events")), WAIT)
    told.cancel()
    await asyncio.wait([told])
    assert_negative(decode(b"".join(clip_segments()[:SECONDS]))[0], output)
    dropped = (await orchestrator.status())["frames_dropped"]  # live, and this machine may be busy
    assert len(output) + dropped == SECONDS * PICTURES
    assert len(output) > SECONDS * PICTURES / 2
    kinds = [event["event"]["type"] for event in events]
    assert kinds[:2] == ["heartbeat", "status"]
    assert {"params_updated", "receive_first_ingest_segment", "send_first_processed_segment"} <= set(kinds)
    assert all(event["queue_event_type"] in ("ai_stream_events", "stream_heartbeat") for event in events)


@pytest.mark.parametrize("reason", [b"", b"stream ended", b"timeout waiting for events", b'{"stream_id": "cam"}'])
async def test_stop_comes_twice_with_any_reason_or_for_a_stream_that_never_was(
    orchestrator: Orchestrator, reason: bytes
) -> None:
    assert (await orchestrator.stop(reason))[0] == 200
    assert (await orchestrator.start())[0] == 200
    first, second = await asyncio.gather(orchestrator.stop(reason), orchestrator.stop(reason))
    assert (first[0], second[0]) == (200, 200)
    assert (await orchestrator.start())[0] == 200
    assert (await orchestrator.stop(reason))[0] == 200


async def test_the_next_stream_may_come_as_soon_as_the_last_is_stopped(orchestrator: Orchestrator) -> None:
    for _ in range(3):
        assert (await orchestrator.start(params={"width": 64, "height": 64, "max_framerate": 30}))[0] == 200
        assert (await orchestrator.start())[0] == 503, "one stream at a time, whatever the orchestrator counts"
        assert (await orchestrator.stop())[0] == 200


@pytest.mark.parametrize(
    "missing",
    [
        ("subscribe_url", "publish_url"),
        ("subscribe_url",),
        ("publish_url",),
        ("data_url",),
        ("data_url", "publish_url"),
    ],
)
async def test_a_stream_may_lack_channels(orchestrator: Orchestrator, missing: tuple[str, ...]) -> None:
    assert (await orchestrator.start(**dict.fromkeys(missing)))[0] == 200
    assert (await orchestrator.stop())[0] == 200
