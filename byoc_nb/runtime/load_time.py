"""Changes of load-time parameters, which need another processor to be loaded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any


class LoadTimeChanges:
    """What comes while a load waits or is under way goes together into the next one.

    `turn` is held during a load; `load` gets the changes, on a thread of its own.
    """

    def __init__(self, turn: AbstractContextManager[Any], load: Callable[[dict[str, Any]], None]) -> None:
        self._turn, self._load = turn, load
        self._lock = threading.Lock()
        self._waiting: dict[str, Any] = {}
        self._waiters: list[Future[None]] = []  # who put these changes
        self._loads = 0  # that wait or are under way

    @property
    def pending(self) -> bool:
        """Whether a load waits or is under way."""
        return self._loads > 0

    def put(self, changes: Mapping[str, Any]) -> Future[None]:
        """Load with these changes; the future tells when that is done, or what it raised."""
        done: Future[None] = Future()
        done.set_running_or_notify_cancel()  # nobody can cancel it any more
        with self._lock:
            self._waiting |= changes
            self._waiters.append(done)
            self._loads += 1
        threading.Thread(target=self._work, name="byoc-reload", daemon=True).start()
        return done

    def _work(self) -> None:
        waiters: list[Future[None]] = []
        try:
            with self._turn:
                with self._lock:
                    changes, self._waiting = self._waiting, {}
                    waiters, self._waiters = self._waiters, []
                if changes:
                    self._load(changes)
        except BaseException as error:
            for waiter in waiters:
                waiter.set_exception(error)
        else:
            for waiter in waiters:
                waiter.set_result(None)
        finally:
            with self._lock:
                self._loads -= 1
