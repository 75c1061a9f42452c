"""A bench for faults: a container in this process, an orchestrator's host in another, a camera that can be broken."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from kit import CLIP, WAIT, auntil, decode, open_sockets, ours
from trickle.raw import Raw, connect

from byoc_nb import FrameProcessor, StreamServer, VideoFrame
from byoc_nb.trickle import TrickleError, TrickleSubscriber

HOST = Path(__file__).parents[1] / "fixtures" / "peers" / "orchestrator_host.py"
PICTURES = 25  # in each second of the clip, which is one segment
CHUNKS = 10  # in which a segment is sent
RECORD = logging.Formatter("%(message)s")  # with a traceback, where there is one


class Negative(FrameProcessor):
    def process_video_async(self, frame: VideoFrame) -> VideoFrame:
        return frame.replace_array(255 - frame.array)


@functools.cache
def clip_segments(seconds: int = 24) -> list[bytes]:
    """The real clip over and over, small, as ffmpeg cuts it for go-livepeer's gateway: one second a segment."""
    picture = "-vf scale=160:90 -c:v libx264 -preset ultrafast -bf 0 -g 25"
    sound = "-c:a libopus -b:a 64k -ac 2"
    cut = "-f segment -segment_time 1 -segment_format mpegts"
    with tempfile.TemporaryDirectory() as folder:
        command = f"ffmpeg -v error -stream_loop 9 -i {CLIP} -t {seconds} {picture} {sound} {cut} {folder}/%03d.ts"
        subprocess.run(command.split(), check=True, stdin=subprocess.DEVNULL)
        return [path.read_bytes() for path in sorted(Path(folder).glob("*.ts"))]


class Hub:
    """The orchestrator's host, a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._log, self.base = folder / "hub.log", ""
        self.start()

    def start(self) -> None:
        """Begin, or come back on the same port with nothing left of what was."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, HOST, str(urlsplit(self.base).port or 0)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                bufsize=1,
            )
        self.base = self._line()
        assert self.base.startswith("http")

    def die(self) -> None:
        """Vanish without a word."""
        self._process.kill()
        self._process.communicate(timeout=WAIT)

    def create(self, name: str) -> str:
        """Make a channel; its URL."""
        self._tell(f"create {name}")
        return f"{self.base}/{name}"

    def close(self, name: str) -> None:
        self._tell(f"close {name}")

    def said(self) -> list[str]:
        return self._log.read_text().splitlines()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._line()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


class Camera:
    """Publishes the clip at its own pace, byte by byte on raw connections, and breaks where it is told to."""

    def __init__(self, hub: Hub, name: str, *, pace: float = 1.0) -> None:
        self._hub, self._path, self.pace = hub, f"/ai/trickle/{name}", pace
        self.seq = 0  # of the next segment on the channel
        self.at = 0  # the next second of the clip

    async def play(self, seconds: int, *headers: str) -> None:
        """Send whole segments in real time."""
        for _ in range(seconds):
            async with self.segment(*headers) as raw:
                await self.send(raw, clip_segments()[self.at])
                raw.end()
                assert (await raw.answer()).status == 200
            self.at += 1

    @contextlib.asynccontextmanager
    async def segment(self, *headers: str) -> AsyncIterator[Raw]:
        """A connection that publishes the next segment; what is not ended in it is cut off."""
        async with connect(self._hub.base) as raw:
            raw.post(f"{self._path}/{self.seq}", *headers)
            yield raw
            self.seq += 1
            raw.cut()

    async def send(self, raw: Raw, data: bytes) -> None:
        """One second's bytes, spread over that second."""
        step = -(-len(data) // CHUNKS)
        for pos in range(0, len(data), step):
            raw.chunk(data[pos : pos + step])
            await raw.writer.drain()
            await asyncio.sleep(self.pace / CHUNKS)  # what a camera's frames take

    async def delete(self, seq: int | None = None) -> None:
        """DELETE the channel, or one segment."""
        async with connect(self._hub.base) as raw:
            raw.send(f"DELETE {self._path}{'' if seq is None else f'/{seq}'} HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await raw.head()).status == 200


class Bench:
    """A container with one processor, streams on channels of the hub, and what may be left after each."""

    def __init__(self, server: StreamServer, hub: Hub, http: aiohttp.ClientSession, log: pytest.LogCaptureFixture):
        self.server, self.hub, self._http, self._log = server, hub, http, log
        self.rest = f"http://127.0.0.1:{server.port}"
        self._streams = 0
        self._reading: asyncio.Task[bytes] | None = None

    async def health(self) -> str:
        async with self._http.get(f"{self.rest}/health") as answer:
            assert answer.status == 200
            return str((await answer.json())["status"])

    async def settle(self) -> None:
        """Take what is open now as what may be open after each fault."""
        assert await self.health() == "IDLE"
        self._tasks, self._sockets = len(asyncio.all_tasks()), open_sockets()

    async def start(self, *channels: str, **urls: str) -> Camera:
        """Start a stream with new channels `in`, `out` and those named; the camera for its input."""
        self._log.clear()
        self._streams += 1
        self.name = f"s{self._streams}"
        uses = {"in": "subscribe_url", "out": "publish_url"} | {name: f"{name}_url" for name in channels}
        body: dict[str, Any] = {"gateway_request_id": self.name, "params": None}
        body |= {key: self.hub.create(f"{self.name}-{name}") for name, key in uses.items()} | urls
        async with self._http.post(f"{self.rest}/stream/start", json=body) as answer:
            assert answer.status == 200, await answer.text()
        self._reading = asyncio.create_task(read_until_the_end(body["publish_url"]))
        return Camera(self.hub, f"{self.name}-in")

    def channel(self, name: str) -> str:
        return f"{self.name}-{name}"

    @property
    def frames_out(self) -> int:
        assert self.server.session is not None
        return self.server.session.stats.frames_out

    async def pictures(self, count: int) -> None:
        """Wait until so many have left the container."""
        await auntil(lambda: self.frames_out >= count)

    async def output(self) -> list[VideoFrame]:
        """All pictures of the stream's output, once it has ended."""
        assert self._reading is not None
        return decode(await asyncio.wait_for(self._reading, WAIT))[0]

    async def ended(self, seconds: float = WAIT) -> None:
        """Wait until the stream is over by itself."""
        assert self.server.session is not None
        await asyncio.wait_for(self.server.session.wait_ended(), seconds)

    async def stop(self) -> None:
        """Stop the stream as the orchestrator does: the call first, its channels' end right after."""
        async with self._http.post(f"{self.rest}/stream/stop", data=b"stream ended") as answer:
            assert answer.status == 200
        for name in ("in", "out", "control", "events"):
            self.hub.close(self.channel(name))

    def said(self) -> list[str]:
        """What the container has logged for its owner since the stream began, URLs left out."""
        records = [r for r in self._log.records if r.name.startswith("byoc_nb") and r.levelno >= logging.INFO]
        return [re.sub(r"http://\S+/", "…/", RECORD.format(record)) for record in records]

    async def unharmed(self) -> None:
        """The process is up, nothing of the stream is left, and the next stream gives pictures."""
        assert await self.health() == "IDLE"
        if self._reading is not None:
            await asyncio.wait([self._reading], timeout=WAIT)
            assert self._reading.done()
        await self._nothing_left()
        camera = await self.start("control", "events")
        camera.pace = 0.2
        await camera.play(2)
        await self.pictures(PICTURES)
        await self.stop()
        assert len(await self.output()) >= PICTURES
        assert self.said() == [f"stream {self.name} ends: stopped"]
        await self._nothing_left()

    async def _nothing_left(self) -> None:
        await auntil(lambda: ours() == ["byoc-processor"])
        await auntil(lambda: len(asyncio.all_tasks()) <= self._tasks)
        await auntil(lambda: open_sockets() <= self._sockets)


async def read_until_the_end(url: str) -> bytes:
    """All bytes of a channel until it ends, however it does."""
    data = bytearray()
    with contextlib.suppress(TrickleError):
        async with TrickleSubscriber(url, max_retries=0) as channel:
            async for segment in channel:
                async for chunk in segment:
                    data += chunk
    return bytes(data)


@contextlib.asynccontextmanager
async def bench(folder: Path, log: pytest.LogCaptureFixture) -> AsyncIterator[Bench]:
    """A loaded container and a hub."""
    log.set_level(logging.INFO, "byoc_nb")
    hub = Hub(folder)
    server = StreamServer(Negative, host="127.0.0.1", port=0)
    try:
        await server.start_server()
        await server.loaded()
        async with aiohttp.ClientSession() as http:
            made = Bench(server, hub, http, log)
            await made.settle()
            yield made
    finally:
        await server.stop()
        hub.die()
