"""Reads a trickle channel segment after segment, with the next one's request always under way.

The design is go-livepeer's subscriber with livepeer-python-gateway's way of jumping: a reader that fell out of the ring
(470) goes to the live edge and counts the gap, one that is ahead of the writer waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Literal

import aiohttp

from .channel import CURRENT
from .errors import ChannelNotFound, TrickleError
from .wire import CLOSED, LATEST, NO_SUCH_SEGMENT, SEQ, backoff, channel_url, number, open_session, patient, reason

log = logging.getLogger(__name__)

REFRESH_SECONDS = 25.0  # go-livepeer re-issues a blocked GET every 20 s, below the usual idle limits of proxies
AHEAD_SECONDS = 0.25  # before asking again for a segment that the writer has not reached

Ended = Literal["closed", "deleted", "failed"]


class Segment:
    """One segment on its way in; iterate for chunks as they arrive, or `read` it whole.

    `seq` is its number and `gap` how many segments were skipped before it. `truncated` is true once the connection was
    lost, or the subscriber moved on, before the segment's end: what was read until then stands, the rest cannot be had.
    """

    def __init__(self, seq: int, gap: int, response: aiohttp.ClientResponse) -> None:
        self.seq = seq
        self.gap = gap
        self.truncated = False
        self._response = response
        self._ended = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._ended:
            try:
                chunk = await self._response.content.readany()
            except (aiohttp.ClientError, OSError) as error:
                log.debug("%s was cut: %s", self._response.url, reason(error))
                self.close()
            else:
                if chunk:
                    return chunk
                self._ended = True
                self._response.release()
        raise StopAsyncIteration

    async def read(self) -> bytes:
        """All bytes that have not been read yet, once the segment has ended."""
        return b"".join([chunk async for chunk in self])

    def close(self) -> None:
        """Give up the rest, if there is any."""
        if not self._ended:
            self._ended = True
            self.truncated = True
            self._response.close()


class TrickleSubscriber:
    """Subscribes to the channel at `url`: `async for segment in subscriber`.

    `start` is the first segment: -2 the newest that has begun (on a new channel the first), -1 the next that begins, or
    a number. A GET that is still blocked after `refresh_seconds` is issued anew; that is no error. `max_retries`
    connections in a row may fail. `session` is used and left open if given. Certificates are not verified unless
    `verify_tls`, because orchestrators present self-signed ones.

    Asking for a segment gives up what is unread of the one before. `ended` tells, once the iteration is over, why:
    "closed" (end of stream), "deleted" (404) or "failed"; None after `close`. `gaps` counts skipped segments.
    """

    def __init__(
        self,
        url: str,
        *,
        start: int = CURRENT,
        session: aiohttp.ClientSession | None = None,
        verify_tls: bool = False,
        refresh_seconds: float = REFRESH_SECONDS,
        max_retries: int = 5,
    ) -> None:
        if start < CURRENT:
            raise ValueError(f"start is -2, -1 or a sequence number, not {start}")
        self.url = channel_url(url)
        self.ended: Ended | None = None
        self.gaps = 0
        self._given_session = session
        self._session: aiohttp.ClientSession | None = None
        self._verify_tls = verify_tls
        self._refresh_seconds = refresh_seconds
        self._max_retries = max_retries
        self._wanted = start
        self._found = False  # the channel has been seen to exist
        self._current: Segment | None = None
        self._ahead: asyncio.Task[Segment | Ended] | None = None
        self._closed = False

    def __aiter__(self) -> TrickleSubscriber:
        return self

    async def __anext__(self) -> Segment:
        """The next segment, as soon as its headers are there; cancelling the wait loses nothing.

        Raises `ChannelNotFound` if the server does not know the channel at the first request, `TrickleError` when
        the retries are used up.
        """
        if self._current is not None:
            self._current.close()
            self._current = None
        if self._closed or self.ended is not None:
            raise StopAsyncIteration
        ahead = self._ahead = self._ahead or self._fetch_ahead()
        await asyncio.wait([ahead])
        if self._closed or ahead.cancelled():
            raise StopAsyncIteration
        self._ahead = None
        if (error := ahead.exception()) is not None:
            self.ended = "failed"
            raise error
        segment = ahead.result()
        if not isinstance(segment, Segment):
            self.ended = segment
            raise StopAsyncIteration
        self.gaps += segment.gap
        self._current = segment
        self._ahead = self._fetch_ahead()
        return segment

    async def close(self) -> None:
        """Stop: a waiting iteration ends, the connections are closed. Idempotent."""
        self._closed = True
        ahead, self._ahead = self._ahead, None
        try:
            if ahead is not None:
                ahead.cancel()
                await asyncio.wait([ahead])
                if not ahead.cancelled() and ahead.exception() is None and isinstance(found := ahead.result(), Segment):
                    found.close()
        finally:  # a loop that ends cancels this, too
            if self._current is not None:
                self._current.close()
            if self._session is not None and self._given_session is None:
                await self._session.close()

    async def __aenter__(self) -> TrickleSubscriber:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _fetch_ahead(self) -> asyncio.Task[Segment | Ended]:
        return asyncio.create_task(self._fetch(), name=f"trickle-get-{self._wanted}")

    async def _fetch(self) -> Segment | Ended:
        """Wait for the wanted segment or what the server has in its place; at the end of the stream, how it ended."""
        expected = self._wanted
        failures = 0
        while True:
            try:
                response = await self._get(self._wanted)
            except (aiohttp.ClientError, OSError, RuntimeError) as error:
                response, why, status = None, f"cannot be read: {reason(error)}", 0
            if response is not None:
                status = response.status
                closed = CLOSED in response.headers  # tested before the body, which may be prose
                if status == 200 and not closed and (seq := self._served(response)) is not None:
                    self._found = True
                    self._wanted = seq + 1
                    return Segment(seq, max(0, seq - expected) if expected >= 0 else 0, response)
                response.close()
                if closed:
                    return "closed"
                if status == 404 and self._found:
                    return "deleted"
                if status == 404:
                    raise ChannelNotFound(self.url)
                if status == NO_SUCH_SEGMENT:
                    failures = 0
                    self._found = True
                    await self._jump(number(response.headers, LATEST))
                    continue
                why = f"was answered {status}"
            if failures >= self._max_retries:
                raise TrickleError(
                    f"{self.url}/{self._wanted} {why}",
                    url=self.url,
                    status=status,
                    hint="is the trickle server running?",
                )
            log.debug("%s/%d %s; trying again", self.url, self._wanted, why)
            await asyncio.sleep(backoff(failures))
            failures += 1

    async def _get(self, seq: int) -> aiohttp.ClientResponse:
        """The answer to a GET, asked anew as often as `refresh_seconds` pass without headers."""
        if self._session is None:
            self._session = self._given_session or open_session()
        while True:
            try:
                async with asyncio.timeout(self._refresh_seconds) as patience:
                    return await self._session.get(
                        f"{self.url}/{seq}", ssl=self._verify_tls, timeout=patient(), allow_redirects=False
                    )
            except TimeoutError:
                if not patience.expired():
                    raise

    def _served(self, response: aiohttp.ClientResponse) -> int | None:
        seq = number(response.headers, SEQ)
        if seq is None and self._wanted >= 0:
            return self._wanted
        return seq if seq is not None and seq >= 0 else None

    async def _jump(self, latest: int | None) -> None:
        """After a 470: go to the write head if it is ahead of us, else give the writer time to reach us."""
        if latest is not None and latest > self._wanted:
            log.debug("%s: jumping from segment %d to %d", self.url, self._wanted, latest)
            self._wanted = latest
        else:
            await asyncio.sleep(AHEAD_SECONDS)
