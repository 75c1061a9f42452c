"""The slot that a processor lives in: loaded on a thread of its own, replaced between two frames.

Every processor has its own thread (`Host`), which alone runs its code: CUDA graphs and torch.compile want loading and
running on one thread, and a new processor can load there while the old one still serves.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from byoc_nb import params as params_
from byoc_nb.dialects import Processor
from byoc_nb.runtime.threads import LoopThread

logger = logging.getLogger(__name__)
T = TypeVar("T")

HOOK_SECONDS = 5.0  # how long a stop hook may take before the runtime goes on without it
_STOPS = (Exception, SystemExit, KeyboardInterrupt)  # a cell's sys.exit() must not end the thread that ran it


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

    def swapped(self, old: Host) -> threading.Event:
        """Another processor is current; the event is set when `old` has finished its last frame."""


class Host:
    """A processor and its thread."""

    def __init__(self, target: Any) -> None:
        self.thread = LoopThread("byoc-processor")
        self._target = target
        self._processor: Processor | None = None

    @property
    def processor(self) -> Processor:
        if self._processor is None:
            raise RuntimeError("the processor isn't built yet")
        return self._processor

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the processor's thread."""
        return self.thread.submit(coroutine)

    async def build(self) -> None:
        """Make and load the processor; runs on its own thread."""
        try:
            self._processor = Processor(self._target)
            await self._processor.load()
        except (SystemExit, KeyboardInterrupt) as error:
            raise RuntimeError(f"the processor raised {type(error).__name__} while loading") from error
        finally:
            self._target = None  # a replaced class must be collectable

    def close(self) -> None:
        """End the thread; a processor that blocks it is left behind and logged."""
        if not self.thread.stop(HOOK_SECONDS):
            logger.warning("a processor still blocks its thread %.0f s after it was replaced", HOOK_SECONDS)


class ProcessorSlot:
    """Holds the current processor. Methods are called from any thread but the processors' own."""

    def __init__(self) -> None:
        self.current: Host | None = None
        self.reloads = 0
        self._lock = threading.RLock()  # one replacement at a time
        self._stream: Stream | None = None

    async def load(self, target: Any) -> None:
        """Build and load the first processor; raises what the user's code raises."""
        host = Host(target)
        try:
            await asyncio.wrap_future(host.submit(host.build()))
        except BaseException:
            host.thread.stop()
            raise
        self.current = host

    def replace(self, target: Any, timeout: float | None = None) -> Reload:
        """Build, load and start another processor on its own thread, then make it the current one.

        Blocks the caller, never the stream. Anything that raises on the way leaves the old processor serving.
        `timeout` in seconds bounds the loading.
        """
        began = time.perf_counter()
        with self._lock:
            old, stream = self.current, self._stream
            dropped_before = stream.frames_dropped() if stream else 0
            host = Host(target)
            try:
                host.submit(host.build()).result(timeout)
                params_dropped = host.submit(self._adopt(host, old)).result(timeout)
            except BaseException:
                threading.Thread(target=host.close, name="byoc-close", daemon=True).start()
                raise
            self.current = host
            self.reloads += 1
            stream, lost = self._stream, 0
            if stream is not None and old is not None:
                stream.swapped(old).wait(HOOK_SECONDS)
                lost = stream.frames_dropped() - dropped_before
            elif old is not None:
                old.close()
        return Reload(host.processor.name, time.perf_counter() - began, lost, params_dropped)

    async def _adopt(self, host: Host, old: Host | None) -> dict[str, str]:
        """The new processor takes over parameters and stream; runs on its thread."""
        processor = host.processor
        dropped: dict[str, str] = {}
        if old is not None and old.processor.values:
            held = params_.as_dict(old.processor.values)
            values, dropped = params_.carry_over(processor.model, held)
            kept = {name: value for name, value in params_.as_dict(values).items() if name in held}
            if values != processor.values:
                await processor.set_params(values, kept)
        if self._stream is not None:
            await processor.stream_start(dict(self._stream.params))
        return dropped

    # ---- parameters

    def validate(self, changes: Mapping[str, Any], *, ignore_unknown: bool = False) -> params_.Values:
        """The values that `changes` would give; raises ParamsError. Nothing is changed."""
        current = self.current
        return params_.merge(current.processor.values, changes, ignore_unknown=ignore_unknown) if current else {}

    def apply(self, changes: Mapping[str, Any], *, ignore_unknown: bool = False) -> Future[None]:
        """Validate now (raises ParamsError), apply on the processor's thread; the future tells when that is done."""
        values = self.validate(changes, ignore_unknown=ignore_unknown)
        if self.current is None:
            done: Future[None] = Future()
            done.set_result(None)
            return done
        return self.current.submit(self.current.processor.set_params(values, dict(changes)))

    # ---- streams

    async def open_stream(self, stream: Stream) -> Host:
        """A stream begins on the current processor, which is returned; raises what `on_stream_start` raises."""
        host = self.current
        if host is None:
            raise RuntimeError("no processor is loaded")
        self._stream = stream
        try:
            await asyncio.wrap_future(host.submit(host.processor.stream_start(dict(stream.params))))
        except BaseException:
            self._stream = None
            raise
        return host

    def close_stream(self) -> None:
        """The stream is over; swaps no longer concern it."""
        self._stream = None

    async def stop_stream(self, host: Host) -> None:
        """Run the stop hooks of `host`, within a few seconds; what they raise is logged."""
        try:
            await asyncio.wait_for(asyncio.wrap_future(host.submit(host.processor.stream_stop())), HOOK_SECONDS)
        except TimeoutError:
            logger.warning("the stop hooks of %s took over %.0f s", host.processor.name, HOOK_SECONDS)
        except _STOPS as error:
            logger.warning("a stop hook of %s raised", host.processor.name, exc_info=error)

    def close(self) -> None:
        """Free the processor and its thread."""
        with self._lock:
            host, self.current = self.current, None
        if host is not None:
            host.close()
