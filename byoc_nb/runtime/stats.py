"""What a stream counts and measures: frames in, out and dropped, rates, latency, errors."""

from __future__ import annotations

import logging
import os
import sysconfig
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from byoc_nb.errors import ByocError
from byoc_nb.runtime.trip import StageTimes, Trip

logger = logging.getLogger(__name__)

RATE_WINDOW_SECONDS = 2.0  # long enough for a steady figure, short enough to follow a change
SHORTEST_SPAN_SECONDS = 0.5  # what has waited comes all at once when a stream begins: no rate to tell
DISTINCT_ERRORS = 100  # errors whose text differs from frame to frame must not grow the table or flood the log
_STDLIB = sysconfig.get_path("stdlib") + os.sep
_PACKAGE = str(Path(__file__).parents[1]) + os.sep


class Rate:
    """Events per second over the last two seconds."""

    def __init__(self) -> None:
        self._times: deque[float] = deque()

    def tick(self, now: float) -> None:
        self._times.append(now)
        self._forget(now)

    def value(self, now: float) -> float:
        self._forget(now)
        if len(self._times) < 2:
            return 0.0
        span = max(self._times[-1], now - 0.5) - self._times[0]
        return (len(self._times) - 1) / max(span, SHORTEST_SPAN_SECONDS) if span > 0 else 0.0

    def _forget(self, now: float) -> None:
        while self._times and self._times[0] < now - RATE_WINDOW_SECONDS:
            self._times.popleft()


class StreamStats:
    """Counters of one stream; every method may be called from any thread.

    `on_error(line)` hears of each distinct error, once.
    """

    def __init__(self, on_error: Callable[[str], None] = lambda line: None) -> None:
        self._lock = threading.Lock()
        self._on_error = on_error
        self.started = time.time()
        self.frames_in = 0
        self.frames_out = 0
        self.audio_in = 0
        self.audio_out = 0
        self.audio_dropped = 0
        self.dropped: Counter[str] = Counter()  # pictures, by cause
        self.errors: dict[str, int] = {}  # one line of a distinct error -> how often
        self.error_count = 0
        self.last_error: str | None = None
        self.last_error_time = 0.0
        self.last_input_time = 0.0
        self.last_output_time = 0.0
        self._rate_in, self._rate_out = Rate(), Rate()
        self._stages = StageTimes()

    def frame_in(self) -> None:
        now = time.monotonic()
        with self._lock:
            self.frames_in += 1
            self.last_input_time = time.time()
            self._rate_in.tick(now)

    def frame_out(self, trip: Trip | None) -> None:
        """A frame's bytes left, which ends its trip."""
        now = time.monotonic()
        with self._lock:
            self.frames_out += 1
            self.last_output_time = time.time()
            self._rate_out.tick(now)
            if trip is not None:
                self._stages.add(trip.published())

    def drop(self, cause: str, count: int = 1) -> None:
        with self._lock:
            self.dropped[cause] += count

    def error(self, what: str, error: BaseException, *, log: bool = True) -> None:
        """Count an error; the first of its kind is logged, with its traceback where that tells more than its text."""
        line = f"{what}: {describe(error)}"
        with self._lock:
            self.error_count += 1
            new = line not in self.errors and len(self.errors) < DISTINCT_ERRORS
            if new or line in self.errors:
                self.errors[line] = self.errors.get(line, 0) + 1
            self.last_error, self.last_error_time = line, time.time()
        if new and log:
            logger.warning("%s", line, exc_info=None if isinstance(error, ByocError) else error)
        if new:
            self._on_error(line)

    def forget_errors(self) -> None:
        """Begin anew with the errors: another processor serves."""
        with self._lock:
            self.errors.clear()
            self.error_count, self.last_error = 0, None

    def snapshot(self) -> dict[str, Any]:
        """The figures as JSON-able data; rates in frames per second, times in milliseconds or None."""
        now, stages = time.monotonic(), self._stages.snapshot()
        with self._lock:
            return {
                "frames_in": self.frames_in,
                "frames_out": self.frames_out,
                "frames_dropped": sum(self.dropped.values()),
                "drops": dict(self.dropped),
                "audio_in": self.audio_in,
                "audio_out": self.audio_out,
                "audio_dropped": self.audio_dropped,
                "fps_in": round(self._rate_in.value(now), 2),
                "fps_out": round(self._rate_out.value(now), 2),
                **stages,
                "errors": self.error_count,
                "last_error": self.last_error,
            }


def describe(error: BaseException) -> str:
    """An error in one line: its type, its text and the innermost line of the user's code."""
    text = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {text}{users_line(traceback.extract_tb(error.__traceback__))}"


def users_line(stack: traceback.StackSummary) -> str:
    """The innermost line of the user's code in parentheses, after a space; empty where there is none."""
    for frame in reversed(stack):
        if _is_users(frame):
            return f" (line {frame.lineno} of {frame.name}: {frame.line})" if frame.line else f" (line {frame.lineno})"
    return ""


def users_traceback(error: BaseException) -> str:
    """The error as Python prints it, without the frames of this package."""
    stack = traceback.extract_tb(error.__traceback__)
    first = next((number for number, frame in enumerate(stack) if _is_users(frame)), 0)
    return "".join(traceback.StackSummary.from_list(stack[first:]).format() + traceback.format_exception_only(error))


def _is_users(frame: traceback.FrameSummary) -> bool:
    return not frame.filename.startswith((_PACKAGE, _STDLIB, "<frozen")) and "site-packages" not in frame.filename
