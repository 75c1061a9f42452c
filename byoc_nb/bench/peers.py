"""What is measured, each in a process of its own: this package's container, pytrickle's, and the ffmpeg program."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO, Any

import aiohttp

from byoc_nb.bench.clips import FPS, SEGMENT_PICTURES
from byoc_nb.bench.drive import NoOutput
from byoc_nb.bench.links import Link, PipeLink, TrickleLink
from byoc_nb.bench.meter import Meter
from byoc_nb.errors import ByocError
from byoc_nb.runtime.ports import free_port

PROCESSORS = Path(__file__).with_name("processors.py")
CLASSES = {"pass": "Unchanged", "float32": "Float32", "uint8": "Uint8", "overload": "Slow"}  # by workload
READY_SECONDS = 90.0  # importing torch takes its time
MAX_FRAMERATE = 60  # twice the clip's: pytrickle's default would drop every fifth picture
_SETTINGS = ("BYOC_", "CAPABILITY_", "ORCH_")  # a container that registers somewhere is none for a benchmark


class NotReady(ByocError, RuntimeError):
    """A program that is to be measured didn't start."""


class Peer(ABC):
    """One that is measured: `name`, and the `workloads` that it has. `floor`: it does less than a container."""

    name: str
    workloads: tuple[str, ...]
    floor = False

    async def missing(self) -> str:
        """Why this can't be measured here; empty when it can."""
        return ""

    @abstractmethod
    async def version(self) -> str:
        """What it calls itself."""

    @abstractmethod
    def run(
        self, workload: str, size: tuple[int, int], *, lossless: bool
    ) -> contextlib.AbstractAsyncContextManager[tuple[Link, Meter]]:
        """A process that waits for its first byte; it is killed at the end. Raises NotReady."""


class Container(Peer):
    """A container that the REST API of BYOC starts a stream on."""

    workloads: tuple[str, ...] = ("pass", "float32", "uint8", "overload")

    @abstractmethod
    def command(self, processor: str, port: int, *, lossless: bool) -> list[str]:
        """The program that serves the class `processor` on `port`."""

    @contextlib.asynccontextmanager
    async def run(self, workload: str, size: tuple[int, int], *, lossless: bool) -> AsyncIterator[tuple[Link, Meter]]:
        port = free_port("127.0.0.1")
        command = self.command(CLASSES[workload], port, lossless=lossless)
        with tempfile.TemporaryFile() as log:
            process = await _spawn(*command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log)
            try:
                async with TrickleLink() as link, aiohttp.ClientSession() as http:
                    with _explained(self.name, log):
                        async with asyncio.timeout(READY_SECONDS):
                            await _until_idle(process, http, port)
                            await _start(http, port, size, link)
                    yield link, Meter(process.pid)
                    await _kill(process)
            finally:
                await _kill(process)


class Ours(Container):
    """This package, of the interpreter that runs here."""

    name = "ours"

    async def version(self) -> str:
        from byoc_nb import __version__

        return __version__

    def command(self, processor: str, port: int, *, lossless: bool) -> list[str]:
        served = [f"{PROCESSORS}:{processor}", "--host", "127.0.0.1", "--port", str(port)]
        return [sys.executable, "-m", "byoc_nb", "serve", *served, "--policy", "lossless" if lossless else "live"]


class Pytrickle(Container):
    """The reference implementation, of an interpreter of its own."""

    name = "pytrickle"
    workloads = ("pass", "float32", "overload")  # it has no uint8 view

    def __init__(self, python: str) -> None:
        self._python = python
        self._version = ""

    async def missing(self) -> str:
        if not self._python:
            return "no interpreter that has it was given: --pytrickle PYTHON or BYOC_PYTRICKLE_PYTHON"
        try:
            self._version = await _output(
                self._python, "-c", "import importlib.metadata as m; print(m.version('pytrickle'))"
            )
        except (OSError, NotReady):
            return "the interpreter given has no pytrickle"
        return ""

    async def version(self) -> str:
        return self._version

    def command(self, processor: str, port: int, *, lossless: bool) -> list[str]:
        return [self._python, "-P", str(PROCESSORS), processor, str(port)]  # -P: this folder's names are not its own


class Ffmpeg(Peer):
    """The ffmpeg program as the floor: decode, x264 and Opus as the containers have them, MPEG-TS, no Python.

    `rgb24` sends every picture through RGB and back, as a processor's must.
    """

    workloads: tuple[str, ...] = ("pass",)
    floor = True

    def __init__(self, *, rgb24: bool) -> None:
        self.name, self._rgb24 = "ffmpeg rgb24" if rgb24 else "ffmpeg", rgb24

    async def missing(self) -> str:
        return "" if shutil.which("ffmpeg") else "the ffmpeg program is not installed"

    async def version(self) -> str:
        return (await _output("ffmpeg", "-version")).split()[2]

    @contextlib.asynccontextmanager
    async def run(self, workload: str, size: tuple[int, int], *, lossless: bool) -> AsyncIterator[tuple[Link, Meter]]:
        low_delay = () if lossless else ("-flags", "low_delay")  # which would cost threads
        probe = ("-probesize", "200k", "-analyzeduration", "300k")
        convert = ("-vf", "format=rgb24,format=yuv420p") if self._rgb24 else ()
        x264 = ("-c:v", "libx264", "-preset", "superfast", "-tune", "zerolatency", "-crf", "23", "-pix_fmt", "yuv420p")
        opus = ("-c:a", "libopus", "-b:a", "64k")
        with tempfile.TemporaryFile() as log:
            process = await _spawn(
                *("ffmpeg", "-v", "error", *low_delay, *probe, "-f", "mpegts", "-i", "pipe:0", *convert),
                *("-fps_mode", "passthrough", *x264, "-g", str(SEGMENT_PICTURES), "-r", str(FPS), *opus),
                *("-flush_packets", "1", "-muxdelay", "0", "-f", "mpegts", "pipe:1"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
            try:
                async with PipeLink(process) as link:
                    with _explained(self.name, log):
                        yield link, Meter(process.pid)
                    await _kill(process)
            finally:
                await _kill(process)


async def _spawn(*command: str, **streams: Any) -> asyncio.subprocess.Process:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    return await asyncio.create_subprocess_exec(*command, env=environment, **streams)


async def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _output(*command: str) -> str:
    process = await _spawn(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL)
    out, _ = await process.communicate()
    if process.returncode:
        raise NotReady(f"{command[0]} failed")
    return out.decode().strip()


async def _until_idle(process: asyncio.subprocess.Process, http: aiohttp.ClientSession, port: int) -> None:
    while process.returncode is None:
        with contextlib.suppress(aiohttp.ClientError):
            async with http.get(f"http://127.0.0.1:{port}/health") as answer:
                state = (await answer.json())["status"]
            if state in ("IDLE", "ERROR"):
                break
        await asyncio.sleep(0.05)
    if process.returncode is not None or state == "ERROR":
        raise NotReady("it didn't start")


async def _start(http: aiohttp.ClientSession, port: int, size: tuple[int, int], link: TrickleLink) -> None:
    params = {"width": size[0], "height": size[1], "max_framerate": MAX_FRAMERATE}
    body = {"gateway_request_id": "bench", "subscribe_url": link.subscribe_url, "publish_url": link.publish_url}
    async with http.post(f"http://127.0.0.1:{port}/stream/start", json={**body, "params": params}) as answer:
        if answer.status != 200:
            raise NotReady(f"it refused the stream: {await answer.text()}")
    while not link.subscribed:  # noqa: ASYNC110  # a server tells nobody who reads
        await asyncio.sleep(0.01)


@contextlib.contextmanager
def _explained(name: str, log: IO[bytes]) -> Any:
    """Add the end of the program's log to what went wrong."""
    try:
        yield
    except (NotReady, NoOutput, TimeoutError, aiohttp.ClientError) as error:
        log.seek(0)
        lines = log.read().decode(errors="replace").strip().splitlines()
        why = str(error) or "it wasn't ready in time"
        raise NotReady(f"{name}: {why}", hint=lines[-1] if lines else "") from None
