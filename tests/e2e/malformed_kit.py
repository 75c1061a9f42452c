"""Both servers on a thread of their own, and a client on plain sockets that sends them whatever it is given."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
from collections.abc import Iterator
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, Field

from byoc_nb import FrameProcessor, StreamServer, VideoFrame
from byoc_nb.runtime.threads import LoopThread
from byoc_nb.trickle import TrickleServer

LIMIT = 5.0  # seconds after which a server hangs
UNREADABLE = (
    b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 0\r\n"  # a segment, as Go says
)
PATIENCE = 0.1  # for a request that may have to wait for another one, or for its own rest


class Tuned(FrameProcessor):
    class Params(BaseModel):
        strength: float = Field(0.5, ge=0, le=1)
        mode: Literal["soft", "hard"] = "soft"
        points: list[tuple[int, int]] = []
        name: str = Field("", max_length=20)

    async def process_video_async(self, frame: VideoFrame) -> VideoFrame:
        return frame


class Complaints(logging.Handler):
    """What nobody must ever see in a log because of what somebody else sent: tracebacks and lost exceptions."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or record.levelno >= logging.ERROR:
            self.lines.append(logging.Formatter("%(name)s: %(message)s").format(record))

    def check(self, about: bytes = b"") -> None:
        """There were none since the last time."""
        lines, self.lines = self.lines, []
        assert not lines, f"{about[:500]!r}\n" + "\n".join(lines)


class Servers:
    """A container that has a trickle server on its port, and a trickle server of its own."""

    def __init__(self) -> None:
        self.complaints = Complaints()
        logging.getLogger().addHandler(self.complaints)
        self._loop = LoopThread("malformed")
        self._loop.run(self._start(), LIMIT)
        self.ports = {"container": self._container.port, "trickle": int(urlsplit(self.base).port or 0)}

    async def _start(self) -> None:
        self._container = StreamServer(Tuned, host="127.0.0.1", port=0)
        self._channels = TrickleServer(base_path="/ai/trickle/")
        self._channels.mount(self._container.app)
        await self._container.start_server()
        await self._container.loaded()
        self._channels.create("ch")
        self._trickle = TrickleServer(autocreate=True, changefeed=True, max_channels=50)
        self.base = await self._trickle.start()

    def stop(self) -> None:
        self._loop.run(self._trickle.stop(), LIMIT)
        self._loop.run(self._container.stop(), 4 * LIMIT)
        assert self._loop.stop()
        logging.getLogger().removeHandler(self.complaints)

    def talk(self, server: str, data: bytes, patience: float = LIMIT) -> bytes:
        """Send these bytes; everything that comes back until the server closes, which it must do within the limit.

        After `patience` the connection is closed in this direction, as a peer does that gives up.
        """
        answer = bytearray()
        peer = socket.create_connection(("127.0.0.1", self.ports[server]), timeout=LIMIT)
        with peer, contextlib.suppress(ConnectionError):
            peer.sendall(data)
            peer.settimeout(patience)
            with contextlib.suppress(TimeoutError):
                while chunk := peer.recv(1 << 16):
                    answer += chunk
                return bytes(answer)
            assert patience < LIMIT, f"no answer to {data[:500]!r}, only {bytes(answer)!r}"
            peer.shutdown(socket.SHUT_WR)
            peer.settimeout(LIMIT)
            while chunk := peer.recv(1 << 16):
                answer += chunk
        return bytes(answer)

    def harmless(self, server: str, data: bytes, patience: float = LIMIT) -> list[int]:
        """`talk`, and the statuses of the answers: none tells of a defect, and nothing is in the log."""
        answer = self.talk(server, data, patience)
        assert b"Traceback" not in answer
        self.complaints.check(data)
        defects = [status for status in statuses(answer.replace(UNREADABLE, b"")) if status >= 500 and status != 503]
        assert not defects, f"{data[:500]!r}\n{answer!r}"
        return statuses(answer)

    def ask(self, server: str, method: str, path: str, body: bytes = b"", headers: bytes = b"") -> tuple[int, bytes]:
        """A proper request: the status and the body of its answer."""
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n".encode()
        answer = self.talk(server, head + headers + b"\r\n" + body)
        return int(answer[9:12]), answer.partition(b"\r\n\r\n")[2]

    def healthy(self) -> None:
        """Both work, and what the container tells of itself is proper JSON."""
        status, body = self.ask("container", "GET", "/health")
        assert (status, json.loads(body)["status"] in ("IDLE", "OK")) == (200, True), body
        status, body = self.ask("container", "GET", "/stream/status")
        assert status == 200
        json.loads(body, parse_constant=lambda text: AssertionError(f"{text} is no JSON"))
        assert self.ask("container", "GET", "/ai/trickle/ch/next")[0] == 200
        assert self.ask("trickle", "GET", "/_changes/next")[0] == 200
        self.complaints.check()

    def idle(self) -> None:
        """No stream runs."""
        assert self.ask("container", "POST", "/stream/stop")[0] == 200
        assert json.loads(self.ask("container", "GET", "/health")[1]) == {"status": "IDLE"}


def statuses(answer: bytes) -> list[int]:
    """The statuses of all answers on a connection, provisional ones left out."""
    lines = [line for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.")]
    return [status for line in lines if (status := int(line[9:12])) >= 200]


@contextlib.contextmanager
def servers() -> Iterator[Servers]:
    made = Servers()
    try:
        yield made
    finally:
        made.stop()


def request(method: str, target: str, headers: list[tuple[str, str]], body: bytes) -> bytes:
    """The bytes of a request whose parts may be anything; headers as Latin-1, so any byte."""
    lines = [f"{method} {target} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers]
    if not {"content-length", "transfer-encoding"} & {name.lower() for name, _ in headers}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


def dumps(value: Any) -> bytes:
    return json.dumps(value).encode()
