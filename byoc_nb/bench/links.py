"""Where a clip goes in and what comes out again: trickle channels for a container, pipes for the ffmpeg program.

Everything that comes is kept with the time at which it came; nothing is decoded while something is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Protocol

from byoc_nb.bench.pictures import PictureEnds
from byoc_nb.trickle import SegmentWriter, TrickleError, TricklePublisher, TrickleServer, TrickleSubscriber

_PIPE_BYTES = 1 << 16


class Received:
    """The output so far: `chunks` with the `time.monotonic()` at which each came; with `keep` off, only their count.

    `begun` is set by every chunk. `pictures` are those that came while `keep` was off.
    """

    def __init__(self) -> None:
        self.chunks: list[tuple[float, bytes]] = []
        self.begun = asyncio.Event()
        self.keep, self.pictures = True, 0
        self._ends = PictureEnds()

    def add(self, data: bytes) -> None:
        """Take bytes that have come now."""
        if self.keep:
            self.chunks.append((time.monotonic(), data))
        else:
            self.pictures += sum(1 for _ in self._ends.feed(data))
        self.begun.set()


class Link(Protocol):
    """A way into what is measured, and what came out of it."""

    received: Received

    async def send(self, data: bytes, *, opens_segment: bool) -> None:
        """Hand over bytes; may wait."""

    def backlog(self) -> int:
        """Bytes handed over and not yet taken."""


class TrickleLink:
    """Two trickle servers of this process: one has the input channel and one the output channel.

    `subscribe_url` and `publish_url` are what the container gets. On the input server it is the only reader, so what
    that server has sent is what the container has taken.
    """

    def __init__(self) -> None:
        self.received = Received()
        self.subscribe_url = self.publish_url = ""
        self._input, self._output = TrickleServer(), TrickleServer()
        self._writer: SegmentWriter | None = None
        self._closing: asyncio.Task[None] | None = None
        self._sent = 0

    async def __aenter__(self) -> TrickleLink:
        self._input.create("in")
        self._output.create("out")
        self.subscribe_url = f"{await self._input.start()}/in"
        self.publish_url = f"{await self._output.start()}/out"
        self._publisher = TricklePublisher(self.subscribe_url)
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, *([self._closing] if self._closing else []), return_exceptions=True)
        with contextlib.suppress(TrickleError):
            await self._publisher.close(delete=True)
        await self._input.stop()
        await self._output.stop()

    @property
    def subscribed(self) -> bool:
        """Whether the container asks for the input."""
        return self._input.stats.readers > 0

    async def send(self, data: bytes, *, opens_segment: bool) -> None:
        if opens_segment:
            if self._writer is not None:  # which isn't waited for: the gateway's camera doesn't wait either
                self._closing = asyncio.create_task(self._writer.close())
            self._writer = await self._publisher.next()
        assert self._writer is not None
        await self._writer.write(data)
        self._sent += len(data)

    def backlog(self) -> int:
        return self._sent - self._input.stats.bytes_out

    async def _read(self) -> None:
        async with TrickleSubscriber(self.publish_url) as channel:
            async for segment in channel:
                async for data in segment:
                    self.received.add(data)


class PipeLink:
    """The standard input and output of a process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None and process.stdout is not None
        self.received = Received()
        self._stdin, self._stdout = process.stdin, process.stdout

    async def __aenter__(self) -> PipeLink:
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._stdin.close()

    async def send(self, data: bytes, *, opens_segment: bool) -> None:
        self._stdin.write(data)
        await self._stdin.drain()

    def backlog(self) -> int:
        return 0  # `send` waits already

    async def _read(self) -> None:
        while data := await self._stdout.read(_PIPE_BYTES):
            self.received.add(data)
