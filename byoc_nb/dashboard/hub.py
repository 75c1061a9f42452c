"""The dashboards of one server: a WebSocket each, which carries pictures, parameters, figures and the log.

Belongs to the server's loop. A page has to show the server's token, which the notebook gives it, in its first message,
and must come from this machine or from the host that it calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp import WSMsgType, web

from byoc_nb.dashboard.controls import Controls
from byoc_nb.dashboard.figures import Figures
from byoc_nb.dashboard.log import Log
from byoc_nb.dashboard.messages import allowed, parsed, written
from byoc_nb.dashboard.pictures import Pace, Pair, still, timed
from byoc_nb.dashboard.viewer import Viewer
from byoc_nb.runtime.server import StreamServer

logger = logging.getLogger(__name__)

PATH = "/dashboard/ws"
VIEWERS = 8
MESSAGE_BYTES = 64 << 10  # of what a viewer may send at a time
CHANGES = 4  # of parameters that a viewer may have in work
HELLO_SECONDS = 5.0  # until a viewer has shown its token
HEARTBEAT_SECONDS = 20.0
LOOK_SECONDS = 0.01  # between two looks for a new picture, while somebody waits for one; takes 0.2 % of a core
TICK_SECONDS, TICKS_A_STATS = 0.1, 5
SILENCE_SECONDS = 60.0  # after which a viewer without a connection of its own has gone
GONE_SECONDS = 1.0  # for the last messages when the server stops

Send = Callable[[str | bytes], Awaitable[None]]


class Hub:
    """Serves the dashboards of `server` from its start to its stop; make it before the server listens."""

    def __init__(self, server: StreamServer) -> None:
        self.token = secrets.token_urlsafe(32)
        self.viewers: set[Viewer] = set()
        self.encoded = 0  # pairs of pictures
        self.before_end: Callable[[Hub], Awaitable[None]] | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.ended = False
        self._server = server
        self._controls, self._figures, self._log = Controls(server), Figures(server), Log()
        self._logged = 0  # the last entry that was sent
        self._wanted = asyncio.Event()  # a viewer has room for a picture
        self._present = asyncio.Event()  # there are viewers
        self._tasks: set[asyncio.Task[None]] = set()
        self._deliveries: set[asyncio.Task[None]] = set()  # one a viewer
        self._thread: ThreadPoolExecutor | None = None
        server.add_route("GET", PATH, self._connect)
        server.app.on_startup.append(self._begin)
        server.app.on_shutdown.append(self._end)

    @property
    def port(self) -> int:
        return self._server.port

    async def _begin(self, app: web.Application) -> None:
        self.loop = asyncio.get_running_loop()
        self._log.start()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="byoc-pictures")
        self._spawn(self._show_pictures())
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
        if self._thread is not None:
            self._thread.shutdown()

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
        socket = web.WebSocketResponse(max_msg_size=MESSAGE_BYTES, heartbeat=HEARTBEAT_SECONDS, compress=False)
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
                if message.type is not WSMsgType.TEXT or not self.receive(viewer, message.data):
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
        return isinstance(token, str) and hmac.compare_digest(token.encode(), self.token.encode())

    def attach(self, send: Send, close: Callable[[], Awaitable[Any]] | None = None) -> Viewer:
        """A new viewer, which has shown the token; `close` ends its connection."""
        viewer = Viewer()
        self.viewers.add(viewer)
        self._present.set()
        viewer.put(written(self._controls.all()))
        viewer.put(written(self._figures.now()))
        viewer.put(written({"type": "log", "entries": [e for e in self._log.since(0) if e["number"] <= self._logged]}))
        self._spawn(self._deliver(viewer, send, close), self._deliveries)
        return viewer

    def detach(self, viewer: Viewer) -> None:
        """The viewer has gone."""
        self.viewers.discard(viewer)
        viewer.outbox.put_nowait(None)
        if not self.viewers:
            self._present.clear()

    async def _deliver(self, viewer: Viewer, send: Send, close: Callable[[], Awaitable[Any]] | None) -> None:
        try:
            while (message := await viewer.outbox.get()) is not None:
                await send(message)
        except (ConnectionError, RuntimeError):  # aiohttp's for a connection that is closing
            pass
        if close is not None:
            await close()
        self.detach(viewer)

    def receive(self, viewer: Viewer, text: str) -> bool:
        """Do what a viewer says; False where that is no message at all."""
        viewer.heard = time.monotonic()
        match parsed(text):
            case {"type": "view", "visible": bool(visible), "wide": bool(wide)}:
                if visible and not viewer.visible:
                    viewer.put(written(self._figures.now()))
                viewer.look(visible=visible, wide=wide)
            case {"type": "drawn"}:
                viewer.acknowledge()
            case {"type": "change", "number": int(number), "changes": dict(changes)}:
                if viewer.changing < CHANGES:
                    viewer.changing += 1
                    self._spawn(self._change(viewer, number, changes))
            case {"type": "here"}:
                pass
            case _:
                return False
        if viewer.has_room:
            self._wanted.set()
        return True

    async def _change(self, viewer: Viewer, number: int, changes: dict[str, Any]) -> None:
        try:
            viewer.put(written(await self._controls.change(number, changes)))
        finally:
            viewer.changing -= 1

    # ---- what they get

    @property
    def newest(self) -> Pair | None:
        """The last picture before and after processing."""
        session = self._server.session
        return session.pipeline.newest if session else None

    async def still(self) -> bytes | None:
        """The newest pictures as one small JPEG."""
        pair = self.newest
        if pair is None or self._thread is None:
            return None
        return await asyncio.get_running_loop().run_in_executor(self._thread, still, pair)

    async def _show_pictures(self) -> None:
        """The newest pictures to every viewer that has room; one that has none misses them."""
        pace, loop = Pace(), asyncio.get_running_loop()
        made: tuple[Pair, int, bytes] | None = None
        while True:
            await self._wanted.wait()
            ready = [viewer for viewer in self.viewers if viewer.has_room]
            if not ready:
                self._wanted.clear()
                continue
            pair = self.newest
            ready = [viewer for viewer in ready if viewer.seen is not pair]
            if pair is None or not ready:
                await asyncio.sleep(LOOK_SECONDS)
                continue
            width = max(viewer.width for viewer in ready)
            if made is None or made[0] is not pair or made[1] != width:
                if not pace.may():
                    await asyncio.sleep(LOOK_SECONDS)
                    continue
                try:
                    message, seconds = await loop.run_in_executor(self._thread, timed, pair, width)
                except Exception:
                    logger.exception("a picture can't be shown")
                    for viewer in ready:
                        viewer.seen = pair
                    continue
                pace.took(seconds)
                self.encoded += 1
                made = pair, width, message
            for viewer in ready:
                if viewer.has_room:
                    viewer.show(pair, made[2])

    async def _tell_changes(self) -> None:
        """What changed in the parameters, the log and the figures."""
        tick = 0
        while True:
            await self._present.wait()
            if (change := self._controls.look()) is not None:
                self._tell(change)
            if entries := self._log.since(self._logged):
                self._logged = entries[-1]["number"]
                self._tell({"type": "log", "entries": entries})
            if tick % TICKS_A_STATS == 0:
                self._forget_silent()
                if any(viewer.visible for viewer in self.viewers):
                    self._tell(self._figures.now(), visible=True)
            tick += 1
            await asyncio.sleep(TICK_SECONDS)

    def _forget_silent(self) -> None:
        for viewer in list(self.viewers):
            if time.monotonic() - viewer.heard > SILENCE_SECONDS:
                self.detach(viewer)

    def _tell(self, message: dict[str, Any], *, visible: bool = False) -> None:
        text = written(message)
        for viewer in self.viewers:
            if viewer.visible or not visible:
                viewer.put(text)
