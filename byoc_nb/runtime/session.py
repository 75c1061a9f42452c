"""One stream of the container: its trickle channels on the io loop, its frames through a `Pipeline`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

from byoc_nb.frames import VideoFrame
from byoc_nb.media.decode import Decoder
from byoc_nb.runtime.backlog import Policy
from byoc_nb.runtime.channels import Control, Data, Events
from byoc_nb.runtime.egress import LAST_BYTES_SECONDS, TimedChunk, publish_segments
from byoc_nb.runtime.host import Host
from byoc_nb.runtime.pipeline import CUT, Pipeline
from byoc_nb.runtime.requests import StreamStart
from byoc_nb.runtime.slot import ProcessorSlot
from byoc_nb.runtime.stats import StreamStats
from byoc_nb.runtime.threads import Closed
from byoc_nb.trickle import TrickleError, TrickleSubscriber

logger = logging.getLogger(__name__)

OnControl = Callable[[dict[str, Any]], Coroutine[Any, Any, None]]

PROCESSOR_STOP_SECONDS = 3.0  # go-livepeer's gateway gives a whole stop 10 s
CLOSE_SECONDS, CLOSE_ROUNDS = 1.0, 3  # for the channels' connections to end


class StreamSession:
    """A running stream. `start`, `stop` and `wait_ended` belong to the io loop; the rest is asked from any thread."""

    def __init__(
        self, request: StreamStart, slot: ProcessorSlot, *, policy: Policy = "live", verify_tls: bool = False
    ) -> None:
        self.request = request
        self.params = dict(request.params)
        self.stats = StreamStats(on_error=self._tell_of_error)
        self.reason, self._failed = "", False  # why it ended, and whether it should not have
        self._slot, self._verify_tls = slot, verify_tls
        self._decoder = Decoder(
            size=request.size,
            max_framerate=request.max_framerate,
            on_drop=self.stats.drop,
            on_error=lambda error: self.stats.error("input", error),
        )
        self.pipeline = Pipeline(self._decoder, slot, self.stats, policy=policy)
        self.events = Events(request.events_url, self.status_event, verify_tls=verify_tls)
        self._data = Data(request.data_url, verify_tls=verify_tls)
        self._tasks: set[asyncio.Task[None]] = set()
        self._retiring: set[asyncio.Task[None]] = set()
        self._egress_task: asyncio.Task[None] | None = None
        self._data_task: asyncio.Task[None] | None = None
        self._stop_task: asyncio.Task[None] | None = None
        self._over = asyncio.Event()

    # ---- life

    async def start(self, on_control: OnControl) -> None:
        """Call the processor's `on_stream_start` and set everything going; raises what that hook raises."""
        self._loop = asyncio.get_running_loop()
        self._spawn(self.events.run())  # before the hook: the gateway's 30 s without an event may have begun
        try:
            host = await self._slot.open_stream(self)
        except BaseException:
            await self._close_channels()
            raise
        self.pipeline.start(host)
        self._data_task = self._spawn(self._data.run())
        self._egress_task = self._spawn(self._egress())
        self._egress_task.add_done_callback(lambda task: self._end("the output ended"))
        if self.request.subscribe_url:
            self._spawn(self._ingress())
        if self.request.control_url:
            control = Control(self.request.control_url, on_control, verify_tls=self._verify_tls)
            self._spawn(control.run()).add_done_callback(lambda task: self._end("the control channel ended"))

    @property
    def ended(self) -> bool:
        return self._over.is_set()

    async def wait_ended(self) -> None:
        """Wait until the stream is over and everything of it is released."""
        await self._over.wait()

    async def stop(self, reason: str = "stopped") -> None:
        """End the stream and release everything, within about 10 s whatever the processor does."""
        self._end(reason)
        await self.wait_ended()

    def _end(self, reason: str) -> None:
        if self._stop_task is None:
            self.reason = self.reason or reason
            level = logging.WARNING if self._failed else logging.INFO
            logger.log(level, "stream %s ends: %s", self.request.gateway_request_id, self.reason)
            self._stop_task = self._loop.create_task(self._stop())

    async def _stop(self) -> None:
        finished = await asyncio.to_thread(self.pipeline.stop, PROCESSOR_STOP_SECONDS)
        current = self._slot.close_stream()
        served = self.pipeline.serving if finished else None
        for host in dict.fromkeys((served, current if current is not self.pipeline.serving else None)):
            if host is not None:
                await host.end_stream()
        if self._egress_task is not None:
            await asyncio.wait([self._egress_task], timeout=LAST_BYTES_SECONDS)
        if self._data_task is not None:
            self._data.close()
            await asyncio.wait([self._data_task], timeout=CLOSE_SECONDS)
        self.events.emit("stream_stopped", reason=self.reason)
        await self._close_channels()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        self._over.set()

    async def _close_channels(self) -> None:
        await self.events.close()
        for _ in range(CLOSE_ROUNDS):  # the first cancels the work, the next one farewells to a server that hangs
            for task in self._tasks:
                task.cancel()
            if not self._tasks or not (await asyncio.wait(self._tasks, timeout=CLOSE_SECONDS))[1]:
                break
        self._tasks.clear()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._report)
        return task

    def _report(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.stats.error("internal", error)  # a defect of ours: never silent

    # ---- hot reload: what the slot and the pipeline ask

    def frames_dropped(self) -> int:
        return self.pipeline.overflowed

    def newest_input(self) -> VideoFrame | None:
        return self.pipeline.newest[0].to("cpu") if self.pipeline.newest else None

    def exchanged(self) -> None:
        self.pipeline.exchanged()

    def hangs(self) -> bool:
        return self.pipeline.hanging

    def abandon(self, old: Host) -> None:
        self.pipeline.abandon(old)

    def publish_data(self, value: Any) -> bool:
        return self._data.put(value)

    def swapped(self, old: Host) -> threading.Event:
        return self.pipeline.swapped(old)

    def retire(self, old: Host) -> None:
        def begin() -> None:
            task = self._loop.create_task(self._stop_and_close(old))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

        try:
            self._loop.call_soon_threadsafe(begin)
        except RuntimeError:  # the loop has ended; what comes back only now was hanging
            old.close_soon()

    async def _stop_and_close(self, old: Host) -> None:
        await old.end_stream()
        await asyncio.to_thread(old.close)

    # ---- bytes in and out

    async def _ingress(self) -> None:
        try:
            async with TrickleSubscriber(self.request.subscribe_url, start=-2, verify_tls=self._verify_tls) as channel:
                try:
                    await self._take_in(channel)
                except Closed:  # stopped: its cancellation must not meet a close that is under way and cut it short
                    await asyncio.Event().wait()
            self.reason = self.reason or "the input ended"
        except TrickleError as error:
            self._fail("input", error)
        self.pipeline.bytes_in.close()  # what came in still goes through

    async def _take_in(self, channel: TrickleSubscriber) -> None:
        queue, first = self.pipeline.bytes_in, True
        async for segment in channel:
            if segment.gap:
                logger.warning("the input skipped %d segments", segment.gap)
                await queue.aput(CUT)
            async for data in segment:
                if first:
                    self.events.emit("receive_first_ingest_segment")
                    first = False
                await queue.aput((data, time.monotonic()))
            if segment.truncated:
                logger.warning("segment %d of the input broke off", segment.seq)
                await queue.aput(CUT)

    async def _egress(self) -> None:
        try:
            if self.request.publish_url:
                await publish_segments(
                    self.request.publish_url,
                    self.pipeline.bytes_out,
                    sent=self._sent,
                    failed=lambda error: self.stats.error("output", error),
                    done=lambda: self._stop_task is None,  # the input is through and nobody stopped us
                    verify_tls=self._verify_tls,
                )
            else:
                while (item := await self.pipeline.bytes_out.aget()) is not None:
                    self._sent(item)
        except Closed:
            pass
        except TrickleError as error:
            self._fail("output", error)

    def _fail(self, what: str, error: TrickleError) -> None:
        """A channel without which there is no stream is gone; the line about the stream's end tells it."""
        self.stats.error(what, error, log=bool(self.reason))
        self._failed = self._failed or not self.reason
        self.reason = self.reason or f"the {what} failed: {error.one_line()}"

    def _sent(self, item: TimedChunk) -> None:
        chunk, trip = item
        if chunk.pts is not None:
            if self.stats.frames_out == 0:
                self.events.emit("send_first_processed_segment")
            self.stats.frame_out(trip)

    def _tell_of_error(self, line: str) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(lambda: self.events.emit("error", message=line))

    # ---- status and parameters

    def update_stream_params(self, params: dict[str, Any]) -> None:
        """Take over what was changed; of the stream's own, `max_framerate` counts at once, the size does not."""
        self.params.update(params)
        if "max_framerate" in params:
            fps = params["max_framerate"]
            self._decoder.max_framerate = None if fps is None else float(fps)
        self.events.emit("params_updated", params=params)

    def status_event(self) -> dict[str, Any]:
        """The status as ai-runner writes it, which go-livepeer's gateway stores and serves; times in epoch ms."""
        figures, stats, host = self.stats.snapshot(), self.stats, self._slot.current
        state = "ONLINE" if figures["fps_out"] else "OFFLINE" if not figures["fps_in"] else "DEGRADED_INFERENCE"
        return {
            "pipeline": host.processor.name if host else "",
            "state": state,
            "start_time": round(stats.started * 1000),
            "input_status": {"fps": figures["fps_in"], "last_input_time": round(stats.last_input_time * 1000)},
            "inference_status": {
                "fps": figures["fps_out"],
                "last_output_time": round(stats.last_output_time * 1000),
                "last_params": self.params,
                "last_error": stats.last_error,
                "restart_count": 0,
            },
        }
