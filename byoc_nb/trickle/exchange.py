"""The two long requests of a trickle server: a segment going out to a reader, and one coming in from a publisher.

Both outlive ordinary HTTP: a reader may wait for minutes before the first header, a publisher before its first byte.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass

from aiohttp import HttpVersion11, StreamReader, web

from .channel import Channel, Reading, Refused, Segment, Writing
from .wire import CLOSED, LATEST, SEQ

log = logging.getLogger(__name__)

DISCONNECT_POLL_SECONDS = 0.5  # aiohttp tells a handler that only waits nothing about a peer that has left
FAREWELL_SECONDS = 0.5  # as Go: read on this long after an early answer, so that a reset cannot overtake it
CLIENT_GONE = 499  # never reaches anybody: the status of a handler whose peer has left


@dataclass
class ServerStats:
    """Counters since the server was made, and how many requests are open now."""

    channels: int = 0
    readers: int = 0
    writers: int = 0
    segments_in: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    stalled: int = 0
    swept: int = 0


async def send_segment(
    request: web.Request, channel: Channel, reading: Reading, stats: ServerStats, stall_seconds: float
) -> web.StreamResponse:
    """Answer a GET for a segment that exists: every chunk is flushed as it arrives, the end is the segment's end.

    Sends no header before there is data or the segment closes. A segment that closes empty is a 200 without bytes that
    carries `Lp-Trickle-Latest`, and `Lp-Trickle-Closed` if its channel has ended. A reader that takes nothing for
    `stall_seconds` is cut. All readers write the same bytes objects.
    """
    segment = reading.segment
    assert segment is not None
    stats.readers += 1
    try:
        while not segment.size and not segment.closed:
            if _gone(request):
                return web.Response(status=CLIENT_GONE)
            await _changed(segment)
        headers = {"Content-Type": channel.mime, SEQ: str(reading.seq)}
        if not segment.size:
            goes_on = any(later.seq > segment.seq and later.size for later in channel.segments)  # of one that lingers
            end = {} if goes_on else closed_header(channel)
            return web.Response(headers=headers | {LATEST: str(channel.next_write)} | end)
        if reading.seq != reading.latest:
            headers[LATEST] = str(reading.latest)
        response = web.StreamResponse(headers=headers)
        try:
            await response.prepare(request)
            await _stream(request, response, segment, stats, stall_seconds)
        except TimeoutError:
            log.info("cut a reader of %s/%d that took nothing for %g s", channel.name, segment.seq, stall_seconds)
            stats.stalled += 1
            if request.transport is not None:
                request.transport.abort()
        except ConnectionError:
            log.debug("a reader of %s/%d has left", channel.name, segment.seq)
        return response
    finally:
        stats.readers -= 1


async def _stream(
    request: web.Request, response: web.StreamResponse, segment: Segment, stats: ServerStats, stall_seconds: float
) -> None:
    sent = 0
    while True:
        while sent < len(segment.chunks):
            chunk = segment.chunks[sent]
            async with asyncio.timeout(stall_seconds):
                await response.write(chunk)
            sent += 1
            stats.bytes_out += len(chunk)
        if segment.closed:
            break
        if _gone(request):
            raise ConnectionResetError
        await _changed(segment)
    async with asyncio.timeout(stall_seconds):
        await response.write_eof()


async def receive_segment(
    request: web.Request,
    channel: Channel,
    writing: Writing,
    stats: ServerStats,
    *,
    stall_seconds: float,
    keepalive_seconds: float,
) -> web.StreamResponse:
    """Answer a POST of a segment once its body, or the segment, has ended.

    Until the first byte a provisional `100 Continue` goes out every `keepalive_seconds`, without limit: that is an idle
    preconnect. After it, a publisher that sends nothing for `stall_seconds` gets 408. A publisher that drops leaves the
    segment open for its next connection. A segment that something else ends is answered at once, its data dropped.
    """
    loop = asyncio.get_running_loop()
    headers = {SEQ: str(writing.seq)}
    stats.writers += 1
    try:
        while not writing.over:
            limit = stall_seconds if writing.started else keepalive_seconds
            data = await _next_bytes(request.content, writing.segment, limit)
            if data == b"":
                stats.segments_in += 1
                writing.finish()
                if not writing.started:
                    headers["Connection"] = "close"
                return web.Response(headers=headers | closed_header(channel))
            if data:
                stats.bytes_in += len(data)
                writing.feed(data, loop.time())
            elif _gone(request):
                return web.Response(status=CLIENT_GONE)
            elif writing.over:
                break
            elif writing.started:
                stats.stalled += 1
                raise Refused(408, f"No data for {stall_seconds:g} s")
            elif request.version >= HttpVersion11 and request.transport is not None:
                request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        writing.finish()
        return await answer_early(request, web.Response(headers=headers | closed_header(channel)))
    except Refused as refusal:
        return await answer_early(request, web.Response(status=refusal.status, text=refusal.reason, headers=headers))
    except asyncio.CancelledError:
        raise
    except Exception as error:  # aiohttp raises what the parser or the transport gave, of no common type
        if writing.started:
            size = writing.segment.size
            log.info("the publisher of %s/%d broke off; its %d bytes wait for it", channel.name, writing.seq, size)
        else:
            log.debug("the publisher of %s/%d left: %r", channel.name, writing.seq, error)
        return web.Response(status=CLIENT_GONE if _gone(request) else 500, headers={"Connection": "close"})
    finally:
        stats.writers -= 1


async def answer_early(request: web.Request, response: web.Response) -> web.Response:
    """Answer before the request's body has ended: `Connection: close`, then half a second of reading on, then close."""
    response.force_close()
    response.headers["Connection"] = "close"
    try:
        await response.prepare(request)
        await response.write_eof()
    except ConnectionError:
        return response
    if request.content.is_eof():
        return response
    with contextlib.suppress(Exception):
        transport = request.transport
        if transport is not None and transport.can_write_eof():
            transport.write_eof()
        async with asyncio.timeout(FAREWELL_SECONDS):
            while await request.content.readany():
                pass
    if not request.content.is_eof():
        request.protocol.force_close()
    return response


def closed_header(channel: Channel) -> dict[str, str]:
    """`Lp-Trickle-Closed` if the channel has ended, else nothing."""
    return {CLOSED: "terminated"} if channel.closed else {}


def _gone(request: web.Request) -> bool:
    return request.transport is None or request.transport.is_closing()


async def _changed(segment: Segment) -> None:
    """Wait for the segment to grow or to end, at most until it is time to look whether the reader is still there."""
    woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not woken.done():
            woken.set_result(None)

    with segment.watch(wake):
        await asyncio.wait([woken], timeout=DISCONNECT_POLL_SECONDS)


async def _next_bytes(content: StreamReader, segment: Segment, seconds: float) -> bytes | None:
    """Bytes of the body, `b""` at its end, None if the segment was closed by somebody else or after `seconds`."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(seconds) as deadline:

            def wake() -> None:
                if segment.closed and not deadline.expired():
                    deadline.reschedule(loop.time())

            with segment.watch(wake):
                return await content.readany()
    except TimeoutError:
        return None
