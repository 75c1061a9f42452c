"""When a source's frames are shown: its own times, speed and jumps on one clock that never goes back."""

from __future__ import annotations

import time

from byoc_nb.media.encode import CLOCK

LATE_SECONDS = 1.0  # a source this far behind goes on from where it is instead of hurrying
AHEAD_SECONDS = 10.0  # and so does one whose clock jumped this far
SLIP_SECONDS = 0.05
LONGEST_STEP = CLOCK // 5  # what is longer is a gap


class PlayClock:
    """Times in 90 kHz ticks. `due` says when a frame is shown and how long that is from now, `shown` that it was.

    After a `cut` the next frame is shown at once, whatever its time.
    """

    def __init__(self, *, realtime: bool = True) -> None:
        self.speed = 1.0
        self._realtime = realtime
        self._begin: float | None = None  # the monotonic time of 0
        self._source = self._anchor = 0  # a moment of the source's clock, and the same one of ours
        self._last_source = self._last = 0  # of the newest picture
        self._end: int | None = None  # the newest time of all
        self._step = CLOCK // 30  # between pictures
        self._cut = False

    def due(self, at: int, *, slips: bool = False) -> tuple[int, float]:
        """When the frame with the source's time `at` is shown, and the seconds until then, negative when it is over.

        `slips`: if it is late, its time is now, and those after it follow it.
        """
        now = time.monotonic()
        if self._cut:
            today = 0 if self._begin is None else round((now - self._begin) * CLOCK)
            self._source, self._anchor = at, 0 if self._end is None else max(today, self._end + self._step)
            self._cut = False
        shown = self._anchor + round((at - self._source) / self.speed)
        if not self._realtime:
            return shown, 0.0
        if self._begin is None:
            self._begin = now - shown / CLOCK
        wait = self._begin + shown / CLOCK - now
        if slips and wait < -SLIP_SECONDS:
            self._source, self._anchor = at, shown - round(wait * CLOCK)
            return self._anchor, 0.0
        if not -LATE_SECONDS <= wait <= AHEAD_SECONDS:
            self._begin -= wait
            wait = 0.0
        return shown, wait

    def shown(self, at: int, shown: int, *, picture: bool) -> None:
        """A frame went out."""
        self._end = shown if self._end is None else max(self._end, shown)
        if picture:
            if 0 < (step := shown - self._last) < LONGEST_STEP:
                self._step = step
            self._last_source, self._last = at, shown

    def cut(self) -> None:
        """The frames that follow are from elsewhere."""
        self._cut = True

    def change_speed(self, speed: float) -> None:
        """From the newest picture on."""
        self._source, self._anchor, self.speed = self._last_source, self._last, speed
