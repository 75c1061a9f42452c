"""A browser's camera: JPEGs that somebody pushes, each shown when it came."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

import av

from byoc_nb.frames import MPEG_TIME_BASE, VideoFrame
from byoc_nb.media.encode import CLOCK
from byoc_nb.network.sources.feed import Feed, Given
from byoc_nb.network.sources.jpeg import size_of

MOST_BYTES = 4 << 20  # of a picture
MOST_PIXELS = 4096  # each way
MOST_A_SECOND = 60


class WebcamFeed(Feed):
    """Silent until the first picture, and whenever none come; never ends by itself.

    The newest picture wins over one that still waits. `dropped` counts what was too large, too often or overtaken,
    `damaged` what was no JPEG that can be decoded.
    """

    kind, label, live = "webcam", "webcam", True

    def __init__(self) -> None:
        self.dropped = self.damaged = 0
        self._changed = threading.Condition()
        self._newest: tuple[bytes, float] | None = None
        self._came: deque[float] = deque(maxlen=MOST_A_SECOND)
        self._stopped = False

    def push(self, jpeg: bytes) -> bool:
        """Show a baseline JPEG of at most 4 MiB and 4096x4096 pixels; from any thread. False if it is refused.

        Refused is also what is more than 60 in a second.
        """
        now = time.monotonic()
        with self._changed:
            often = len(self._came) == MOST_A_SECOND and now - self._came[0] < 1.0
            if self._stopped or often or len(jpeg) > MOST_BYTES:
                self.dropped += 1
                return False
            try:
                size = size_of(jpeg)
            except ValueError:
                self.damaged += 1
                return False
            if not all(2 <= side <= MOST_PIXELS for side in size):
                self.dropped += 1
                return False
            self._came.append(now)
            self.dropped += self._newest is not None
            self._newest = (bytes(jpeg), now)
            self._changed.notify()
            return True

    @property
    def counts(self) -> dict[str, int]:
        return {"dropped": self.dropped, "damaged": self.damaged}

    def frames(self) -> Iterator[Given]:
        decoder: Any = av.CodecContext.create("mjpeg", "r")
        decoder.thread_count = 1  # frame threads would hold pictures back
        decoder.options = {"max_pixels": str(MOST_PIXELS * MOST_PIXELS)}
        begin: float | None = None
        while (taken := self._take()) is not None:
            jpeg, at = taken
            try:
                picture = next(iter(decoder.decode(av.Packet(jpeg))), None)
            except av.FFmpegError:
                picture = None
            if picture is None:
                self.damaged += 1
                continue
            if begin is None:
                begin, self.size = at, (picture.width, picture.height)
            yield VideoFrame(picture, round((at - begin) * CLOCK), MPEG_TIME_BASE)

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def _take(self) -> tuple[bytes, float] | None:
        """The newest picture, once there is one; None after `stop`."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._newest is not None)
            taken, self._newest = self._newest, None
            return None if self._stopped else taken
