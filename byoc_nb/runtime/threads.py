"""A thread with an asyncio loop of its own, and a bounded queue that crosses between threads and loops."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from byoc_nb.runtime.interrupt import interrupted_afterwards

logger = logging.getLogger(__name__)
T = TypeVar("T")

UNDO_SECONDS = 5.0  # for what is broken off to undo what it had begun


class LoopThread:
    """A daemon thread that runs one asyncio loop until `stop`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.loop = asyncio.new_event_loop()
        self._stop: asyncio.Future[None] = self.loop.create_future()
        self._lock, self._ends = threading.Lock(), False
        self._running: set[Future[Any]] = set()  # a loop holds its tasks weakly: one that waits for ever would be lost
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the loop, from any thread; RuntimeError once the thread ends."""
        with self._lock:  # what is handed to a loop that ends would never run, nor its future ever resolve
            if not self._ends:
                future = asyncio.run_coroutine_threadsafe(coroutine, self.loop)
                self._running.add(future)
                future.add_done_callback(self._running.discard)
                return future
        coroutine.close()
        raise RuntimeError(f"thread {self.name} has ended")

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine on the loop and wait; `timeout` in seconds raises TimeoutError and cancels it.

        So does an interrupt of the caller; both are raised when the coroutine has ended, or doesn't within 5 s.
        """
        future = self.submit(coroutine)
        try:
            return future.result(timeout)
        except BaseException:
            if future.cancel():
                with contextlib.suppress(RuntimeError):  # the thread has ended, and it too
                    self.submit(_end_of(coroutine)).result()
            raise

    def finish(self, coroutine: Coroutine[Any, Any, T], timeout: float) -> T:
        """`run` what has to come to its end: an interrupt of the caller is raised when it has."""
        with interrupted_afterwards():
            future = self.submit(coroutine)
            try:
                return future.result(timeout)
            finally:
                future.cancel()

    def join(self, timeout: float) -> bool:
        """Wait for the thread's end; False if it takes longer than `timeout` seconds."""
        self._thread.join(timeout)
        return not self.alive

    def interrupt(self) -> None:
        """Raise SystemExit in what runs on the thread, if that is Python code; a call into C is not disturbed."""
        if self.alive and self._thread.ident is not None:
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(self._thread.ident), ctypes.py_object(SystemExit))

    def stop(self, timeout: float = 5.0) -> bool:
        """Cancel what still runs, end the loop and join the thread. False if it didn't end within `timeout` seconds."""
        if self.alive:
            with contextlib.suppress(RuntimeError):  # it has just closed
                self.loop.call_soon_threadsafe(_resolve, self._stop)
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)
        return not self.alive

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        try:
            while not self._stop.done():
                try:
                    self.loop.run_until_complete(self._stop)
                except (SystemExit, KeyboardInterrupt) as error:  # of a task's own; asyncio lets it through
                    logger.warning("a task on thread %s raised %s", self.name, type(error).__name__, exc_info=error)
        finally:
            with self._lock:
                self._ends = True
            self.loop.run_until_complete(_turns(3))  # what was submitted last begins, so that it can be cancelled
            tasks = asyncio.all_tasks(self.loop)
            for task in tasks:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            asyncio.set_event_loop(None)
            self.loop.close()


class Closed(Exception):
    """The queue is closed and, for readers, empty."""


class CrossQueue(Generic[T]):
    """A bounded first-in-first-out queue between any threads and any asyncio loops.

    `capacity` bounds the sum of `weigh(item)`; a writer waits while it is reached, unless `make_room` is given, which
    is then called (under the lock) with the waiting items and must remove what it drops.
    """

    def __init__(
        self,
        capacity: int,
        *,
        weigh: Callable[[T], int] = lambda item: 1,
        make_room: Callable[[deque[T]], None] | None = None,
    ) -> None:
        self._capacity, self._weigh, self._make_room = capacity, weigh, make_room
        self._items: deque[T] = deque()
        self._weight = 0  # of all items
        self._changed = threading.Condition()
        self._async_waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []
        self._closed = False
        self._bounded = True

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> None:
        """Append, waiting for room; raises Closed."""
        with self._changed:
            while not self._try_put(item):
                self._changed.wait()

    async def aput(self, item: T) -> None:
        """`put` for a coroutine."""
        while True:
            with self._changed:
                if self._try_put(item):
                    return
                waiter = self._waiter()
            await self._wait(waiter)

    def get(self) -> T:
        """The oldest item, waiting for one; raises Closed."""
        with self._changed:
            while not self._items:
                if self._closed:
                    raise Closed
                self._changed.wait()
            return self._pop()

    async def aget(
        self,
        stop: Callable[[], bool] = lambda: False,
        skip: Callable[[T, deque[T]], bool] = lambda item, waiting: False,
    ) -> T | None:
        """`get` for a coroutine; None when `stop()` holds, which is asked again after each `wake`.

        Where `skip(item, waiting)` holds, the item is thrown away and the next one taken; asked under the lock.
        """
        while True:
            with self._changed:
                if stop():
                    return None
                while self._items:
                    item = self._pop()
                    if not skip(item, self._items):
                        return item
                if self._closed:
                    raise Closed
                waiter = self._waiter()
            await self._wait(waiter)

    def drain(self) -> list[T]:
        """Everything that waits."""
        with self._changed:
            items = list(self._items)
            self._items.clear()
            self._weight = 0
            self._notify()
            return items

    def unbound(self) -> None:
        """From now on no writer waits for room."""
        with self._changed:
            self._bounded = False
            self._notify()

    def wake(self) -> None:
        """Let every waiting reader and writer look again."""
        with self._changed:
            self._notify()

    def close(self, *, discard: bool = False) -> None:
        """No more items; readers still get what is there unless `discard`."""
        with self._changed:
            self._closed = True
            if discard:
                self._items.clear()
                self._weight = 0
            self._notify()

    def _try_put(self, item: T) -> bool:
        if self._closed:
            raise Closed
        weight = self._weigh(item)
        if weight and self._bounded and self._weight >= self._capacity:
            if self._make_room is None:
                return False
            self._make_room(self._items)
            self._weight = sum(map(self._weigh, self._items))
        self._items.append(item)
        self._weight += weight
        self._notify()
        return True

    def _pop(self) -> T:
        item = self._items.popleft()
        self._weight -= self._weigh(item)
        self._notify()
        return item

    def _waiter(self) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._async_waiters.append((loop, future))
        return future

    async def _wait(self, waiter: asyncio.Future[None]) -> None:
        try:
            await waiter
        except asyncio.CancelledError:
            with self._changed:  # many a cancelled wait on a silent queue must not pile up
                self._async_waiters = [entry for entry in self._async_waiters if entry[1] is not waiter]
            raise

    def _notify(self) -> None:
        self._changed.notify_all()
        waiters, self._async_waiters = self._async_waiters, []
        for loop, future in waiters:
            with contextlib.suppress(RuntimeError):  # its loop is closed, nobody waits any more
                loop.call_soon_threadsafe(_resolve, future)


async def _end_of(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Wait for the task that runs it on this loop, if it has not ended yet."""
    tasks = [task for task in asyncio.all_tasks() if task.get_coro() is coroutine]
    if tasks:
        await asyncio.wait(tasks, timeout=UNDO_SECONDS)


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
