"""Writes a trickle channel, segment after segment, with the next one's connection always open beforehand.

The design is go-livepeer's publisher with the newer habits of livepeer-python-gateway: ask the server where the channel
stands, no timeout on a request that may last as long as the stream, retry only what was never sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from types import TracebackType

import aiohttp

from .channel import DEFAULT_MIME
from .errors import ChannelNotFound, TrickleError
from .wire import (
    CLOSED,
    CONNECT_SECONDS,
    EXPECT_CONTENT,
    LATEST,
    NO_SUCH_SEGMENT,
    backoff,
    channel_url,
    number,
    open_session,
    parse_seq,
    reason,
)
from .writer import MAX_RETRIES, Link, SegmentWriter

log = logging.getLogger(__name__)

FAR_AHEAD = 2**31 - 1  # a segment that no channel has: asking for it gives 470 and the write head
ANSWER_SECONDS = 5.0  # for short questions: some server might hold a GET for a segment that it does not know
CLOSE_SECONDS = 5.0  # for segments still open when the publisher is closed


class TricklePublisher:
    """Publishes to the channel at `url`; `mime` is its content type.

    `session` is used and left open if given. Certificates are not verified unless `verify_tls`, because orchestrators
    present self-signed ones. For one event loop; `next` may be called from several tasks.
    """

    def __init__(
        self,
        url: str,
        *,
        mime: str = DEFAULT_MIME,
        session: aiohttp.ClientSession | None = None,
        verify_tls: bool = False,
    ) -> None:
        self.url = channel_url(url)
        self._mime = mime
        self._given_session = session
        self._verify_tls = verify_tls
        self._link: Link | None = None
        self._lock = asyncio.Lock()
        self._handed_out: list[SegmentWriter] = []
        self._ahead: SegmentWriter | None = None  # the preconnected segment
        self._attached = False
        self._closed = False

    @property
    def ended(self) -> bool:
        """Whether the server has said that the channel is over."""
        return self._link is not None and self._link.ended is not None

    async def create(self) -> None:
        """Create the channel, for those that we own; one that exists stays as it is.

        Raises `ChannelNotFound` if the server creates channels only in process, `TrickleError` if it cannot be reached.
        """
        status, _, _ = await self._ask("POST", self.url, {EXPECT_CONTENT: self._mime})
        if status == 404:
            raise ChannelNotFound(self.url)
        if status >= 400:
            raise TrickleError(f"creating {self.url} was answered {status}", url=self.url, status=status)

    async def next(self) -> SegmentWriter:
        """The writer of the next segment, which may overlap the one before; opens the connection of the one after.

        The first call asks the server where the channel stands, so that a publisher may take over from another. Raises
        `ChannelClosed` once the channel has ended, `TrickleError` if the server cannot be reached.
        """
        async with self._lock:
            link = self._open_link()
            if link.ended is not None:
                raise link.ended
            writer, self._ahead = self._ahead, None
            if writer is not None and writer.answered:
                writer = None  # failed, or ended by the server: find out where the channel stands now
            if writer is None:
                writer = await self._connect(link)
            if self._closed:
                await writer.drop()
                self._open_link()
            self._handed_out = [w for w in self._handed_out if not w.answered] + [writer]
            if writer.seq >= 0:
                self._ahead = SegmentWriter(link, writer.seq + 1)
            return writer

    async def close(self, *, delete: bool = False) -> None:
        """Close what is open, drop the idle preconnect without a trace; with `delete`, end the channel for everybody.

        DELETE of a channel that was handed to us is how a container says "I am done": go-livepeer's gateway then stops
        the stream. Waits 5 s at most for open segments. Never raises for the network; idempotent.
        """
        await self._close(delete=delete, abort=False)

    async def __aenter__(self) -> TricklePublisher:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close(delete=False, abort=kind is not None)

    async def _close(self, *, delete: bool, abort: bool) -> None:
        if self._closed:
            return
        if delete:
            self._open_link()
        self._closed = True
        try:
            for writer in self._handed_out:
                if abort:
                    await writer.abort()
                else:
                    with contextlib.suppress(TrickleError, TimeoutError):
                        async with asyncio.timeout(CLOSE_SECONDS):
                            await writer.close()
        finally:  # in steps, because a loop that ends cancels this, too
            try:
                for writer in [*self._handed_out, *([self._ahead] if self._ahead else [])]:
                    await writer.drop()
                if self._link is not None and delete:
                    await self._link.delete(self.url)
            finally:
                if self._link is not None and self._given_session is None:
                    await self._link.session.close()

    # -- where the channel stands --------------------------------------------------------------------------------------

    async def _connect(self, link: Link) -> SegmentWriter:
        last = self._handed_out[-1] if self._handed_out else None
        if last is not None and last.seq < 0:
            # The server numbers the segments (-1) and tells the number in its answer: one at a time.
            with contextlib.suppress(TrickleError):
                await last.close()
        floor = last.seq + 1 if last is not None and last.seq >= 0 else 0
        head = await self._head(link)
        seq = max(head, floor) if floor else head
        reset = not self._attached and seq != 0  # lets go of readers that hang on what another publisher left behind
        self._attached = True
        return SegmentWriter(link, seq, reset=reset)

    async def _head(self, link: Link) -> int:
        """The write head: 0 for a channel that is not there yet, -1 (the server decides) if it cannot be found out.

        `GET /next` came in 2026. Before it, "next" is a bad segment (400) or no route (404); there a segment far ahead
        gives 470 with `Lp-Trickle-Latest`. A server without GET at all has nothing to take over from: 0.
        """
        status, headers, body = await self._ask("GET", f"{self.url}/next")
        if CLOSED in headers:
            raise link.end(status)
        if status == 200:
            head = number(headers, LATEST)
            head = parse_seq(body.strip()) if head is None else head
            if head is not None and head >= 0:
                return head
        status, headers, _ = await self._ask("GET", f"{self.url}/{FAR_AHEAD}")
        if CLOSED in headers:
            raise link.end(status)
        head = number(headers, LATEST)
        if status == NO_SUCH_SEGMENT and head is not None and head >= 0:
            return head
        return 0 if status in {404, 405, 501} else -1

    async def _ask(
        self, method: str, url: str, headers: dict[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], str]:
        """A short request: status, headers and body; status 0 if the server holds the answer back.

        Raises `TrickleError` after `MAX_RETRIES` lost connections.
        """
        link = self._open_link()
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=ANSWER_SECONDS)
        attempt = 0
        while True:
            try:
                async with link.session.request(
                    method, url, headers=headers, ssl=link.verify_tls, timeout=timeout, allow_redirects=False
                ) as response:
                    return response.status, response.headers, await response.text(errors="replace")
            except aiohttp.SocketTimeoutError:
                return 0, {}, ""
            except (aiohttp.ClientError, OSError, RuntimeError) as error:  # RuntimeError: the session was closed
                if attempt >= MAX_RETRIES or self._closed:
                    hint = "is the trickle server running?"
                    raise TrickleError(f"{url} cannot be reached: {reason(error)}", url=url, hint=hint) from error
            await asyncio.sleep(backoff(attempt))
            attempt += 1

    def _open_link(self) -> Link:
        if self._closed:
            raise TrickleError("this publisher has been closed", url=self.url, hint="make a new TricklePublisher")
        if self._link is None:
            self._link = Link(self.url, self._mime, self._given_session or open_session(), self._verify_tls)
        return self._link
