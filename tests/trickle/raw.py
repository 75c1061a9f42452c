"""HTTP by hand: what the tests need where the bytes on the wire matter."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from byoc_nb.trickle import TrickleServer

WAIT = 5.0  # seconds after which a test has failed, never the time that it takes


@dataclass
class Site:
    server: TrickleServer
    base: str

    @property
    def url(self) -> str:
        return f"{self.base}/ch"


@dataclass
class Head:
    status: int
    headers: dict[str, str]

    def __getitem__(self, name: str) -> str | None:
        return self.headers.get(name.lower())


class Raw:
    """One connection, as a client or as the peer of one."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes | str) -> None:
        self.writer.write(data.encode() if isinstance(data, str) else data)

    def post(self, path: str, *headers: str) -> None:
        """The head of a POST with a chunked body."""
        self.send("\r\n".join([f"POST {path} HTTP/1.1", "Host: x", "Transfer-Encoding: chunked", *headers, "", ""]))

    def get(self, path: str) -> None:
        self.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")

    def chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        self.send(b"0\r\n\r\n")

    async def head(self) -> Head:
        """Status and headers of the next response; of a request, the method and the path among the headers."""
        text = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), WAIT)).decode()
        first, *lines = text.split("\r\n")[:-2]
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        one, two = first.split(" ")[:2]
        if one.startswith("HTTP/"):
            return Head(int(two), headers)
        return Head(0, headers | {":method": one, ":path": two})

    async def answer(self) -> Head:
        """The next response that is not provisional."""
        while (head := await self.head()).status == 100:
            pass
        return head

    async def read_chunk(self) -> bytes:
        size = int(await asyncio.wait_for(self.reader.readuntil(b"\n"), WAIT), 16)
        data = await asyncio.wait_for(self.reader.readexactly(size), WAIT)
        await self.reader.readexactly(2)
        return data

    async def rest(self) -> bytes:
        """Everything until the peer closes."""
        return await asyncio.wait_for(self.reader.read(), WAIT)

    async def silent(self, seconds: float = 0.1) -> bool:
        """Whether nothing arrives for a while."""
        try:
            await asyncio.wait_for(self.reader.readexactly(1), seconds)
        except TimeoutError:
            return True
        return False

    def respond(self, status: int, *headers: str, body: bytes = b"") -> None:
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *headers, "", ""]
        self.send("\r\n".join(lines).encode() + body)

    def cut(self) -> None:
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def connect(base: str) -> AsyncIterator[Raw]:
    parts = urlsplit(base)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def scripted(script: Callable[[Raw, Head], Awaitable[None]]) -> AsyncIterator[str]:
    """A server that calls `script` for every request; gives its base URL."""
    tasks: set[asyncio.Task[None]] = set()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        raw = Raw(reader, writer)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError, asyncio.CancelledError):
                while not writer.is_closing():
                    await script(raw, await raw.head())
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
        await server.wait_closed()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that happens on its own, without a moment that tells it."""
    async with asyncio.timeout(WAIT):
        while not condition():
            await asyncio.sleep(0.005)
