"""A trickle server for one process: `channels` holds the rules, `exchange` the long requests, this module the routes.

Wire-compatible with go-livepeer's trickle server; stand-alone (`start`) or part of an aiohttp application (`mount`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace

from aiohttp import web

from .channel import DEFAULT_MIME, MAX_SEGMENT_BYTES, Refused
from .channels import MAX_CHANNELS, SWEEP_SECONDS, Channels
from .errors import TrickleError
from .exchange import ServerStats, answer_early, closed_header, receive_segment, send_segment
from .hosting import set_up
from .wire import EXPECT_CONTENT, LATEST, NO_SUCH_SEGMENT, RESET, SEQ, parse_seq

log = logging.getLogger(__name__)

KEEPALIVE_SECONDS = 10.0  # go-livepeer's interval of provisional answers to an idle preconnect
STALL_SECONDS = 120.0  # a peer that moves no byte for this long in mid-segment is lost, not slow


class TrickleServer:
    """Channels over HTTP under `base_path`.

    `autocreate` lets a POST create the channel it names, `changefeed` keeps `_changes`; both are off, as in a
    go-livepeer orchestrator, and so is `linger_seconds`, for which the segments of a channel that has ended can be read
    by who is behind. Bounds: `max_segment_bytes` a segment (413), `max_channels` (429). `stall_seconds` cuts a
    reader or a publisher that stops in mid-segment; an idle preconnect is never cut, it gets a `100 Continue` every
    `keepalive_seconds`. Methods are for the server's event loop only.
    """

    def __init__(
        self,
        *,
        base_path: str = "/",
        autocreate: bool = False,
        changefeed: bool = False,
        linger_seconds: float = 0.0,
        max_segment_bytes: int = MAX_SEGMENT_BYTES,
        max_channels: int = MAX_CHANNELS,
        stall_seconds: float = STALL_SECONDS,
        keepalive_seconds: float = KEEPALIVE_SECONDS,
    ) -> None:
        self.base_path = "/" + "".join(f"{part}/" for part in base_path.split("/") if part)
        self._channels = Channels(
            time.monotonic,
            autocreate=autocreate,
            changefeed=changefeed,
            linger_seconds=linger_seconds,
            max_segment_bytes=max_segment_bytes,
            max_channels=max_channels,
        )
        self._stall_seconds = stall_seconds
        self._keepalive_seconds = keepalive_seconds
        self._stats = ServerStats()
        self._stopping = False
        self._runner: web.AppRunner | None = None

    # -- in process ----------------------------------------------------------------------------------------------------

    def create(self, name: str, mime: str = DEFAULT_MIME) -> None:
        """Make a channel; one that exists stays as it is.

        Raises ValueError if `name` is not one path element, `TrickleError` if the server is full.
        """
        try:
            self._channels.create(name, mime)
        except Refused as refusal:
            if refusal.status == 400:
                raise ValueError(f"{name!r} cannot name a trickle channel: use one path element") from None
            raise TrickleError(refusal.reason, status=refusal.status, hint="close channels that ended") from None

    def close(self, name: str) -> bool:
        """End a channel and forget it: its readers and publishers get `Lp-Trickle-Closed`. False if there is none."""
        return self._channels.remove(name)

    def close_all(self) -> None:
        """End every channel."""
        self._channels.clear()

    def names(self) -> list[str]:
        """The open channels, oldest first."""
        return self._channels.names()

    @property
    def stats(self) -> ServerStats:
        """A snapshot of the counters."""
        return replace(self._stats, channels=len(self._channels))

    # -- life ----------------------------------------------------------------------------------------------------------

    def mount(self, app: web.Application, *, sweep: bool = True) -> None:
        """Serve everything under `base_path` of `app`, which must not have started; its shutdown ends all channels.

        Without `sweep`, a channel on which nothing is sent stays.
        """
        app.router.add_route("*", self.base_path + "{tail:.*}", self._handle)
        app.on_shutdown.append(self._shut_down)
        if sweep:
            app.cleanup_ctx.append(self._sweeping)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen and give the base URL, without a trailing slash: a channel is at `f"{base}/{name}"`.

        Port 0 takes a free one. Raises RuntimeError if already started, OSError if the address cannot be bound.
        """
        if self._runner is not None:
            raise RuntimeError("the trickle server has already been started")
        app = web.Application()
        self.mount(app)
        runner = await set_up(app, auto_decompress=False)
        try:
            await web.TCPSite(runner, host, port).start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        address, bound = runner.addresses[0][:2]
        address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)
        shown = f"[{address}]" if ":" in address else address
        return f"http://{shown}:{bound}{self.base_path}".rstrip("/")

    async def stop(self) -> None:
        """End every channel, then every connection. Idempotent; `start` may be called again."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _shut_down(self, _: web.Application) -> None:
        self._stopping = True
        self.close_all()

    async def _sweeping(self, _: web.Application) -> AsyncIterator[None]:
        self._stopping = False
        sweeper = asyncio.create_task(self._sweep_forever(), name="trickle-sweep")
        yield
        sweeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await sweeper

    async def _sweep_forever(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            for name in self._channels.sweep():
                self._stats.swept += 1
                log.info("closed the idle trickle channel %s", name)

    # -- routes --------------------------------------------------------------------------------------------------------

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        # Empty path elements are dropped, so that //ch/0 and /ch/0/ mean /ch/0; go-livepeer redirects the former.
        path = [part for part in request.match_info["tail"].split("/") if part]
        try:
            if self._stopping or not 1 <= len(path) <= 2:
                raise Refused(404, "Stream not found")
            if len(path) == 1:
                return self._channel_request(request, path[0])
            return await self._segment_request(request, path[0], path[1])
        except Refused as refusal:
            response = web.Response(status=refusal.status, text=refusal.reason)
            if request.method == "POST" and len(path) == 2:
                return await answer_early(request, response)
            return response

    def _channel_request(self, request: web.Request, name: str) -> web.Response:
        if request.method == "POST":
            self._channels.find_or_autocreate(name, request.headers.get(EXPECT_CONTENT, DEFAULT_MIME))
            return web.Response()
        if request.method == "DELETE":
            if not self._channels.remove(name):
                raise Refused(400, "Invalid stream")
            return web.Response()
        return web.Response(status=405, headers={"Allow": "DELETE, POST"})

    async def _segment_request(self, request: web.Request, name: str, element: str) -> web.StreamResponse:
        if request.method == "POST":
            return await self._post(request, name, _seq(element))
        if request.method == "GET":
            if element == "next":
                return self._next(name)
            return await self._get(request, name, _seq(element))
        if request.method == "DELETE":
            channel = self._channels.find(name)
            channel.delete_segment(_seq(element))
            return web.Response()
        return web.Response(status=405, headers={"Allow": "DELETE, GET, POST"})

    def _next(self, name: str) -> web.Response:
        channel = self._channels.find(name)
        head = str(channel.next_write)
        return web.Response(text=head, headers={LATEST: head} | closed_header(channel))

    async def _get(self, request: web.Request, name: str, seq: int) -> web.StreamResponse:
        channel = self._channels.find_to_read(name, seq)
        reading = channel.read(seq)
        if reading.segment is None:
            headers = {SEQ: str(reading.seq), LATEST: str(reading.latest)}
            return web.Response(status=NO_SUCH_SEGMENT, reason="No such segment", headers=headers)
        return await send_segment(request, channel, reading, self._stats, self._stall_seconds)

    async def _post(self, request: web.Request, name: str, seq: int) -> web.StreamResponse:
        channel = self._channels.find_or_autocreate(name, request.headers.get("Content-Type", DEFAULT_MIME))
        return await receive_segment(
            request,
            channel,
            channel.write(seq, reset=bool(request.headers.get(RESET))),
            self._stats,
            stall_seconds=self._stall_seconds,
            keepalive_seconds=self._keepalive_seconds,
        )


def _seq(element: str) -> int:
    seq = parse_seq(element)
    if seq is None:
        raise Refused(400, "Invalid sequence number")
    return seq
