"""The side channels of a stream: events and data out, control in.

Events and data never end the media by failing; the end of the control channel is the end of the stream, as in
go-livepeer. Events are JSON objects, one a segment, in the wrapper that go-livepeer's gateway reads; it ends a stream
that sent none for 30 s. Control messages are JSON objects, one a segment; `{"keep": "alive"}` is only a sign of life.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from byoc_nb.runtime.requests import BadRequest, parse_object
from byoc_nb.runtime.threads import Closed, CrossQueue
from byoc_nb.trickle import TrickleError, TricklePublisher, TrickleSubscriber

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 8.0  # the gateway's limit is 30 s; a lost one or two must not matter
ANSWER_SECONDS = 10.0  # a connection that died unseen must not swallow the heartbeats
WAITING_EVENTS = 64
LINE_SECONDS = 0.1  # the gateway's buffer holds five lines
FILLER_SECONDS = 25.0  # an idle data channel is swept after 5 min, and that ends the stream
FILLER = b"[]\n"  # pytrickle's
WAITING_LINES, WAITING_BYTES = 1000, 4_000_000
MAX_LINE_BYTES = 60_000  # under the gateway's 64 KiB, with room for the brackets of an array
TOO_LARGE = 413  # no HTTP status to try again after
MAX_CONTROL_BYTES = 10 << 20  # the gateway's own bound for an update


class Events:
    """Publishes events, and a heartbeat with the status every few seconds."""

    def __init__(self, url: str, status: Callable[[], dict[str, Any]], *, verify_tls: bool = False) -> None:
        self._url, self._status, self._verify_tls = url, status, verify_tls
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._closed = asyncio.Event()
        self._failing = False

    def emit(self, kind: str, *, queue: str = "ai_stream_events", **data: Any) -> None:
        """Send an event; while the channel is away, the oldest give way to the newest."""
        if self._url:
            if self._queue.qsize() >= WAITING_EVENTS:
                self._queue.get_nowait()
            event = {"type": kind, "timestamp": round(time.time() * 1000), **data}
            text = json.dumps({"event": event, "queue_event_type": queue}, default=str)
            self._queue.put_nowait(text.encode())

    async def run(self) -> None:
        """Publish until `close`; a channel that refuses is logged once, and tried again with the next heartbeat."""
        if not self._url:
            return
        beat = asyncio.create_task(self._beat())
        try:
            while await self._publish():  # noqa: ASYNC110  # it does the work, it isn't polled
                await asyncio.sleep(HEARTBEAT_SECONDS)
        finally:
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)
            self._closed.set()

    async def close(self) -> None:
        """Send what waits, within a second."""
        if self._url:
            self._queue.put_nowait(None)
            try:
                await asyncio.wait_for(self._closed.wait(), 1.0)
            except TimeoutError:
                level = logging.DEBUG if self._failing else logging.INFO
                logger.log(level, "the events channel did not take the last events")

    async def _publish(self) -> bool:
        """False when all was sent and `close` was called, True when the channel failed."""
        try:
            async with TricklePublisher(self._url, mime="application/json", verify_tls=self._verify_tls) as publisher:
                while (data := await self._queue.get()) is not None:
                    async with asyncio.timeout(ANSWER_SECONDS), await publisher.next() as segment:
                        await segment.write(data)
                    self._failing = False
        except (TrickleError, TimeoutError) as error:
            why = error.one_line() if isinstance(error, TrickleError) else f"no answer for {ANSWER_SECONDS:.0f} s"
            level = logging.DEBUG if self._failing else logging.WARNING
            logger.log(level, "events can't be published to %s: %s", self._url, why)
            self._failing = True
            return True
        return False

    async def _beat(self) -> None:
        while True:
            status = self._status()
            fps = {
                "ingress_video_fps": status["input_status"]["fps"],
                "egress_video_fps": status["inference_status"]["fps"],
            }
            self.emit("heartbeat", queue="stream_heartbeat", fps=fps)
            self.emit("status", **status)
            await asyncio.sleep(HEARTBEAT_SECONDS)


class Data:
    """Writes the data channel: JSON lines, one a segment, at most ten a second.

    What comes faster goes together as one JSON array. go-livepeer's gateway makes one server-sent event of each line,
    can't take lines of 64 KiB, drops readers in a burst, and ends a stream whose data channel is silent for minutes.
    """

    def __init__(self, url: str, *, verify_tls: bool = False) -> None:
        self._url, self._verify_tls = url, verify_tls
        self._lines: CrossQueue[bytes] = CrossQueue(WAITING_BYTES, weigh=_weight, make_room=self._make_room)
        self._held: bytes | None = None  # read from the queue, but too long for the segment before
        self._text = b""  # of the segment that is on its way
        self._dropped, self._failing = 0, False

    def put(self, value: Any) -> bool:
        """Send a JSON-able value, from any thread; False without a data channel, or once it is closed.

        Of more than 1,000 that wait, or 4 MB, the oldest are dropped. Raises TypeError or ValueError for what isn't
        JSON or has more than 60,000 bytes.
        """
        line = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()
        if len(line) > MAX_LINE_BYTES:
            raise ValueError(f"data of {len(line)} bytes can't be sent; at most {MAX_LINE_BYTES} at a time")
        if not self._url:
            return False
        with contextlib.suppress(Closed):
            self._lines.put(line)
            return True
        return False

    async def run(self) -> None:
        """Publish until `close`; a channel that refuses is logged once, and tried again."""
        if not self._url:
            return
        try:
            while await self._publish():  # noqa: ASYNC110  # what it waits for is the server's return
                await asyncio.sleep(HEARTBEAT_SECONDS)
        finally:
            if lost := len(self._lines) + (self._held is not None) + (self._text not in (b"", FILLER)):
                logger.warning("the data channel did not take the last %d messages", lost)

    def close(self) -> None:
        """End `run` after what waits."""
        self._lines.close()

    async def _publish(self) -> bool:
        """False when all was sent and `close` was called, True when the channel failed."""
        try:
            async with TricklePublisher(self._url, mime="application/jsonl", verify_tls=self._verify_tls) as publisher:
                while True:
                    self._text = self._text or await self._next()
                    async with asyncio.timeout(ANSWER_SECONDS), await publisher.next() as segment:
                        await segment.write(self._text)
                    self._text, self._failing = b"", False
                    await asyncio.sleep(LINE_SECONDS)
        except Closed:
            return False
        except (TrickleError, TimeoutError) as error:
            if getattr(error, "status", 0) == TOO_LARGE:
                self._text = b""  # or it would stand in the way of all that come after it
            why = error.one_line() if isinstance(error, TrickleError) else f"no answer for {ANSWER_SECONDS:.0f} s"
            logger.log(
                logging.DEBUG if self._failing else logging.WARNING, "data can't be published to %s: %s", self._url, why
            )
            self._failing = True
            return True

    async def _next(self) -> bytes:
        """What waits, as one line; after a long silence an empty array. Raises Closed at the end."""
        lines: list[bytes] = []
        try:
            async with asyncio.timeout(FILLER_SECONDS):
                lines.append(self._held or await self._lines.aget() or b"")
        except TimeoutError:
            return FILLER
        self._held = None
        size = len(lines[0])
        while len(self._lines):
            line = self._lines.get()
            size += len(line) + 1
            if size > MAX_LINE_BYTES:
                self._held = line
                break
            lines.append(line)
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            logger.warning("%d messages came too fast for the data channel and were dropped", dropped)
        return (lines[0] if len(lines) == 1 else b"[%s]" % b",".join(lines)) + b"\n"

    def _make_room(self, waiting: deque[bytes]) -> None:
        weight = sum(map(_weight, waiting))
        while weight >= WAITING_BYTES:
            weight -= _weight(waiting.popleft())
            self._dropped += 1


def _weight(line: bytes) -> int:
    return max(len(line), WAITING_BYTES // WAITING_LINES)


class Control:
    """Reads the control channel; `run` returns when the channel has ended."""

    def __init__(
        self, url: str, on_message: Callable[[dict[str, Any]], Coroutine[Any, Any, None]], *, verify_tls: bool = False
    ) -> None:
        self._url, self._on_message, self._verify_tls = url, on_message, verify_tls

    async def run(self) -> None:
        try:
            async with TrickleSubscriber(self._url, start=-2, verify_tls=self._verify_tls) as subscriber:
                async for segment in subscriber:
                    data, size = bytearray(), 0
                    async for chunk in segment:
                        size += len(chunk)
                        if size <= MAX_CONTROL_BYTES:
                            data += chunk
                    if size <= MAX_CONTROL_BYTES:
                        await self._handle(bytes(data))
                    else:
                        logger.warning("a control message of %d bytes is too long", size)
        except TrickleError as error:
            logger.warning("the control channel failed: %s", error.one_line())

    async def _handle(self, data: bytes) -> None:
        if not data.strip():
            return
        try:
            message = parse_object(data)
        except BadRequest as error:
            logger.warning("a control message isn't usable: %.80r: %s", data, error.one_line())
            return
        if message != {"keep": "alive"}:
            await self._on_message(message)
