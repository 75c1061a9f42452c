"""A processor and the thread that alone runs its code: CUDA graphs and torch.compile want that."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import sys
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from byoc_nb import params as params_
from byoc_nb.dialects import Processor
from byoc_nb.errors import ByocError
from byoc_nb.frames import VideoFrame
from byoc_nb.runtime.reload import Trial
from byoc_nb.runtime.stats import describe
from byoc_nb.runtime.stream import Stream
from byoc_nb.runtime.threads import LoopThread
from byoc_nb.takeover import take_over

logger = logging.getLogger(__name__)
T = TypeVar("T")

HOOK_SECONDS = 5.0  # how long a stop hook may take before the runtime goes on without it


class ProcessorExited(ByocError, RuntimeError):
    """The processor's code asked the program to exit, or its thread has ended."""


class Host:
    """Builds, loads and runs one processor. `held`: parameters to begin with, as far as they fit."""

    def __init__(self, target: Any, held: Mapping[str, Any] | None = None) -> None:
        self.thread = LoopThread("byoc-processor")
        self.trial: Trial | None = None  # while the processor's first frames are watched
        self.working = asyncio.Lock()  # a frame is in work, or the code is being exchanged
        self._target, self._held = target, dict(held or {})
        self._processor: Processor | None = None
        self._updating = asyncio.Lock()  # one change of parameters at a time
        self._stopping = asyncio.Lock()
        self._streaming = False

    @property
    def processor(self) -> Processor:
        if self._processor is None:
            raise RuntimeError("the processor isn't built yet")
        return self._processor

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the processor's thread; ProcessorExited for a cell's sys.exit(), or without a thread."""
        guarded = _guarded(coroutine)
        try:
            return self.thread.submit(guarded)
        except RuntimeError:
            guarded.close()
            coroutine.close()
            raise ProcessorExited("the processor's thread has ended") from None

    # ---- on the processor's thread

    async def build(self) -> None:
        """Make and load the processor."""
        try:
            self._processor = processor = Processor(self._target)
            if self._held:  # `load_model` may go by them
                processor.put(params_.carry_over(processor.model, self._held)[0])
            await processor.load()
        finally:
            self._target = None  # a replaced class must be collectable

    async def adopt(self, held: dict[str, Any], stream: Stream | None) -> dict[str, str]:
        """Take over parameters and stream, and process a picture; tells what became of parameters that changed.

        Again with other parameters where they have changed meanwhile.
        """
        processor = self.processor
        values, changed = params_.carry_over(processor.model, held)
        kept = {name: value for name, value in params_.as_dict(values).items() if name in held}
        if kept:
            await processor.set_params(values, kept)
        if stream is not None and not self._streaming:
            await self.start_stream(stream)
            if (frame := stream.newest_input()) is not None:
                await self._warm_up(frame, stream)
        return changed

    async def _warm_up(self, frame: VideoFrame, stream: Stream) -> None:
        """What a first frame costs (compiling, allocating) is paid before the stream waits for it."""
        self.processor.send_data_to(lambda value: False)
        made = await self.processor.video(frame)
        if made is not None:
            made.to_av()
        self.processor.send_data_to(stream.publish_data)

    async def exchange(
        self, target: Any, begun: threading.Event, *, restart: Stream | None
    ) -> tuple[dict[str, str], Callable[[], None]]:
        """Give the processor other code between two frames: what became of its parameters, and how to undo it.

        `begun` is set when the frame in work is done. `restart`: the stream whose hooks are to run again, the old
        code's stop and the new one's start. The undoing is for the processor's thread, between two frames.
        """
        async with self.working, self._updating:
            begun.set()
            before, running = self.processor, restart if self._streaming else None
            await self._stop_for(running)
            try:
                self._processor, changed, take_back = take_over(before, target)
                values = params_.as_dict(self._processor.values)
                if limited := {name: values[name] for name in changed if name in values}:
                    await self._processor.set_params(self._processor.values, limited)
                await self._start_for(running)
            except BaseException:
                if self._processor is not before:
                    take_back()
                    self._processor = before
                await self._start_for(running)
                raise

            async def undo_with_hooks(stream: Stream) -> None:
                async with self.working:
                    await self._stop_for(stream)
                    undo_code()
                    await self._start_for(stream)

            def undo_code() -> None:
                since = set_since(held, self.processor)
                take_back()
                self._processor = before
                if since:
                    self.submit(self.set_params(since, ignore_unknown=True))

            def undo() -> None:
                if running is None:
                    undo_code()
                else:
                    self.submit(undo_with_hooks(running))

            held = params_.chosen(self._processor.values)
            return changed, undo

    async def _stop_for(self, stream: Stream | None) -> None:
        """The stop hooks of code that goes; a defect in them must not keep it in force."""
        if stream is not None:
            try:
                await self.stop_stream()
            except (Exception, SystemExit, KeyboardInterrupt) as error:
                logger.warning("a stop hook of %s raised: %s", self.processor.name, describe(error))

    async def _start_for(self, stream: Stream | None) -> None:
        if stream is not None:
            await self.start_stream(stream)

    async def set_params(self, changes: Mapping[str, Any], *, ignore_unknown: bool = False) -> None:
        """Apply changes to the values as they are now, which is after all changes that came before."""
        async with self._updating:
            values = params_.merge(self.processor.values, changes, ignore_unknown=ignore_unknown)
            await self.processor.set_params(values, dict(changes))

    async def start_stream(self, stream: Stream) -> None:
        """A stream begins."""
        async with self._stopping:  # a stop that comes meanwhile waits for the start, and then has something to stop
            self.processor.send_data_to(stream.publish_data)
            await self.processor.stream_start(dict(stream.params))
            self._streaming = True

    async def stop_stream(self) -> None:
        """The stream that was begun is over; without one, nothing. A second call waits for the first."""
        async with self._stopping:
            streaming, self._streaming = self._streaming, False
            if streaming:
                await self.processor.stream_stop()

    # ---- from elsewhere

    async def end_stream(self) -> None:
        """Run the stop hooks if there is a stream, within a few seconds; what they raise is logged."""
        name = self.processor.name
        try:
            future = asyncio.wrap_future(self.submit(self.stop_stream()))
        except ProcessorExited:
            return  # it was replaced and has ended, its hooks were run then
        await asyncio.wait({future}, timeout=HOOK_SECONDS)
        if not future.done():
            future.cancel()
            logger.warning("the stop hooks of %s took over %.0f s", name, HOOK_SECONDS)
        elif not future.cancelled() and (error := future.exception()) is not None:
            logger.warning("a stop hook of %s raised", name, exc_info=error)

    def close(self) -> None:
        """End the thread. Python code that blocks it is interrupted; what can't be is left behind and logged."""
        if self.thread.stop(HOOK_SECONDS):
            return
        self.thread.interrupt()
        if not self.thread.stop(1.0):
            logger.warning("a processor still blocks its thread %.0f s after it was to end", HOOK_SECONDS)

    def close_soon(self) -> None:
        """`close` without waiting."""
        threading.Thread(target=self.close, name="byoc-close", daemon=True).start()

    def give_up(self) -> None:
        """End a processor that never came to serve, after its stop hooks if it had a stream; doesn't wait."""

        def work() -> None:
            with contextlib.suppress(Exception):
                self.submit(self.stop_stream()).result(HOOK_SECONDS)
            self.close()

        threading.Thread(target=work, name="byoc-close", daemon=True).start()


def set_since(held: Mapping[str, Any], processor: Processor) -> dict[str, Any]:
    """The parameters that were set on a processor since it had those of `held`."""
    missing = object()
    return {name: value for name, value in params_.chosen(processor.values).items() if held.get(name, missing) != value}


def release_memory() -> None:
    """Give back what a released processor held, on the GPU too."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


async def _guarded(coroutine: Coroutine[Any, Any, T]) -> T:
    """A cell's sys.exit() must end neither the thread that runs it nor the one that waits for it."""
    try:
        return await coroutine
    except (SystemExit, KeyboardInterrupt) as error:
        raise ProcessorExited(f"the processor's code ended itself: {describe(error)}") from error
