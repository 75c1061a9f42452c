"""The container: one process that serves one processor over the REST API that go-livepeer's orchestrator drives.

`StreamServer` has pytrickle's name and constructor; `run_processor` is what an export's `processor.py` calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple

from aiohttp import web

from byoc_nb import params as params_
from byoc_nb.dialects import default_name
from byoc_nb.errors import ByocError
from byoc_nb.media.h264 import encoders
from byoc_nb.runtime import rest
from byoc_nb.runtime.backlog import Policy
from byoc_nb.runtime.host import Host
from byoc_nb.runtime.ports import PortInUse, free_port
from byoc_nb.runtime.registration import Registration, variable
from byoc_nb.runtime.requests import Busy, NoStream, StreamStart, check_stream_params
from byoc_nb.runtime.session import StreamSession
from byoc_nb.runtime.slot import ProcessorSlot
from byoc_nb.runtime.stats import describe
from byoc_nb.trickle.hosting import set_up

logger = logging.getLogger(__name__)

UPDATE_SECONDS = 2.0  # byoc-sdk gives an update 5 s; what takes longer is accepted and goes on


class RouteConfig(NamedTuple):
    """A route of the user's own, as pytrickle has it."""

    method: str
    path: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    kwargs: Mapping[str, Any] | None = None


class StreamServer:
    """Serves one processor on one port, one stream at a time; belongs to one asyncio loop.

    `frame_processor`: a class (built on the processor's own thread), an instance, or a function that takes a frame.
    `slot`: a processor that is already loaded, which then outlives the server; `frame_processor` is not built.
    `params`: values that the processor starts with, from before it loads on; its `update_params` gets them, too.
    `policy`: when the processor is too slow, "live" drops the oldest waiting frame and "lossless" waits; by default
    what BYOC_POLICY says, else "live".
    `token`: a bearer token (or CAPABILITY_TOKEN's) that every `/stream/*` call must carry; empty asks for none.
    `verify_tls`: check the certificates of trickle servers; off by default, orchestrators sign their own.
    """

    def __init__(  # noqa: PLR0917  # pytrickle's order
        self,
        frame_processor: Any,
        port: int = 8000,
        pipeline: str = "",
        capability_name: str = "",
        version: str = "0.0.1",
        custom_routes: Sequence[RouteConfig | Mapping[str, Any]] = (),
        middleware: Sequence[Any] = (),
        route_prefix: str = "/",
        host: str = "0.0.0.0",
        on_startup: Sequence[Callable[[web.Application], Awaitable[None]]] = (),
        on_shutdown: Sequence[Callable[[web.Application], Awaitable[None]]] = (),
        app_kwargs: Mapping[str, Any] | None = None,
        *,
        slot: ProcessorSlot | None = None,
        params: Mapping[str, Any] | None = None,
        policy: Policy | None = None,
        token: str = "",
        verify_tls: bool = False,
    ) -> None:
        self.frame_processor = frame_processor
        self.host, self.port = host, port
        self.pipeline = pipeline or os.environ.get("PIPELINE", "byoc")
        named = capability_name or variable("CAPABILITY_NAME") or os.environ.get("MODEL_ID")
        self.capability_name = named or default_name(frame_processor)
        self.version, self.route_prefix = version, route_prefix
        self.slot = slot or ProcessorSlot()
        self._owns_slot = slot is None
        self._params = dict(params or {})
        self.session: StreamSession | None = None  # the running stream, or the last one
        self.load_error = ""
        encoders()  # a wrong BYOC_ENCODER is told now, not when a stream runs
        self.policy: Policy = policy or ("lossless" if os.environ.get("BYOC_POLICY") == "lossless" else "live")
        self._verify_tls = verify_tls
        self._loading: asyncio.Task[None] | None = None
        self._registering: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()
        self._beginning: asyncio.Task[None] | None = None  # while a stream begins
        self._runner: web.AppRunner | None = None
        self._stopped = asyncio.Event()
        token = token or variable("CAPABILITY_TOKEN")
        self._token = token
        self.app = rest.application(self, token=token, middleware=middleware, prefix=route_prefix, **(app_kwargs or {}))
        for route in custom_routes or ():
            self.add_route(*(RouteConfig(**route) if isinstance(route, Mapping) else route))
        self.app.on_startup.extend(on_startup or ())
        self.app.on_shutdown.extend(on_shutdown or ())

    def add_route(self, method: str, path: str, handler: Any, kwargs: Mapping[str, Any] | None = None) -> None:
        """Add a route of the user's own, before the server starts."""
        self.app.router.add_route(method, path, handler, **(kwargs or {}))

    # ---- life

    async def start_server(self) -> web.AppRunner:
        """Listen, then load the processor in the background; raises PortInUse.

        With ORCH_URL and ORCH_SECRET set, the capability is registered at that orchestrator once the processor is
        loaded, until `stop`; not for a processor of the caller's own slot, which is still being written.
        """
        self._runner = await set_up(self.app)
        try:
            await web.TCPSite(self._runner, self.host, self.port).start()
        except OSError as error:
            await self._runner.cleanup()
            if error.errno == errno.EADDRINUSE:
                raise PortInUse(self.port, free_port(self.host, near=self.port)) from None
            raise
        self.port = self._runner.addresses[0][1] if self._runner.addresses else self.port
        logger.info("Trickle server listening on port %d", self.port)
        if self._owns_slot:
            self._loading = asyncio.create_task(self._load())
            self._registering = asyncio.create_task(self._register())
        return self._runner

    async def loaded(self) -> None:
        """Wait until the processor is loaded; raises Busy with the reason when that failed."""
        if self._loading is not None:
            await asyncio.shield(self._loading)
        if self.load_error:
            raise Busy(f"the processor could not be loaded: {self.load_error}")

    async def _load(self) -> None:
        try:
            await self.slot.load(self.frame_processor, self._params)
            if self._params:
                await asyncio.wrap_future(self.slot.apply(self._params))
        except Exception as error:
            self.load_error = describe(error)
            logger.error("the processor could not be loaded: %s", self.load_error, exc_info=error)

    async def run_forever(self) -> None:
        """Serve until SIGTERM, SIGINT or `stop`; leaves nothing running."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopped.set)
        try:
            await self.start_server()
            await self._stopped.wait()
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)
            await self.stop()

    async def _register(self) -> None:
        """Register once the processor is loaded: an orchestrator sends streams from that moment on."""
        try:
            registration = Registration.from_environment(
                name=self.capability_name, url=f"http://localhost:{self.port}", token=self._token
            )
            if registration is not None:
                await self.loaded()
                await registration.keep(idle=lambda: not self.active and not self._starting.locked())
        except ByocError as error:
            logger.error("the capability isn't registered: %s", error.one_line())
        except Exception:
            logger.exception("the capability isn't registered")

    async def stop(self) -> None:
        """Take back the registration, end the stream, call the stop hooks, free the port and the processor."""
        self._stopped.set()
        for task in (self._registering, self._loading):
            if task is not None and not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        if self._beginning is not None:
            self._beginning.cancel()
        if self.session is not None and not self.session.ended:
            await self.session.stop("the server stops")
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._owns_slot:
            await asyncio.to_thread(self.slot.close)

    # ---- what the routes do

    @property
    def state(self) -> str:
        """pytrickle's health: LOADING, IDLE, OK (a stream runs) or ERROR (loading failed)."""
        if self.load_error:
            return "ERROR"
        if self.slot.current is None:
            return "LOADING"
        return "OK" if self.active else "IDLE"

    @property
    def active(self) -> bool:
        """Whether a stream runs."""
        return self.session is not None and not self.session.ended

    async def start_stream(self, request: StreamStart) -> None:
        """Begin a stream, once the processor is loaded; raises Busy, ParamsError or what `on_stream_start` raises."""
        async with self._starting:
            if self.active:
                raise Busy("another stream is running", hint="stop it first: POST /stream/stop")
            self._beginning = asyncio.ensure_future(self._begin(request))
            try:
                await self._beginning
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if task is not None and task.cancelling():  # the caller has gone
                    raise
                raise Busy("the stream was stopped before it began") from None
            finally:
                self._beginning = None

    async def _begin(self, request: StreamStart) -> None:
        await self.loaded()
        own = {key: value for key, value in request.params.items() if key not in params_.STREAM_KEYS}
        if own:
            await asyncio.wrap_future(self.slot.apply(own, ignore_unknown=True))
        session = StreamSession(request, self.slot, policy=self.policy, verify_tls=self._verify_tls)
        await session.start(self._on_control)
        self.session = session

    @contextlib.asynccontextmanager
    async def idle_processor(self) -> AsyncIterator[Host]:
        """The loaded processor, for one piece of work while no stream runs or begins; raises Busy if one does."""
        async with self._starting:
            if not self.active:
                await self.loaded()
            host = self.slot.current
            if self.active or host is None:
                raise Busy("a stream is running", hint="stop it first: POST /stream/stop")
            yield host

    async def update_params(self, changes: Mapping[str, Any], *, ignore_unknown: bool = False) -> bool:
        """Apply parameters; True when done, False when the processor is still busy taking them over.

        Raises NoStream, ParamsError or BadRequest with nothing changed, or what `update_params` of the user raised.
        """
        if not self.active or self.session is None:
            raise NoStream("No active stream to update", hint="start one first: POST /stream/start")
        check_stream_params(dict(changes))
        own = {key: value for key, value in changes.items() if key not in params_.STREAM_KEYS}
        done = True
        if own:
            future = self.slot.apply(own, ignore_unknown=ignore_unknown)
            future.add_done_callback(_log_refusal)  # also when nobody waits for it any more
            try:
                await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(future)), UPDATE_SECONDS)
            except TimeoutError:
                if future.done():
                    raise
                done = False
        self.session.update_stream_params(dict(changes))
        return done

    async def stop_stream(self) -> bool:
        """End the stream, also one that is only beginning; False when there was none."""
        if (beginning := self._beginning) is not None:
            beginning.cancel()
            await asyncio.wait([beginning])
            return True
        if not self.active or self.session is None:
            return False
        await self.session.stop()
        return True

    async def _on_control(self, message: dict[str, Any]) -> None:
        try:
            await self.update_params(message, ignore_unknown=True)
        except Exception as error:  # a bad message must not end the stream
            logger.warning("a control message was refused: %s", describe(error))


def _log_refusal(done: Future[None]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        logger.warning("an update of the parameters was refused: %s", describe(error))


async def run_processor(processor: Any, port: int = 8000, host: str = "0.0.0.0", **options: Any) -> None:
    """Serve a processor (class, instance or function) until SIGTERM or SIGINT; `options` go to `StreamServer`."""
    await StreamServer(processor, port=port, host=host, **options).run_forever()
