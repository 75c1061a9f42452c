"""The newest pictures for every viewer that has room for them; one that has none misses them.

Nothing is encoded while nobody looks. What looking costs the stream is bounded by `Pace`.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor

from byoc_nb.dashboard.pictures import Pace, Pair, still, timed
from byoc_nb.dashboard.subject import Subject
from byoc_nb.dashboard.viewer import Viewer

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.01  # between two looks for a new picture, while somebody waits for one; takes 0.2 % of a core


class Projector:
    """Belongs to the hub's loop; encodes on a thread of its own, from `run` to `close`."""

    def __init__(self, subject: Subject, viewers: set[Viewer]) -> None:
        self.encoded = 0  # pairs of pictures
        self._subject, self._viewers = subject, viewers
        self._wanted = asyncio.Event()  # a viewer has room for a picture
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="byoc-pictures")

    def look(self) -> None:
        """A viewer may have room."""
        self._wanted.set()

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    async def still(self) -> bytes | None:
        """The newest pictures as one small JPEG."""
        pair = self._subject.newest
        if pair is None:
            return None
        return await asyncio.get_running_loop().run_in_executor(self._thread, still, pair)

    async def run(self) -> None:
        """Show pictures until cancelled."""
        pace, loop = Pace(), asyncio.get_running_loop()
        made: tuple[Pair, int, bytes] | None = None
        while True:
            await self._wanted.wait()
            ready = [viewer for viewer in self._viewers if viewer.has_room]
            if not ready:
                self._wanted.clear()
                continue
            pair = self._subject.newest
            ready = [viewer for viewer in ready if viewer.seen is not pair]
            if pair is None or not ready:
                await asyncio.sleep(LOOK_SECONDS)
                continue
            width = max(viewer.width for viewer in ready)
            if made is None or made[0] is not pair or made[1] != width:
                if not pace.may():
                    await asyncio.sleep(LOOK_SECONDS)
                    continue
                try:
                    message, seconds = await loop.run_in_executor(self._thread, timed, pair, width)
                except Exception:
                    logger.exception("a picture can't be shown")
                    for viewer in ready:
                        viewer.skip(pair)
                    continue
                pace.took(seconds)
                self.encoded += 1
                made = pair, width, message
            for viewer in ready:
                if viewer.has_room:
                    viewer.show(pair, made[2])
