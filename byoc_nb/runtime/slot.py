"""The slot that a processor lives in: loaded on a thread of its own, replaced between two frames.

Every processor has its own thread (`Host`), which alone runs its code: CUDA graphs and torch.compile want loading and
running on one thread, and a new processor can load there while the old one still serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from byoc_nb import params as params_
from byoc_nb.dialects import Processor
from byoc_nb.errors import ByocError
from byoc_nb.runtime.stats import describe
from byoc_nb.runtime.threads import LoopThread

logger = logging.getLogger(__name__)
T = TypeVar("T")

HOOK_SECONDS = 5.0  # how long a stop hook may take before the runtime goes on without it


class ProcessorExited(ByocError, RuntimeError):
    """The processor's code asked the program to exit, or its thread has ended."""


@dataclass(repr=False)
class Reload:
    """What a swap did. `seconds`: from the call until the new processor got the frames, its loading included."""

    name: str
    seconds: float
    frames_lost: int
    params_dropped: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        kept = "params kept"
        if self.params_dropped:
            kept = "params dropped: " + ", ".join(f"{k} ({why})" for k, why in self.params_dropped.items())
        return f"reloaded in {self.seconds * 1000:.0f} ms · {kept} · {self.frames_lost} frames lost"

    __repr__ = __str__


class Stream(Protocol):
    """What the slot needs of a running stream."""

    params: dict[str, Any]  # it was started with

    def frames_dropped(self) -> int:
        """How many frames were lost to a full queue so far."""

    def abandon(self, old: Host) -> None:
        """`old` hangs in a frame: go on without it."""

    def publish_data(self, value: Any) -> bool:
        """Send a JSON-able value to the stream's data channel; False without one."""

    def swapped(self, old: Host) -> threading.Event:
        """Another processor is current; the event is set when `old` has finished its last frame."""


class Host:
    """A processor and its thread."""

    def __init__(self, target: Any) -> None:
        self.thread = LoopThread("byoc-processor")
        self._target = target
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
            self._processor = Processor(self._target)
            await self._processor.load()
        finally:
            self._target = None  # a replaced class must be collectable

    async def set_params(self, changes: Mapping[str, Any], *, ignore_unknown: bool = False) -> None:
        """Apply changes to the values as they are now, which is after all changes that came before."""
        async with self._updating:
            values = params_.merge(self.processor.values, changes, ignore_unknown=ignore_unknown)
            await self.processor.set_params(values, dict(changes))

    async def start_stream(self, stream: Stream) -> None:
        """A stream begins."""
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

    def close(self) -> None:
        """End the thread; a processor that blocks it is left behind and logged."""
        if not self.thread.stop(HOOK_SECONDS):
            logger.warning("a processor still blocks its thread %.0f s after it was to end", HOOK_SECONDS)

    def close_soon(self) -> None:
        """`close` without waiting."""
        threading.Thread(target=self.close, name="byoc-close", daemon=True).start()


class ProcessorSlot:
    """Holds the current processor. Methods are called from any thread but the processors' own."""

    def __init__(self) -> None:
        self.current: Host | None = None
        self.reloads = 0
        self._replacing = threading.RLock()  # one replacement at a time
        self._lock = threading.Lock()  # for what a replacement and a stream's beginning or end both touch; held briefly
        self._stream: Stream | None = None
        self._closed = False

    async def load(self, target: Any) -> None:
        """Build and load the first processor; raises what the user's code raises."""
        host = Host(target)
        try:
            await asyncio.wrap_future(host.submit(host.build()))
        except BaseException:
            host.close_soon()
            raise
        self._closed, self.current = False, host

    def replace(self, target: Any, timeout: float | None = None) -> Reload:
        """Build, load and start another processor on its own thread, then make it the current one.

        Blocks the caller, never the stream. Anything that raises on the way leaves the old processor serving.
        `timeout` in seconds bounds the loading.
        """
        began = time.perf_counter()
        with self._replacing:
            old, stream = self.current, self._stream
            dropped_before = stream.frames_dropped() if stream else 0
            host = Host(target)
            try:
                host.submit(host.build()).result(timeout)
                while True:
                    stream, held = self._stream, params_.chosen(old.processor.values) if old else {}
                    params_dropped = host.submit(self._adopt(host, held, stream)).result(timeout)
                    with self._lock:
                        if self._closed:
                            raise ProcessorExited("the server was stopped while the processor was loading")
                        if self._stream is stream:
                            self.current = host
                            break
                    host.submit(host.stop_stream()).result(HOOK_SECONDS)  # a stream came or went meanwhile
            except BaseException:
                host.close_soon()
                raise
            self.reloads += 1
            lost = 0
            if stream is not None and old is not None:
                if not stream.swapped(old).wait(HOOK_SECONDS):
                    logger.warning(
                        "%s has been in one frame for over %.0f s and was left behind; if it never ends, it keeps a "
                        "core busy until the kernel is restarted",
                        old.processor.name,
                        HOOK_SECONDS,
                    )
                    stream.abandon(old)
                lost = stream.frames_dropped() - dropped_before
            elif old is not None:
                with contextlib.suppress(ProcessorExited, TimeoutError):  # where a stream has just ended
                    old.submit(old.stop_stream()).result(HOOK_SECONDS)
                old.close()
        return Reload(host.processor.name, time.perf_counter() - began, lost, params_dropped)

    async def _adopt(self, host: Host, held: dict[str, Any], stream: Stream | None) -> dict[str, str]:
        """The new processor takes over parameters and stream; runs on its thread."""
        processor = host.processor
        values, dropped = params_.carry_over(processor.model, held)
        kept = {name: value for name, value in params_.as_dict(values).items() if name in held}
        if held and values != processor.values:
            await processor.set_params(values, kept)
        if stream is not None:
            await host.start_stream(stream)
        return dropped

    # ---- parameters

    def apply(self, changes: Mapping[str, Any], *, ignore_unknown: bool = False) -> Future[None]:
        """Validate now (raises ParamsError), apply on the processor's thread; the future tells when that is done."""
        host = self.current
        if host is None:
            done: Future[None] = Future()
            done.set_result(None)
            return done
        params_.merge(host.processor.values, changes, ignore_unknown=ignore_unknown)
        return host.submit(host.set_params(changes, ignore_unknown=ignore_unknown))

    # ---- streams

    async def open_stream(self, stream: Stream) -> Host:
        """A stream begins on the current processor, which is returned; raises what `on_stream_start` raises."""
        with self._lock:
            host = self.current
            if host is None:
                raise RuntimeError("no processor is loaded")
            self._stream = stream
        try:
            await asyncio.wrap_future(host.submit(host.start_stream(stream)))
        except BaseException:
            current = self.close_stream()
            if current is not None and current is not host:  # replaced meanwhile
                await self.stop_stream(current)
                host.close_soon()
            raise
        return host

    def close_stream(self) -> Host | None:
        """The stream is over, swaps no longer concern it; gives the current processor."""
        with self._lock:
            self._stream = None
            return self.current

    async def stop_stream(self, host: Host) -> None:
        """Run the stop hooks of `host` if it has a stream, within a few seconds; what they raise is logged."""
        name = host.processor.name
        try:
            future = asyncio.wrap_future(host.submit(host.stop_stream()))
        except ProcessorExited:
            return  # it was replaced and has ended, its hooks were run then
        await asyncio.wait({future}, timeout=HOOK_SECONDS)
        if not future.done():
            future.cancel()
            logger.warning("the stop hooks of %s took over %.0f s", name, HOOK_SECONDS)
        elif not future.cancelled() and (error := future.exception()) is not None:
            logger.warning("a stop hook of %s raised", name, exc_info=error)

    def close(self) -> None:
        """Free the processor and its thread; a replacement that is still loading is given up."""
        with self._lock:
            self._closed = True
            host, self.current = self.current, None
        if host is not None:
            host.close()


async def _guarded(coroutine: Coroutine[Any, Any, T]) -> T:
    """A cell's sys.exit() must end neither the thread that runs it nor the one that waits for it."""
    try:
        return await coroutine
    except (SystemExit, KeyboardInterrupt) as error:
        raise ProcessorExited(f"the processor's code ended itself: {describe(error)}") from error
