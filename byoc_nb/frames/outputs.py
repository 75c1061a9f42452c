"""VideoOutput and AudioOutput: pytrickle's envelopes around frames, which a processor may return in their place."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from byoc_nb.frames.audio import AudioFrame
from byoc_nb.frames.video import VideoFrame


@dataclass
class VideoOutput:
    """A picture to send; `request_id` is the caller's own."""

    frame: VideoFrame
    request_id: str = ""

    @property
    def tensor(self) -> Any:
        """The picture as `VideoFrame.tensor`: float32 [1, height, width, 3], 0 to 1."""
        return self.frame.tensor

    @property
    def timestamp(self) -> int:
        """The picture's time in units of `time_base`."""
        return self.frame.timestamp

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit of `timestamp`."""
        return self.frame.time_base

    @property
    def log_timestamps(self) -> dict[str, float]:
        """What the frame carries for its owner's logs."""
        return self.frame.log_timestamps

    def replace_tensor(self, tensor: Any) -> VideoOutput:
        """The same output with another picture, as `VideoFrame.replace_tensor` takes it."""
        return VideoOutput(self.frame.replace_tensor(tensor), self.request_id)


@dataclass
class AudioOutput:
    """Sounds to send; `request_id` is the caller's own."""

    frames: list[AudioFrame]
    request_id: str = ""

    @property
    def timestamp(self) -> int:
        """The first sound's time in units of its `time_base`; 0 without sounds."""
        return self.frames[0].timestamp if self.frames else 0
