"""Whether a processor still comes back from its frames, and where it is if not."""

from __future__ import annotations

import sys
import threading
import time
import traceback

from byoc_nb.errors import ByocError
from byoc_nb.runtime.stats import users_line

HANG_SECONDS = 5.0  # in one frame; a model that is that slow is no live one


class Hang(ByocError, TimeoutError):
    """A processor doesn't come back from a frame; `stack` is where its thread was, as Python prints it."""

    def __init__(self, stack: traceback.StackSummary) -> None:
        self.stack = "".join(stack.format())
        super().__init__(
            f"it has been in one frame for over {HANG_SECONDS:.0f} s{users_line(stack)}",
            hint="frames pass through untouched until it answers or its cell is run again",
        )


class Watchdog:
    """Watches one frame at a time. `begin` and `end` are called around each one, `hangs` from another thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._began: float | None = None
        self._thread = 0
        self._hangs = False

    def begin(self) -> None:
        """A frame goes to work on this thread."""
        with self._lock:
            self._began, self._thread = time.monotonic(), threading.get_ident()

    def end(self) -> bool:
        """It is done; False when it was given up meanwhile."""
        with self._lock:
            in_time, self._began, self._hangs = not self._hangs, None, False
            return in_time

    @property
    def hanging(self) -> bool:
        """Whether a hang was found and is not over."""
        return self._hangs

    def look(self) -> Hang | None:
        """A hang, when it is found first."""
        with self._lock:
            if self._hangs or self._began is None or time.monotonic() - self._began < HANG_SECONDS:
                return None
            self._hangs = True
            frame = sys._current_frames().get(self._thread)
        return Hang(traceback.extract_stack(frame))
