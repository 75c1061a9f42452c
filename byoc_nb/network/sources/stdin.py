"""MPEG-TS on standard input, which is read from when it is played."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Iterator

from byoc_nb.network.sources.container import ContainerFeed, open_container
from byoc_nb.network.sources.feed import Feed, Given, SourceError


class StandardInputFeed(Feed):
    """Raises SourceError at once where standard input is closed, and from `frames` where it isn't MPEG-TS."""

    kind, label = "stdin", "-"

    def __init__(self) -> None:
        self._input = _StandardInput()
        self._inner: ContainerFeed | None = None

    def frames(self) -> Iterator[Given]:
        self._inner = inner = ContainerFeed("stdin", "-", lambda: open_container(self._input, NAME, form="mpegts"))
        self.audio, self.size, self.fps = inner.audio, inner.size, inner.fps
        yield from inner.frames()

    def stop(self) -> None:
        self._input.stop()

    def close(self) -> None:
        if self._inner is not None:
            self._inner.close()
        self._input.close()


NAME = "standard input"


class _StandardInput:
    """Standard input as PyAV reads files: what is there at once, and an end that another thread may bring about."""

    def __init__(self) -> None:
        if sys.stdin is None:
            raise SourceError("standard input is closed", hint="pipe MPEG-TS into it")
        self._stopped, self._stopping = os.pipe()
        self._lock = threading.Lock()

    def read(self, size: int) -> bytes:
        readable, _, _ = select.select([0, self._stopped], [], [])
        return b"" if self._stopped in readable else os.read(0, size)

    def stop(self) -> None:
        """End the input; idempotent."""
        with self._lock:
            if self._stopping >= 0:
                os.close(self._stopping)
                self._stopping = -1

    def close(self) -> None:
        """Free what `read` needs."""
        self.stop()
        with self._lock:
            if self._stopped >= 0:
                os.close(self._stopped)
                self._stopped = -1
