"""What the package logs and what frames print, kept for the dashboards."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import deque
from typing import Any

from byoc_nb.runtime.stats import users_traceback

KEPT = 300  # entries
LONGEST = 4000  # characters of an entry

logger = logging.getLogger("byoc_nb")


class Log(logging.Handler):
    """Keeps the last entries of the package's loggers from `start` to `stop`; any thread may log."""

    def __init__(self) -> None:
        super().__init__()
        self._entries: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._numbers = itertools.count(1)
        self._adding = threading.Lock()  # their numbers rise: who has seen one asks for those after it

    def start(self) -> None:
        logger.addHandler(self)

    def stop(self) -> None:
        logger.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
            if record.exc_info and record.exc_info[1] is not None:  # as far as the traceback is the user's
                text += "\n" + users_traceback(record.exc_info[1])
        except Exception:
            self.handleError(record)
            return
        self.add(record.levelname.lower(), text, at=record.created)

    def add(self, level: str, text: str, *, at: float | None = None) -> None:
        """An entry; `level` is one of logging's in small letters, or "print" and "stderr" for what a frame prints."""
        entry = {"at": time.time() if at is None else at, "level": level, "text": text[:LONGEST]}
        with self._adding:
            self._entries.append({"number": next(self._numbers), **entry})

    def since(self, number: int) -> list[dict[str, Any]]:
        """The entries after this number, oldest first."""
        return [entry for entry in self._entries.copy() if entry["number"] > number]
