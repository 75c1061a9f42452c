"""The dashboards of one stream: a WebSocket each, which carries pictures, parameters, figures and the log.

Belongs to the loop of the server whose port it is on. A page has to show the server's token, which the notebook gives
it, in its first message, and must come from this machine or from the host that it calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, overload

from aiohttp import WSMsgType, web

from byoc_nb.dashboard.desk import Desk
from byoc_nb.dashboard.log import Log
from byoc_nb.dashboard.messages import allowed, parsed, written
from byoc_nb.dashboard.projector import Projector
from byoc_nb.dashboard.samples import Samples
from byoc_nb.dashboard.served import Served
from byoc_nb.dashboard.sources import CAMERA_BYTES
from byoc_nb.dashboard.subject import Subject
from byoc_nb.dashboard.viewer import Viewer
from byoc_nb.runtime.server import StreamServer

logger = logging.getLogger(__name__)

PATH = "/dashboard/ws"
VIEWERS = 8
MESSAGE_BYTES = 64 << 10  # of JSON that a viewer may send at a time
QUESTIONS = 8  # that a viewer may have in work
HELLO_SECONDS = 5.0  # until a viewer has shown its token
HEARTBEAT_SECONDS = 20.0
TICK_SECONDS, TICKS_A_STATS = 0.1, 5
SILENCE_SECONDS = 60.0  # after which a viewer without a connection of its own has gone
GONE_SECONDS = 1.0  # for the last messages when the server stops

Send = Callable[[str | bytes], Awaitable[None]]


class Place(Protocol):
    """The server whose port the dashboards are on, such as a `StreamServer`."""

    @property
    def app(self) -> web.Application:
        """Where their route is added, before it starts."""

    @property
    def port(self) -> int:
        """It listens on this port of 127.0.0.1."""


class Hub:
    """Serves dashboards from the server's start to its stop; make it before the server listens.

    `subject`: what they are about; by default the stream of that server. `desk` takes what the notebook adds to it.
    """

    @overload
    def __init__(self, place: StreamServer) -> None: ...
    @overload
    def __init__(self, place: Place, subject: Subject) -> None: ...
    def __init__(self, place: Any, subject: Subject | None = None) -> None:
        self.subject = subject or Served(place)
        self.token = secrets.token_urlsafe(32)
        self.viewers: set[Viewer] = set()
        self.samples = Samples()
        self.before_end: Callable[[Hub], Awaitable[None]] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.ended = False
        self._place: Place = place
        self.desk, self._log = Desk(self.subject, self.viewers), Log()
        self._logged = 0  # the last entry that was sent
        self._projector = Projector(self.subject, self.viewers)
        self._tasks: set[asyncio.Task[None]] = set()
        self._deliveries: set[asyncio.Task[None]] = set()  # one a viewer
        place.app.router.add_get(PATH, self._connect)
        place.app.on_startup.append(self._begin)
        place.app.on_shutdown.append(self._end)

    @property
    def port(self) -> int:
        return self._place.port

    @property
    def encoded(self) -> int:
        """How many pairs of pictures were encoded."""
        return self._projector.encoded

    def printed(self, text: str, *, error: bool = False) -> None:
        """A frame has printed this, on standard output or as an `error`; from any thread."""
        self._log.add("stderr" if error else "print", text)

    async def _begin(self, app: web.Application) -> None:
        self.loop = asyncio.get_running_loop()
        self._log.start()
        self._spawn(self._projector.run())
        self._spawn(self._tell_changes())

    async def _end(self, app: web.Application) -> None:
        if self.before_end is not None:
            await self.before_end(self)
        self.ended = True
        self._log.stop()
        for viewer in self.viewers:
            viewer.put(written({"type": "stopped"}))
            viewer.outbox.put_nowait(None)
        if self._deliveries:
            await asyncio.wait(self._deliveries, timeout=GONE_SECONDS)
        tasks = self._tasks | self._deliveries
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._projector.close()

    def _spawn(self, coroutine: Coroutine[Any, Any, None], among: set[asyncio.Task[None]] | None = None) -> None:
        among = self._tasks if among is None else among
        task = asyncio.get_running_loop().create_task(coroutine)
        among.add(task)
        task.add_done_callback(among.discard)
        task.add_done_callback(self._report)

    def _report(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the dashboard failed", exc_info=error)

    # ---- viewers

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        """A page's connection, until either side ends it."""
        origin = request.headers.get("Origin")
        if origin is not None and not allowed(origin, request.host):
            raise web.HTTPForbidden
        socket = web.WebSocketResponse(max_msg_size=CAMERA_BYTES, heartbeat=HEARTBEAT_SECONDS, compress=False)
        await socket.prepare(request)
        if (refusal := await self._refusal(socket)) is not None:
            with contextlib.suppress(ConnectionError):
                await socket.send_str(written({"type": "refused", "why": refusal}))
            await socket.close(code=4403 if refusal == "token" else 4429)
            return socket

        async def send(message: str | bytes) -> None:
            await (socket.send_str(message) if isinstance(message, str) else socket.send_bytes(message))

        viewer = self.attach(send, socket.close)
        try:
            async for message in socket:
                if message.type is WSMsgType.ERROR:  # such as one that is too long; aiohttp has closed the connection
                    break
                if not self.receive(viewer, message.data):
                    await socket.close(code=1007)
        finally:
            self.detach(viewer)
        return socket

    async def _refusal(self, socket: web.WebSocketResponse) -> str | None:
        """Why the page isn't let in, in a word."""
        try:
            hello = await asyncio.wait_for(socket.receive(), HELLO_SECONDS)
        except TimeoutError:
            return "token"
        data = parsed(hello.data) if hello.type is WSMsgType.TEXT else None
        if data is None or not self.admits(data.get("token")):
            return "token"
        return "full" if len(self.viewers) >= VIEWERS else None

    def admits(self, token: Any) -> bool:
        """Whether this is the server's token."""
        return isinstance(token, str) and token.isascii() and hmac.compare_digest(token, self.token)

    def attach(self, send: Send, close: Callable[[], Awaitable[Any]] | None = None) -> Viewer:
        """A new viewer, which has shown the token; `close` ends its connection."""
        viewer = Viewer()
        self.viewers.add(viewer)
        figures = self._look()
        for message in (self.subject.controls.all(), figures, *self.desk.begin()):
            viewer.say(message)
        viewer.say({"type": "log", "entries": [e for e in self._log.since(0) if e["number"] <= self._logged]})
        self._spawn(self._deliver(viewer, send, close), self._deliveries)
        return viewer

    def detach(self, viewer: Viewer) -> None:
        """The viewer has gone."""
        self.viewers.discard(viewer)
        self.desk.camera.left(viewer)
        viewer.outbox.put_nowait(None)

    async def _deliver(self, viewer: Viewer, send: Send, close: Callable[[], Awaitable[Any]] | None) -> None:
        try:
            while (message := await viewer.next()) is not None:
                await send(message)
        except (ConnectionError, RuntimeError):  # aiohttp's for a connection that is closing
            pass
        if close is not None:
            await close()
        self.detach(viewer)

    def receive(self, viewer: Viewer, data: str | bytes) -> bool:
        """Do what a viewer says, or take its camera's picture; False where that is no message at all."""
        viewer.heard = time.monotonic()
        if isinstance(data, bytes):
            self.desk.film(viewer, data)
            return True
        match message := parsed(data) if len(data) <= MESSAGE_BYTES else None:
            case {"type": "view", "visible": bool(visible), "wide": bool(wide)}:
                if visible and not viewer.visible:
                    viewer.say(self._look())
                viewer.look(visible=visible, wide=wide)
            case {"type": "drawn"}:
                viewer.acknowledge()
            case dict():
                if viewer.asking >= QUESTIONS:
                    return True
                if (answer := self.desk.answer(viewer, message)) is None:
                    return False
                viewer.asking += 1
                self._spawn(self._answer(viewer, answer))
            case _:
                return False
        if viewer.has_room:
            self._projector.look()
        return True

    async def _answer(self, viewer: Viewer, answer: Coroutine[Any, Any, dict[str, Any] | bytes | None]) -> None:
        try:
            message = await answer
            if message is not None:
                viewer.put(message if isinstance(message, bytes) else written(message))
        finally:
            viewer.asking -= 1

    # ---- what they get

    async def still(self) -> bytes | None:
        """The newest pictures as one small JPEG."""
        return await self._projector.still()

    async def _tell_changes(self) -> None:
        """What changed in the parameters, the log, the figures and the source; the figures are kept, too."""
        tick = 0
        while True:
            if (change := self.subject.controls.look()) is not None:
                self._tell(change)
            if entries := self._log.since(self._logged):
                self._logged = entries[-1]["number"]
                self._tell({"type": "log", "entries": entries})
            if tick % TICKS_A_STATS == 0:
                self._forget_silent()
                figures = self._look()
                self.samples.add(figures)
                self._tell(figures, visible=True)
                for news in await self.desk.changed():
                    self._tell(news)
            tick += 1
            await asyncio.sleep(TICK_SECONDS)

    def _look(self) -> dict[str, Any]:
        """The figures now."""
        figures = self.subject.figures.now()
        self.desk.processor = figures["processor"]
        return figures

    def _forget_silent(self) -> None:
        for viewer in list(self.viewers):
            if time.monotonic() - viewer.heard > SILENCE_SECONDS:
                self.detach(viewer)

    def _tell(self, message: dict[str, Any], *, visible: bool = False) -> None:
        viewers = [viewer for viewer in self.viewers if viewer.visible or not visible]
        text = written(message) if viewers else ""
        for viewer in viewers:
            viewer.put(text)
