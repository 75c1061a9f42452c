"""One segment on its way out: a bounded queue on this side, one long POST on the other."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType

import aiohttp

from .errors import ChannelClosed, TrickleError
from .wire import CLOSED, RESET, SEQ, backoff, number, patient, reason

log = logging.getLogger(__name__)

MAX_OUTSTANDING_BYTES = 1024 * 1024  # written but not yet taken by the socket: half a second of 16 Mbit/s video
MAX_RETRIES = 5
HELD_SECONDS = 5.0  # a POST that lived this long was a working connection: its loss starts the count of retries anew
DELETE_SECONDS = 5.0  # for a DELETE on the way out, which must not hold up a shutdown


@dataclass
class Link:
    """What the writers of one publisher share. `ended` is set once the channel is known to be over."""

    url: str
    mime: str
    session: aiohttp.ClientSession
    verify_tls: bool
    ended: ChannelClosed | None = None

    def end(self, status: int) -> ChannelClosed:
        """Remember that the channel is over."""
        if self.ended is None:
            self.ended = ChannelClosed(self.url, status=status)
        return self.ended

    async def delete(self, url: str) -> None:
        """DELETE a segment or the channel, within `DELETE_SECONDS`; a failure is only logged."""
        try:
            async with (
                asyncio.timeout(DELETE_SECONDS),
                self.session.delete(url, ssl=self.verify_tls, timeout=patient()) as response,
            ):
                log.debug("DELETE %s: %d", url, response.status)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            log.warning("DELETE %s failed: %r", url, error)


class SegmentWriter:
    """Writes the bytes of one segment; made by `TricklePublisher.next`, never directly.

    As an async context manager it closes the segment, or aborts it if the block raises. `seq` is the sequence number,
    -1 while only the server knows it. For one task at a time.
    """

    def __init__(self, link: Link, seq: int, *, reset: bool = False) -> None:
        self.seq = seq
        self._link = link
        self._post_url = f"{link.url}/{seq}"
        self._reset = reset
        self._queue: deque[bytes] = deque()
        self._outstanding = 0
        self._closing = False
        self._sent = False  # a byte of the body has been handed to the socket
        self._complete = False  # all of it has
        self._error: TrickleError | None = None
        self._readable = asyncio.Event()
        self._writable = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"trickle-post-{seq}")

    @property
    def answered(self) -> bool:
        """Whether the POST has come to its end: answered, failed for good, or dropped."""
        return self._task.done()

    async def write(self, data: bytes) -> None:
        """Send bytes; waits while more than 1 MiB is outstanding.

        Raises `ChannelClosed` if the channel has ended, `TrickleError` if this segment can no longer be written.
        """
        self._check(data)
        while self._outstanding and self._outstanding + len(data) > MAX_OUTSTANDING_BYTES:
            self._writable.clear()
            await self._writable.wait()
            self._check(data)
        if data:
            self._queue.append(data)
            self._outstanding += len(data)
            self._readable.set()

    async def close(self) -> None:
        """End the segment and wait for the server's answer. Raises as `write` does; idempotent.

        A segment closed without a byte is an empty segment, which readers see.
        """
        self._closing = True
        self._readable.set()
        await asyncio.wait([self._task])
        if self._error is not None:
            raise self._error

    async def abort(self) -> None:
        """Give the segment up: stop sending, DELETE it so that its readers move on. Never raises for the network."""
        if self.answered:
            return
        await self.drop()
        if self.seq >= 0 and self._link.ended is None:
            await self._link.delete(f"{self._link.url}/{self.seq}")

    async def drop(self) -> None:
        """Break the connection off and leave the segment as it is; the next POST of the same seq goes on with it."""
        self._closing = True
        self._task.cancel()
        await asyncio.wait([self._task])
        if self._error is None and not self._complete:  # cancelled before it ran at all
            self._fail("was given up")

    async def __aenter__(self) -> SegmentWriter:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await (self.close() if kind is None else self.abort())

    def _check(self, data: bytes) -> None:
        if self._error is not None:
            raise self._error
        if self._closing:
            raise TrickleError(f"segment {self.seq} is already closed", url=self._post_url)

    def _fail(self, why: str, status: int = 0) -> None:
        self._error = TrickleError(f"segment {self.seq} of {self._link.url} {why}", url=self._post_url, status=status)

    # -- the POST ------------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            await self._post_until_answered()
        except asyncio.CancelledError:
            self._fail("was given up")
            raise
        except Exception as error:  # a closed session, say: the writer must not look as if it had succeeded
            self._fail(f"could not be sent: {error!r}")
        finally:
            self._writable.set()

    async def _post_until_answered(self) -> None:
        loop = asyncio.get_running_loop()
        attempt = 0
        while True:
            began = loop.time()
            status = 0
            try:
                status, answer = await self._post()
            except (aiohttp.ClientError, OSError) as error:
                why = f"could not be sent: {reason(error)}"
            else:
                if status == 404 or CLOSED in answer:
                    self._error = self._link.end(status)
                    return
                if status < 400:
                    written = number(answer, SEQ)
                    self.seq = self.seq if written is None else written
                    if not self._complete:
                        self._fail("was ended by the server before its last byte", status)
                    return
                why = f"was answered {status}"
            attempt = 0 if loop.time() - began > HELD_SECONDS else attempt
            if self._sent or attempt >= MAX_RETRIES or 400 <= status < 500:
                self._fail(why, status)
                return
            log.debug("segment %d of %s %s; trying again", self.seq, self._link.url, why)
            await asyncio.sleep(backoff(attempt))
            attempt += 1

    async def _post(self) -> tuple[int, Mapping[str, str]]:
        headers = {"Content-Type": self._link.mime}
        if self._reset:
            headers[RESET] = "1"
        response = await self._link.session.post(
            self._post_url,
            data=_Body(self),
            headers=headers,
            chunked=True,
            allow_redirects=False,
            ssl=self._link.verify_tls,
            timeout=patient(),
        )
        # `async with` would wait for the end of the body, which an early answer makes pointless.
        if self._complete:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                await response.read()
            response.release()
        else:
            response.close()
        return response.status, response.headers

    async def take(self) -> bytes:
        """The next chunk for the socket, b"" at the end; the one before it has been taken by then."""
        while not self._queue:
            if self._closing:
                self._complete = True
                return b""
            self._readable.clear()
            await self._readable.wait()
        self._sent = True
        return self._queue.popleft()

    def taken(self, size: int) -> None:
        """`size` bytes have gone to the socket."""
        self._outstanding -= size
        self._writable.set()


class _Body:
    """The POST's body for aiohttp, which asks for the next chunk once the one before has passed its flow control."""

    def __init__(self, writer: SegmentWriter) -> None:
        self._writer = writer
        self._begun = False
        self._in_flight = 0

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        if not self._begun:
            self._begun = True
            return b""  # aiohttp holds the headers back for the first chunk; an empty one sends them: the preconnect
        self._writer.taken(self._in_flight)
        self._in_flight = 0
        chunk = await self._writer.take()
        if not chunk:
            raise StopAsyncIteration
        self._in_flight = len(chunk)
        return chunk
