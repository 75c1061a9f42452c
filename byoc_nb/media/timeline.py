"""One forward-running time line for the streams of a programme, whatever the input's clock does."""

from __future__ import annotations

CLOCK = 90_000  # ticks a second
JUMP = CLOCK // 2  # further back than this is a new clock (a looped clip, a restarted publisher), not a late frame
STEP = CLOCK // 30  # between the last frame before a new clock and the first one after it


class Timeline:
    """Keeps presentation times as they are until the clock goes back; from there on all streams move by one offset.

    FLV, which the gateway's egress makes of the output, refuses times that go backwards.
    """

    def __init__(self) -> None:
        self._offset = 0
        self._last: dict[str, int] = {}

    def place(self, kind: str, pts: int) -> int | None:
        """The output time of a frame of a stream ("video", "audio"), or None: it comes after a later one."""
        last = self._last.get(kind)
        placed = pts + self._offset
        if last is not None and placed <= last:
            if placed > last - JUMP:
                return None
            self._offset = max(self._last.values()) + STEP - pts
            placed = pts + self._offset
        self._last[kind] = placed
        return placed
