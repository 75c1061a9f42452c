"""The frames that wait for the processor, and which of them give way when it is too slow: the two policies.

`live`: a processor that is too slow for its input gets the newest picture, and after a stall the oldest ones give way
where too many wait; both are counted as dropped. `lossless`: the decoder waits.
"""

from __future__ import annotations

from collections import deque
from typing import Literal, NamedTuple

from byoc_nb.frames import AudioFrame, VideoFrame
from byoc_nb.runtime.pace import Pace
from byoc_nb.runtime.stats import StreamStats
from byoc_nb.runtime.threads import CrossQueue
from byoc_nb.runtime.trip import Trip

Policy = Literal["live", "lossless"]

WAITING_FRAMES = 8  # pictures before a processor, which catches up after a stall of 0.25 s at 30 fps
SOUNDS_A_PICTURE = 32  # how many sounds take as much room in a queue: 5 s of AAC alone, and no burst displaces pictures
TOO_SLOW = "processor too slow"


class Waiting(NamedTuple):
    """A decoded frame, and a picture's times so far."""

    frame: VideoFrame | AudioFrame
    trip: Trip


class Backlog(CrossQueue[Waiting]):
    """A queue of decoded frames; what gives way is counted in `stats`.

    `pace` is to be told how long pictures took. `overflowed` counts the pictures that found no room, without those that
    a processor which is always too slow leaves out.
    """

    def __init__(self, policy: Policy, stats: StreamStats) -> None:
        live = policy == "live"
        super().__init__(
            WAITING_FRAMES * SOUNDS_A_PICTURE,
            weigh=lambda item: SOUNDS_A_PICTURE if isinstance(item.frame, VideoFrame) else 1,
            make_room=self._drop_oldest if live else None,
        )
        self.pace = Pace()
        self.overflowed = 0
        self.skip = self._outrun if live else lambda item, waiting: False  # for `aget`
        self._stats = stats

    def put(self, item: Waiting) -> None:
        """Append, under `lossless` waiting for room; raises Closed."""
        if isinstance(item.frame, VideoFrame):
            self.pace.came(item.frame.seconds)
        super().put(item)

    def _drop_oldest(self, waiting: deque[Waiting]) -> None:
        """The oldest picture where too many wait, else the oldest sound."""
        pictures = [index for index, item in enumerate(waiting) if isinstance(item.frame, VideoFrame)]
        if len(pictures) >= WAITING_FRAMES:
            del waiting[pictures[0]]
            self.overflowed += 1
            self._stats.drop(TOO_SLOW)
        else:
            del waiting[next(index for index, item in enumerate(waiting) if isinstance(item.frame, AudioFrame))]
            self._stats.audio_dropped += 1

    def _outrun(self, item: Waiting, waiting: deque[Waiting]) -> bool:
        """Whether the processor is behind for good and a newer picture than this one waits for it."""
        if not (
            isinstance(item.frame, VideoFrame)
            and self.pace.behind
            and any(isinstance(other.frame, VideoFrame) for other in waiting)
        ):
            return False
        self._stats.drop(TOO_SLOW)
        return True
