"""One viewer of a dashboard: what it sees, and what waits to be sent to it."""

from __future__ import annotations

import asyncio
import time

from byoc_nb.dashboard.pictures import FULL_WIDTH, WIDTH, Pair

IN_FLIGHT = 2  # pictures that were sent and not acknowledged yet
WAITING = 256  # messages; a viewer that lets more come together has gone


class Viewer:
    """Belongs to the hub's loop. It gets no picture before it has said that it is visible."""

    def __init__(self) -> None:
        self.visible, self.width = False, WIDTH
        self.seen: Pair | None = None  # the last pictures that were sent
        self.heard = time.monotonic()
        self.changing = 0  # changes of parameters in work
        self.outbox: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self._flying = 0

    @property
    def has_room(self) -> bool:
        """Whether a picture may be sent to it."""
        return self.visible and self._flying < IN_FLIGHT

    def put(self, message: str | bytes) -> None:
        """Send a message; None in the outbox ends the connection."""
        self.outbox.put_nowait(message if self.outbox.qsize() < WAITING else None)

    def show(self, pair: Pair, message: bytes) -> None:
        """Send pictures."""
        self.seen, self._flying = pair, self._flying + 1
        self.put(message)

    def acknowledge(self) -> None:
        """A picture was drawn."""
        self._flying = max(0, self._flying - 1)

    def look(self, *, visible: bool, wide: bool) -> None:
        """It is on the screen or not, at the usual or at full width."""
        self.visible, self.width = visible, FULL_WIDTH if wide else WIDTH
