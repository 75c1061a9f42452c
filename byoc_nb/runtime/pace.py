"""Whether a processor keeps up with its input, or never will."""

from __future__ import annotations

from collections import deque
from statistics import median

PICTURES = 9  # that decide; the median of an odd number is one of them, and one slow picture decides nothing


class Pace:
    """Compares how long the last pictures took with how far apart they are in the video, in seconds.

    Not with how fast they come: a burst after a pause of the network is caught up with.
    """

    def __init__(self) -> None:
        self._newest: float | None = None
        self._apart: deque[float] = deque(maxlen=PICTURES)
        self._took: deque[float] = deque(maxlen=PICTURES)

    def came(self, seconds: float) -> None:
        """A picture with this presentation time came in."""
        if self._newest is not None and seconds > self._newest:
            self._apart.append(seconds - self._newest)
        self._newest = seconds

    def took(self, seconds: float) -> None:
        """A picture was in work that long."""
        self._took.append(seconds)

    @property
    def behind(self) -> bool:
        """Pictures are closer together than they are done: what waits now waits longer and longer."""
        return len(self._took) == len(self._apart) == PICTURES and median(self._took.copy()) > median(
            self._apart.copy()
        )
