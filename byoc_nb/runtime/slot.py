"""The slot that a processor lives in: exchanged between two frames, undone if its first frames fail.

There are two ways to another processor. `keep` gives the running one other code and leaves its state alone. `replace`
builds a new one on a thread of its own, while the old one serves, and hands the frames over when it is ready. The old
processor, or what is needed to undo the exchange, is held until the new one has proven itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from types import MappingProxyType
from typing import Any

from byoc_nb import params as params_
from byoc_nb.runtime.freeing import replace_freed
from byoc_nb.runtime.host import HOOK_SECONDS, Host, ProcessorExited, set_since
from byoc_nb.runtime.load_time import LoadTimeChanges
from byoc_nb.runtime.reload import Reload, Trial
from byoc_nb.runtime.stats import describe
from byoc_nb.runtime.stream import Stream

logger = logging.getLogger(__name__)

LOAD_TIME = "a load-time parameter changed"


class ProcessorSlot:
    """Holds the current processor. Methods are called from any thread but the processors' own."""

    def __init__(self) -> None:
        self.current: Host | None = None
        self.reloads = 0
        self.replacing = threading.RLock()  # held during an exchange
        self._lock = threading.Lock()  # for what an exchange and a stream's beginning or end both touch; held briefly
        self._stream: Stream | None = None
        self._load_time = LoadTimeChanges(self.replacing, self._load_with)
        self._closed = False

    async def load(self, target: Any, held: Mapping[str, Any] | None = None) -> None:
        """Build and load the first processor, with these parameters as far as they fit; raises what its code raises."""
        host = Host(target, held)
        try:
            await asyncio.wrap_future(host.submit(host.build()))
        except BaseException:
            host.close_soon()
            raise
        self._closed, self.current = False, host

    # ---- hot reload

    def keep(self, target: Any, *, hooks_changed: bool = False) -> Reload:
        """Give the current processor the code of `target`, between two frames; its state stays.

        `hooks_changed`: the stream's stop and start hooks run in between. Raises StateDoesNotFit, TimeoutError where
        the processor doesn't come back from a frame, and what the code raises.
        """
        began = time.perf_counter()
        with self.replacing:
            host, stream = self.current, self._stream
            if host is None:
                raise RuntimeError("no processor is loaded")
            self.accept()
            if stream is not None and stream.hangs():
                raise TimeoutError("the processor doesn't come back from its frame")
            dropped = stream.frames_dropped() if stream else 0
            begun = threading.Event()
            exchanging = host.submit(host.exchange(target, begun, restart=stream if hooks_changed else None))
            if not begun.wait(HOOK_SECONDS) and exchanging.cancel():
                raise TimeoutError("the processor doesn't come back from its frame")
            changed, undo = exchanging.result()
            self.reloads += 1
            if stream is not None:
                stream.exchanged()
            lost = stream.frames_dropped() - dropped if stream else 0
            name = host.processor.name
            reload = Reload(name, time.perf_counter() - began, True, lost, params_changed=changed)
            self._try(host, reload, stream, failed=undo, passed=lambda: None)
        return reload

    def replace(
        self,
        target: Any,
        timeout: float | None = None,
        *,
        held: Callable[[], dict[str, Any]] | None = None,
        why: str = "",
        free_first: bool = False,
    ) -> Reload:
        """Build, load and start another processor on its own thread, then make it the current one.

        Blocks the caller, never the stream. Anything that raises on the way leaves the old processor serving.
        `timeout` in seconds bounds each step of it. `free_first`: release the old processor before, for two that don't
        fit into memory; frames pass through meanwhile, and if the new one fails, the old one is loaded again.
        `held` gives the parameters to go on with, else they are those that are set when it serves.
        """
        if free_first and self.current is not None:
            return replace_freed(self, target, timeout, why)
        began = time.perf_counter()
        with self.replacing:
            old, stream = self.current, self._stream
            self.accept()
            before, dropped = stream, stream.frames_dropped() if stream else 0
            held = held or self.held
            host = Host(target, held())
            try:
                host.submit(host.build()).result(timeout)
                while True:  # until neither stream nor parameters have changed meanwhile
                    stream, values = self._stream, held()
                    changed = host.submit(host.adopt(values, stream)).result(timeout)
                    with self._lock:
                        if self._closed:
                            raise ProcessorExited("the server was stopped while the processor was loading")
                        if self._stream is stream and held() == values:
                            self.current = host
                            break
                    if self._stream is not stream:
                        host.submit(host.stop_stream()).result(HOOK_SECONDS)
            except BaseException:
                host.give_up()
                raise
            self.reloads += 1
            reload = Reload(host.processor.name, 0.0, False, 0, why, changed)
            self._hand_over(host, old, stream, reload)
            reload.frames_lost = stream.frames_dropped() - (dropped if stream is before else 0) if stream else 0
            reload.seconds = time.perf_counter() - began
        return reload

    def accept(self) -> None:
        """Whoever is on trial has passed it."""
        host = self.current
        if host is not None and host.trial is not None:
            host.trial.accept()

    def _hand_over(self, new: Host, old: Host | None, stream: Stream | None, reload: Reload) -> None:
        """The frames go to `new` from the next one on; `old` is held as long as that may be undone."""
        if old is None or stream is None:
            reload.settle()
            if old is not None:
                with contextlib.suppress(ProcessorExited, TimeoutError):  # where a stream has just ended
                    old.submit(old.stop_stream()).result(HOOK_SECONDS)
                old.close()
            return
        held = params_.chosen(new.processor.values)

        def take_back() -> None:
            with self._lock:
                if self.current is new:
                    self.current = old
            stream.swapped(new)
            if since := set_since(held, new.processor):
                old.submit(old.set_params(since, ignore_unknown=True))
            threading.Thread(target=stream.retire, args=(new,), name="byoc-retire", daemon=True).start()

        try:
            back = stream.swapped(old).wait(0 if stream.hangs() else HOOK_SECONDS)
        except BaseException:  # an interrupted cell: as if nothing had been
            take_back()
            self.reloads -= 1
            raise
        if back:
            self._try(new, reload, stream, failed=take_back, passed=lambda: stream.retire(old))
            return
        logger.warning("%s has been in one frame for over %.0f s and was left behind", old.processor.name, HOOK_SECONDS)
        stream.abandon(old)
        reload.settle()
        stream.retire(old)

    def _try(
        self,
        host: Host,
        reload: Reload,
        stream: Stream | None,
        *,
        failed: Callable[[], None],
        passed: Callable[[], None],
    ) -> None:
        """Watch the first frames, if there are any to come; both ends are called on the processor's thread."""

        def settle(error: BaseException | None) -> None:
            host.trial = None
            if error is None:
                passed()
                reload.settle()
            else:
                failed()
                self.reloads -= 1
                logger.warning("%s failed in its first frames and was taken back: %s", reload.name, describe(error))
                reload.settle(error)

        trial = Trial(lambda: settle(None), settle)
        if stream is None or self._stream is not stream:
            trial.accept()
        else:
            host.trial = trial

    def held(self, changes: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Any]:
        """The parameters that were set, with these changes."""
        if self.current is None:
            return dict(changes)
        values = self.current.processor.values
        return params_.chosen(params_.merge(values, changes, ignore_unknown=True) if changes else values)

    # ---- parameters

    def apply(self, changes: Mapping[str, Any], *, ignore_unknown: bool = False) -> Future[None]:
        """Validate now (raises ParamsError), apply on the processor's thread; the future tells when that is done.

        Where a load-time parameter gets another value, another processor is loaded with it in the background.
        """
        host = self.current
        if host is None:
            done: Future[None] = Future()
            done.set_result(None)
            return done
        old = host.processor.values
        new = params_.merge(old, changes, ignore_unknown=ignore_unknown)
        waits = self._load_time.pending and bool(changes.keys() & params_.load_time(old).keys())
        if params_.load_time(old) == params_.load_time(new) and not waits:
            return host.submit(host.set_params(changes, ignore_unknown=ignore_unknown))
        return self._load_time.put(changes)

    def _load_with(self, changes: Mapping[str, Any]) -> None:
        """Load the current processor again with the changes, unless they come to what is loaded."""
        host = self.current
        if host is None:
            return
        old = host.processor.values
        if params_.load_time(params_.merge(old, changes, ignore_unknown=True)) == params_.load_time(old):
            host.submit(host.set_params(changes, ignore_unknown=True)).result()
        else:
            self.replace(host.processor.target, held=lambda: self.held(changes), why=LOAD_TIME)

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
                await current.end_stream()
                host.give_up()
            else:
                with contextlib.suppress(ProcessorExited):  # a start that is still in work is followed by its stop
                    host.submit(host.stop_stream())
            raise
        return host

    def close_stream(self) -> Host | None:
        """The stream is over, swaps no longer concern it; gives the current processor."""
        with self._lock:
            self._stream = None
            current = self.current
        self.accept()
        return current

    def close(self) -> None:
        """Free the processor and its thread; a replacement that is still loading is given up."""
        with self._lock:
            self._closed = True
            host, self.current = self.current, None
        if host is not None:
            if host.trial is not None:
                host.trial.accept()
            host.close()
