"""One forward-running time line for the streams of a programme, whatever the input's clock does."""

from __future__ import annotations

CLOCK = 90_000  # ticks a second
JUMP = CLOCK // 2  # further back than this is a new clock (a looped clip, a restarted publisher), not a late frame
STEP = CLOCK // 30  # between the last frame before a new clock and the first one after it


class Timeline:
    """Keeps presentation times as they are until the clock goes back; from there on all streams move by one offset.

    FLV, which the gateway's egress makes of the output, refuses times that go backwards. Where the clock goes back,
    some frames of the old one may still follow the first of the new one: those of the other stream, and those that a
    decoder held back. They keep their place on the old one.
    """

    def __init__(self) -> None:
        self._offset = 0
        self._before = 0  # the old clock's offset, while frames of it may follow
        self._settled = 0  # output time from which none does
        self._last: dict[str, int] = {}

    def place(self, kind: str, pts: int) -> int | None:
        """The output time of a frame of a stream ("video", "audio"), or None: it comes after a later one."""
        placed = pts + self._offset
        head = max(self._last.values(), default=placed)
        if self._before != self._offset:
            placed = min(placed, pts + self._before, key=lambda at: abs(at - head))
            if placed == pts + self._offset and placed > self._settled:
                self._before = self._offset
        last = self._last.get(kind)
        if last is not None and placed <= last:
            if placed > last - JUMP:
                return None
            self._before, self._offset = self._offset, head + STEP - pts
            placed, self._settled = head + STEP, head + CLOCK
        self._last[kind] = placed
        return placed
