"""A clip through a processor, frame by frame, each with the parameters that held at it: the same every time.

Pictures are what goes to a stream's encoder: yuv420p of even size, in their own colour.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import av
import numpy as np
from numpy.typing import NDArray

from byoc_nb.frames import AudioFrame, VideoFrame, colors
from byoc_nb.frames.colors import Color
from byoc_nb.media.encode import ticks
from byoc_nb.replay.clips import Clip
from byoc_nb.replay.player import Player, ReplayError
from byoc_nb.replay.takes import CLOCK, since
from byoc_nb.runtime.encoding import Processed
from byoc_nb.runtime.stats import describe

Samples = NDArray[np.uint8]


@dataclass(frozen=True)
class FrameError:
    """What a processor raised: at which picture, counted from 0, and when; `text` ends in the line of its code.

    The picture passed through as it came.
    """

    frame: int
    seconds: float
    text: str

    def __str__(self) -> str:
        return f"frame {self.frame} at {self.seconds:.2f} s: {self.text}"


class Picture(NamedTuple):
    """A picture as the encoder gets it."""

    frame: av.VideoFrame  # yuv420p
    color: Color

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.frame.width, self.frame.height

    @property
    def samples(self) -> Samples:
        """Its planes Y, U and V as uint8 [height · 3 / 2, width]."""
        return self.frame.to_ndarray()  # type: ignore[return-value]  # yuv420p is always uint8

    @property
    def digest(self) -> str:
        """SHA-256 of size and samples."""
        head = f"{self.frame.width}x{self.frame.height} ".encode()
        return hashlib.sha256(head + self.samples.tobytes()).hexdigest()

    @property
    def rgb(self) -> Samples:
        """As RGB uint8 [height, width, 3]."""
        return colors.rgb_from_yuv(self.frame, self.color)

    def like(self, other: Picture) -> Picture:
        """This picture in the other one's size and colour."""
        return Picture(colors.yuv420p(self.frame, other.size, self.color, other.color), other.color)

    @staticmethod
    def of(frame: av.VideoFrame, color: Color) -> Picture:
        """A YUV picture of any layout."""
        return Picture(colors.yuv420p(frame, (frame.width & ~1, frame.height & ~1), color, color), color)

    @staticmethod
    def from_samples(samples: Samples, color: Color) -> Picture:
        """The opposite of `samples`."""
        return Picture(av.VideoFrame.from_ndarray(samples, format="yuv420p"), color)


class Outcome(NamedTuple):
    """What became of one frame of the clip."""

    number: int  # of the picture, from 0; of the last one for sound
    pts: int  # ticks
    made: list[Processed]  # for an encoder
    picture: Picture | None  # None for sound, and where the processor returned None
    error: FrameError | None
    is_picture: bool


def outcomes(player: Player, clip: Clip, values: Mapping[str, Any], *, limit: int | None = None) -> Iterator[Outcome]:
    """Put the clip's frames, at most `limit` pictures of it, through the player's processor.

    A take has its own parameters for every frame; another clip has `values`, which the player was opened with.
    """
    coming = list(clip.timeline[1:])
    number, begin = -1, None
    for frame in clip.frames():
        raised: BaseException | None = None
        if isinstance(frame, VideoFrame):
            if limit is not None and number + 1 >= limit:
                return
            number += 1
            begin = frame.timestamp if begin is None else begin
            while coming and since(coming[0].pts, frame.timestamp) >= 0:
                try:
                    player.set(coming.pop(0).values)
                except ReplayError:
                    raise
                except Exception as refused:
                    raised = refused
            done = player.video(frame)
        else:
            done = player.audio(frame)
        raised = done.error or raised
        at = since(frame.timestamp if begin is None else begin, frame.timestamp) / CLOCK
        found = FrameError(max(0, number), at, describe(raised)) if raised is not None else None
        shown = [Picture.of(one.picture, one.color) for one in done.made if one.picture and one.color]
        is_picture = not isinstance(frame, AudioFrame)
        yield Outcome(number, ticks(frame), done.made, shown[0] if shown else None, found, is_picture)


class Errors:
    """The errors of a run: how many, and the first of each text."""

    MOST = 20

    def __init__(self) -> None:
        self.count = 0
        self.first: dict[str, FrameError] = {}

    def add(self, error: FrameError | None) -> None:
        """Count one, if it is one."""
        if error is not None:
            self.count += 1
            if len(self.first) < self.MOST:
                self.first.setdefault(error.text, error)

    def lines(self) -> list[str]:
        """One for every kind, with the frame and the line."""
        shown = [f"raised at {error}" for error in self.first.values()]
        return [*shown, f"{self.count} errors in all"] if self.count > len(shown) else shown
