"""A container elsewhere with our channels and our source: what the gateway and the orchestrator are to it.

The container reads the input channel and writes the output channel of a trickle server in this process; both are
decoded here, so that its pictures, rates and latency are known whatever it tells of itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import secrets
import socket
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from byoc_nb.errors import ByocError
from byoc_nb.network.container import Container, ContainerError, Refused
from byoc_nb.network.publishing import Publishing
from byoc_nb.network.source import Source
from byoc_nb.network.watching import Watching
from byoc_nb.runtime import guard
from byoc_nb.runtime.ports import ANYWHERE, PortInUse, base_url, free_port
from byoc_nb.trickle import TrickleServer
from byoc_nb.trickle.channels import LINGER_SECONDS
from byoc_nb.trickle.hosting import set_up

logger = logging.getLogger(__name__)

TRICKLE_PATH = "/trickle/"
ASK_SECONDS = 0.5  # between two looks at its status
SILENT_TIMES = 3  # it can't be asked until it counts as gone


class RemoteNetwork:
    """Belongs to one asyncio loop, from `listen` to `close`.

    `host` and `port`: where our trickle server listens; `reach`: the name or address of this machine that the container
    uses, by default one that is found from its URL.
    """

    def __init__(self, container: Container, *, host: str = "127.0.0.1", port: int = 0, reach: str = "") -> None:
        self.container, self.host, self.port = container, host, port
        self.app = web.Application(middlewares=[guard.same_site(host, _refuse)])
        self.publishing, self.watching = Publishing(), Watching()
        self.schema: dict[str, Any] | None = None
        self.values: dict[str, Any] = {}  # of its parameters, as far as they are known; secret ones are masked
        self._chosen: dict[str, Any] = {}  # those that were set here
        self.status: dict[str, Any] = {}  # what it said last
        self.active, self.ended = False, ""
        self._reach = reach or _reach(container.url, host)
        self._trickle = TrickleServer(base_path=TRICKLE_PATH, linger_seconds=LINGER_SECONDS)
        self._trickle.mount(self.app, sweep=False)  # a camera that is off sends nothing, and comes back
        self._runner: web.AppRunner | None = None
        self._channels: dict[str, str] = {}
        self._asking: asyncio.Task[None] | None = None

    @property
    def urls(self) -> dict[str, str]:
        """`rest` (the container's), `trickle`, `input` and `output` (as reached from here)."""
        base = base_url(self.host, self.port) + TRICKLE_PATH
        return {"rest": self.container.url, "trickle": base, **{k: base + name for k, name in self._channels.items()}}

    async def listen(self) -> None:
        """Reach the container, and open our port. Raises ContainerError or PortInUse."""
        try:
            await self.container.open()
            self.schema = await self.container.schema()
            self._heard(await self.container.status())
            self._runner = await set_up(self.app)
            await web.TCPSite(self._runner, self.host, self.port).start()
        except BaseException as error:
            await self.close()
            if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
                raise PortInUse(self.port, free_port(self.host, near=self.port)) from None
            raise
        self.port = self._runner.addresses[0][1]
        if self.schema is not None:
            declared: dict[str, dict[str, Any]] = self.schema["properties"]
            given = {name: one["default"] for name, one in declared.items() if "default" in one}
            self.values = {**given, **self.values}
        self._asking = asyncio.create_task(self._ask())

    async def play(self, source: Source, params: dict[str, Any] | None = None) -> None:
        """Start a stream fed by `source`, in place of ours that runs; raises Refused or ContainerError."""
        async with self.publishing.change(source):
            await self._halt()
            await self._begin(params)
            self.publishing.start(source, self.urls["input"], self._source_failed)

    async def _begin(self, params: dict[str, Any] | None) -> None:
        key = secrets.token_hex(8)  # whoever reaches our port must know it to read or write
        self._channels = {kind: f"{key}-{kind}" for kind in ("input", "output")}
        for name in self._channels.values():
            self._trickle.create(name)
        ours = base_url(self._reach, self.port) + TRICKLE_PATH
        there = {kind: ours + name for kind, name in self._channels.items()}
        body = {
            "gateway_request_id": "notebook",
            "subscribe_url": there["input"],
            "publish_url": there["output"],
            "params": {**self._chosen, **(params or {})},
        }
        self.watching.start(self.urls["input"], self.urls["output"], self._over)
        try:
            await self.container.start(body)
        except Refused as error:
            await self._drop_channels()
            raise Refused(f"{self.container.url} took no stream: {error}", error.errors) from None
        except BaseException:
            with contextlib.suppress(ByocError):  # it may begin one all the same
                await self.container.stop()
            await self._drop_channels()
            raise
        self.active, self.ended, self.status = True, "", {}

    async def change(self, changes: dict[str, Any]) -> None:
        """Change parameters, of the running stream or for the next one; raises Refused or ContainerError."""
        if self.active:
            await self.container.params(changes)
        self.values |= changes
        self._chosen |= changes

    async def halt(self) -> None:
        """End our stream; the container stays."""
        async with self.publishing.change():
            await self._halt()

    async def _halt(self) -> None:
        if self.active:
            self.active = False
            with contextlib.suppress(ByocError):  # it may have ended it, or itself
                await self.container.stop()
        await self.publishing.stop()
        await self._drop_channels()

    async def close(self) -> None:
        """End our stream and free the port."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.gather(self._asking, return_exceptions=True)
        self.publishing.break_off()
        await self.halt()
        self._trickle.close_all()
        if self._runner is not None:
            await self._runner.cleanup()
        await self.container.close()

    # ---- internals

    async def _drop_channels(self) -> None:
        for name in self._channels.values():
            self._trickle.close(name)
        await self.watching.stop()
        self._channels = {}

    def _source_failed(self, error: ByocError) -> None:
        logger.warning("the source stopped: %s", error.one_line())
        if name := self._channels.get("input"):
            self._trickle.close(name)

    def _over(self) -> None:
        """Nothing more comes from the container."""
        if self.active:
            self.active, self.ended = False, "the container ended its output"

    async def _ask(self) -> None:
        silent = 0  # times in a row that it could not be asked
        while True:
            await asyncio.sleep(ASK_SECONDS)
            try:
                self._heard(await self.container.status())
                silent = 0
            except ContainerError as error:
                silent += 1
                if silent < SILENT_TIMES:
                    continue
                if self.active:
                    logger.warning("%s", error.one_line())
                self.active, self.ended, self.status = False, str(error), {}
            except Refused:
                pass  # it is asked again

    def _heard(self, status: dict[str, Any]) -> None:
        if self.active and status.get("active_streams") == 0 == self.status.get("active_streams"):  # twice in a row
            self.active, self.ended = False, "the container ended the stream"
        self.status = status
        if isinstance(params := status.get("params"), dict):
            self.values |= params


def _reach(container: str, host: str) -> str:
    """The address of this machine that the container can call."""
    there = urlsplit(container).hostname or ""
    if guard.is_loopback(there):
        return ANYWHERE.get(host, host)
    if guard.is_loopback(host):
        raise ContainerError(
            f"{there} is another machine and can't reach {host} of this one",
            hint="--host 0.0.0.0 lets it in, --reach NAME tells how it calls this machine",
        )
    if host not in ANYWHERE:
        return host
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:  # sends nothing
            probe.connect((there, 9))
            return str(probe.getsockname()[0])
    except OSError as error:
        raise ContainerError(f"{there} can't be found: {error}", hint="is the URL right?") from None


def _refuse(status: int, message: str) -> web.Response:
    return web.json_response({"message": message}, status=status)
