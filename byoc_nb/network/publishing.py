"""A source on its way into a channel, from `start` to `stop`."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from byoc_nb.errors import ByocError
from byoc_nb.network.source import Source, SourceError
from byoc_nb.trickle import TrickleError

END_SECONDS = 2.0  # for a stopped source to end its channel


class Publishing:
    """One source after the other. Belongs to one asyncio loop."""

    def __init__(self) -> None:
        self.source: Source | None = None
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._changing: asyncio.Task[Any] | None = None

    @contextlib.asynccontextmanager
    async def change(self, source: Source | None = None) -> AsyncIterator[None]:
        """One change of what is streamed at a time; closes `source`, the one to come, where that raises."""
        try:
            async with self._turn:
                self._changing = asyncio.current_task()
                try:
                    yield
                finally:
                    self._changing = None
        except BaseException:
            if source is not None:
                await asyncio.to_thread(source.join, 0.0)
            raise

    def break_off(self) -> None:
        """Cancel the change that is under way, before everything is closed."""
        if self._changing is not None:
            self._changing.cancel()

    def start(self, source: Source, url: str, failed: Callable[[ByocError], None]) -> None:
        """Publish to the channel at `url`; `failed` hears why the source ended before its time."""
        self.source = source
        self._task = asyncio.create_task(self._publish(source, url, failed))

    async def stop(self) -> None:
        """End the source, which ends its channel; idempotent."""
        source, task = self.source, self._task
        if source is not None:
            source.stop()
        if task is not None:
            await asyncio.wait({task}, timeout=END_SECONDS)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if source is not None:
            await asyncio.to_thread(source.join, END_SECONDS)
        self.source = self._task = None

    async def _publish(self, source: Source, url: str, failed: Callable[[ByocError], None]) -> None:
        try:
            await source.run(url)
        except (TrickleError, SourceError) as error:
            if self.source is source:
                failed(error)
