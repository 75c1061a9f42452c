"""What a reload did, and the first frames in which it has to prove itself."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from byoc_nb.runtime.stats import describe, users_traceback

TRIAL_FRAMES = 10  # that a new processor is watched for
TRIAL_FAILURES = 3  # of them that take it back


@dataclass(repr=False, eq=False)
class Reload:
    """A swap of processors.

    `seconds`: from the call until the new code got the frames, its loading included. `kept`: the state (model, buffers)
    is the old one's; otherwise `why` tells what made it new. `frames_lost`: to a full queue meanwhile.
    `params_changed`: what became of parameters that couldn't stay as they were, by name. `rolled_back`: the error for
    which the old processor was taken back, empty as long as the new one is in force.
    """

    name: str
    seconds: float
    kept: bool
    frames_lost: int
    why: str = ""
    params_changed: dict[str, str] = field(default_factory=dict)
    rolled_back: str = ""
    traceback: str = ""  # of that error, as far as it is the user's
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: bool = False
    _settled: threading.Event = field(default_factory=threading.Event)
    _listeners: list[Callable[[Reload], None]] = field(default_factory=list)

    def settle(self, error: BaseException | None = None) -> None:
        """The new processor has proven itself, or was taken back for `error`."""
        if error is not None:  # as text: the error itself would keep the processor in memory
            self.rolled_back, self.traceback = describe(error), users_traceback(error)
        with self._lock:
            listeners, self._listeners = self._listeners, []  # what they hold of the old processor goes with them
            self._over = True
        for listener in listeners:
            listener(self)
        self._settled.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is certain that the swap stays, or doesn't; False if that took over `timeout` seconds."""
        return self._settled.wait(timeout)

    def on_rollback(self, listener: Callable[[Reload], None]) -> None:
        """Call `listener` if the swap is taken back, on any thread; at once if it was already."""

        def if_taken_back(reload: Reload) -> None:
            if reload.rolled_back:
                listener(reload)

        with self._lock:
            if not self._over:
                self._listeners.append(if_taken_back)
                return
        if_taken_back(self)

    def __str__(self) -> str:
        state = "model kept" if self.kept else "model loaded again" + (f" ({self.why})" if self.why else "")
        params = "params kept"
        if self.params_changed:
            params = "params: " + ", ".join(f"{name} {what}" for name, what in self.params_changed.items())
        lost = f"{self.frames_lost} frame{'' if self.frames_lost == 1 else 's'} lost"
        line = f"reloaded in {_duration(self.seconds)} · {state} · {params} · {lost}"
        return line + (f"\nrolled back: {self.rolled_back}" if self.rolled_back else "")

    __repr__ = __str__


class Trial:
    """Watches a new processor's first frames; says once whether it `passed()` or `failed(error)`."""

    def __init__(self, passed: Callable[[], None], failed: Callable[[BaseException], None]) -> None:
        self._passed, self._failed = passed, failed
        self._frames = self._failures = 0
        self._lock, self._over = threading.Lock(), False

    def frame(self, error: BaseException | None) -> None:
        """A frame was processed, or raised."""
        self._frames += 1
        if error is not None:
            self._failures += 1
            if self._failures >= TRIAL_FAILURES:
                if self._end():
                    self._failed(error)
                return
        if self._frames >= TRIAL_FRAMES and self._end():
            self._passed()

    def accept(self) -> None:
        """End the trial: what came so far is good enough."""
        if self._end():
            self._passed()

    def _end(self) -> bool:
        with self._lock:
            over, self._over = self._over, True
            return not over


def _duration(seconds: float) -> str:
    return f"{math.ceil(seconds * 1000)} ms" if seconds < 1 else f"{seconds:.1f} s"
