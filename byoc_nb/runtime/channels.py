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

from byoc_nb.runtime.threads import Closed, CrossQueue
from byoc_nb.trickle import TrickleError, TricklePublisher, TrickleSubscriber

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 8.0  # the gateway's limit is 30 s; a lost one or two must not matter
ANSWER_SECONDS = 10.0  # a connection that died unseen must not swallow the heartbeats
WAITING_EVENTS = 64
LINE_SECONDS = 0.1  # the gateway's buffer holds five lines
FILLER_SECONDS = 25.0  # an idle data channel is swept after 5 min, and that ends the stream
WAITING_LINES = 1000
MAX_LINE_BYTES = 60_000  # under the gateway's 64 KiB, with room for the brackets of an array
MAX_CONTROL_BYTES = 10 << 20  # the gateway's own bound for an update


class Events:
    """Publishes events, and a heartbeat with the status every few seconds."""

    def __init__(self, url: str, status: Callable[[], dict[str, Any]], *, verify_tls: bool = False) -> None:
        self._url, self._status, self._verify_tls = url, status, verify_tls
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._closed = asyncio.Event()

    def emit(self, kind: str, *, queue: str = "ai_stream_events", **data: Any) -> None:
        """Send an event; while the channel is away, the oldest give way to the newest."""
        if self._url:
            if self._queue.qsize() >= WAITING_EVENTS:
                self._queue.get_nowait()
            event = {"type": kind, "timestamp": round(time.time() * 1000), **data}
            text = json.dumps({"event": event, "queue_event_type": queue}, default=str)
            self._queue.put_nowait(text.encode())

    async def run(self) -> None:
        """Publish until `close`; a channel that refuses is logged and tried again with the next heartbeat."""
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
                logger.info("the events channel did not take the last events")

    async def _publish(self) -> bool:
        """False when all was sent and `close` was called, True when the channel failed."""
        try:
            async with TricklePublisher(self._url, mime="application/json", verify_tls=self._verify_tls) as publisher:
                while (data := await self._queue.get()) is not None:
                    async with asyncio.timeout(ANSWER_SECONDS), await publisher.next() as segment:
                        await segment.write(data)
        except (TrickleError, TimeoutError) as error:
            why = error.one_line() if isinstance(error, TrickleError) else f"no answer for {ANSWER_SECONDS:.0f} s"
            logger.warning("events can't be published to %s: %s", self._url, why)
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
        self._lines: CrossQueue[str] = CrossQueue(WAITING_LINES, make_room=_drop_oldest)

    def put(self, value: Any) -> bool:
        """Send a JSON-able value, from any thread; False without a data channel.

        Of more than 1,000 that wait, the oldest are dropped. Raises TypeError or ValueError for what isn't JSON or has
        more than 60,000 bytes.
        """
        line = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        if len(line.encode()) > MAX_LINE_BYTES:
            raise ValueError(f"data of {len(line.encode())} bytes can't be sent; at most {MAX_LINE_BYTES} at a time")
        if not self._url:
            return False
        with contextlib.suppress(Closed):
            self._lines.put(line)
            return True
        return False

    async def run(self) -> None:
        """Publish until `close`; a channel that refuses is logged and tried again."""
        if not self._url:
            return
        while await self._publish():  # noqa: ASYNC110  # what it waits for is the server's return
            await asyncio.sleep(HEARTBEAT_SECONDS)

    def close(self) -> None:
        """End `run` after what waits."""
        self._lines.close()

    async def _publish(self) -> bool:
        """False when all was sent and `close` was called, True when the channel failed."""
        held: str | None = None
        try:
            async with TricklePublisher(self._url, mime="application/jsonl", verify_tls=self._verify_tls) as publisher:
                while True:
                    try:
                        async with asyncio.timeout(FILLER_SECONDS):
                            lines = [held if held is not None else await self._lines.aget() or ""]
                            held = None
                    except TimeoutError:
                        lines = []
                    size = sum(len(line.encode()) + 1 for line in lines)
                    while lines and len(self._lines):
                        line = await self._lines.aget() or ""
                        size += len(line.encode()) + 1
                        if size > MAX_LINE_BYTES:
                            held = line
                            break
                        lines.append(line)
                    text = lines[0] if len(lines) == 1 else f"[{','.join(lines)}]"
                    async with asyncio.timeout(ANSWER_SECONDS), await publisher.next() as segment:
                        await segment.write(f"{text}\n".encode())
                    await asyncio.sleep(LINE_SECONDS)
        except Closed:
            return False
        except (TrickleError, TimeoutError) as error:
            why = error.one_line() if isinstance(error, TrickleError) else f"no answer for {ANSWER_SECONDS:.0f} s"
            logger.warning("data can't be published to %s: %s", self._url, why)
            return True


def _drop_oldest(waiting: deque[str]) -> None:
    waiting.popleft()


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
            message = json.loads(data)
        except (ValueError, RecursionError):
            logger.warning("a control message isn't JSON: %.80r", data)
            return
        if not isinstance(message, dict):
            logger.warning("a control message isn't an object: %.80r", data)
        elif message != {"keep": "alive"}:
            await self._on_message(message)
