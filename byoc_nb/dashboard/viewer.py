"""One viewer of a dashboard: what it sees, and what waits to be sent to it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import Any

from byoc_nb.dashboard.messages import written
from byoc_nb.dashboard.pictures import FULL_WIDTH, WIDTH, Pair, at

IN_FLIGHT = 2  # pictures that were sent and not acknowledged yet
WAITING, WAITING_BYTES = 256, 32 << 20  # messages; a viewer that lets more come together has gone


class Viewer:
    """Belongs to the hub's loop. It gets no picture before it has said that it is visible."""

    def __init__(self) -> None:
        self.visible, self.width = False, WIDTH
        self.sent: deque[Pair] = deque(maxlen=IN_FLIGHT + 1)  # the last pictures, one of which it shows
        self.heard = time.monotonic()
        self.asking = 0  # questions in work
        self.outbox: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self._flying = self._waiting = 0

    @property
    def has_room(self) -> bool:
        """Whether a picture may be sent to it."""
        return self.visible and self._flying < IN_FLIGHT

    def put(self, message: str | bytes) -> None:
        """Send a message; None in the outbox ends the connection."""
        fits = self.outbox.qsize() < WAITING and self._waiting <= WAITING_BYTES
        self.outbox.put_nowait(message if fits else None)
        self._waiting += len(message) if fits else 0

    async def next(self) -> str | bytes | None:
        """What is to be sent next; None at the end."""
        message = await self.outbox.get()
        self._waiting -= len(message or "")
        return message

    def say(self, message: dict[str, Any]) -> None:
        """Send a JSON message."""
        self.put(written(message))

    @property
    def seen(self) -> Pair | None:
        """The last pictures that were sent."""
        return self.sent[-1] if self.sent else None

    def skip(self, pair: Pair) -> None:
        """These pictures can't be shown."""
        self.sent.append(pair)

    def shown(self, when: float) -> Pair | None:
        """The pictures of this time (see `pictures.at`) as far as they are among the last ones."""
        return next((pair for pair in self.sent if at(pair) == when), None)

    def show(self, pair: Pair, message: bytes) -> None:
        """Send pictures."""
        self.sent.append(pair)
        self._flying += 1
        self.put(message)

    def acknowledge(self) -> None:
        """A picture was drawn."""
        self._flying = max(0, self._flying - 1)

    def look(self, *, visible: bool, wide: bool) -> None:
        """It is on the screen or not, at the usual or at full width."""
        self.visible, self.width = visible, FULL_WIDTH if wide else WIDTH
