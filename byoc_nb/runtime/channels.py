"""The side channels of a stream: events out, control in.

Events never end the media by failing; the end of the control channel is the end of the stream, as in go-livepeer.
Events are JSON objects, one a segment, in the wrapper that go-livepeer's gateway reads; it ends a stream that sent
none for 30 s. Control messages are JSON objects, one a segment; `{"keep": "alive"}` is only a sign of life.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Any

from byoc_nb.trickle import TrickleError, TricklePublisher, TrickleSubscriber

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 8.0  # the gateway's limit is 30 s; a lost one or two must not matter
ANSWER_SECONDS = 10.0  # a connection that died unseen must not swallow the heartbeats
WAITING_EVENTS = 64
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
            while await self._publish():
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
