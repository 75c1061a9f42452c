"""The pictures of two channels, decoded and paired by their time: what went into a container and what came out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from byoc_nb.frames import VideoFrame
from byoc_nb.media.decode import Decoder
from byoc_nb.runtime.stats import StreamStats
from byoc_nb.runtime.trip import percentile_ms
from byoc_nb.trickle import TrickleError, TrickleSubscriber

logger = logging.getLogger(__name__)

HELD, HELD_BYTES = 60, 100 << 20  # input pictures that wait for theirs: two seconds at 1280x720 and 30 fps
CLOSE = 45_000  # ticks: an output picture further from any input has another clock, and goes with the newest one
LATENCIES = 600


class Watching:
    """Belongs to one asyncio loop; decodes on a thread of its own."""

    def __init__(self) -> None:
        self.stats = StreamStats()
        self.newest: tuple[VideoFrame, VideoFrame] | None = None
        self._waiting: OrderedDict[int, tuple[VideoFrame, float]] = OrderedDict()
        self._latencies: list[float] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._thread: ThreadPoolExecutor | None = None

    def start(self, input_url: str, output_url: str, over: Callable[[], None]) -> None:
        """Read both channels until `stop`; `over` is called when the output has ended."""
        self.stats, self._latencies = StreamStats(), []
        self._waiting.clear()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="byoc-watching")
        reading = (self._read(input_url, self._came_in), self._read(output_url, self._came_out, over))
        self._tasks = [asyncio.create_task(one) for one in reading]

    async def stop(self) -> None:
        """Read no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
        self._tasks, self._thread = [], None

    def latency(self, share: float) -> float | None:
        """Milliseconds from an input picture to its output, below which `share` of them lie; None before the first."""
        return percentile_ms(sorted(self._latencies), share)

    async def _read(
        self, url: str, take: Callable[[VideoFrame], None], over: Callable[[], None] = lambda: None
    ) -> None:
        decoder, loop = Decoder(), asyncio.get_running_loop()

        def decode(data: bytes) -> None:
            for frame in decoder.feed(data):
                if isinstance(frame, VideoFrame):
                    take(frame)

        try:
            async with TrickleSubscriber(url, start=-2) as channel:
                async for segment in channel:
                    async for data in segment:
                        await loop.run_in_executor(self._thread, decode, data)
        except TrickleError as error:
            logger.debug("%s ended: %s", url, error)
        over()

    # ---- on the thread

    def _came_in(self, frame: VideoFrame) -> None:
        self.stats.frame_in()
        self._waiting[frame.timestamp] = frame, time.monotonic()
        held = min(HELD, HELD_BYTES // (frame.width * frame.height * 3 // 2) + 1)
        while len(self._waiting) > held:
            self._waiting.popitem(last=False)

    def _came_out(self, frame: VideoFrame) -> None:
        self.stats.frame_out(None)
        if not self._waiting:
            return
        at = min(self._waiting, key=lambda pts: abs(pts - frame.timestamp))
        if abs(at - frame.timestamp) > CLOSE:
            at = next(reversed(self._waiting))
        else:
            self._latencies = [*self._latencies[-LATENCIES:], time.monotonic() - self._waiting[at][1]]
        self.newest = self._waiting[at][0], frame
