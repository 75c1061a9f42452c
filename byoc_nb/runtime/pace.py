"""Whether a processor keeps up with its input, or never will."""

from __future__ import annotations

from collections import deque
from statistics import median

PICTURES = 9  # that decide; the median of an odd number is one of them, and one slow picture decides nothing


class Pace:
    """Compares how long the last pictures took with how far apart they came. In seconds of any one clock."""

    def __init__(self) -> None:
        self._came: float | None = None
        self._apart: deque[float] = deque(maxlen=PICTURES)
        self._took: deque[float] = deque(maxlen=PICTURES)

    def came(self, now: float) -> None:
        """A picture came in."""
        if self._came is not None:
            self._apart.append(now - self._came)
        self._came = now

    def took(self, seconds: float) -> None:
        """A picture was in work that long."""
        self._took.append(seconds)

    @property
    def behind(self) -> bool:
        """Pictures come faster than they are done: what waits now waits longer and longer."""
        return len(self._took) == len(self._apart) == PICTURES and median(self._took.copy()) > median(
            self._apart.copy()
        )
