"""Frames as a processor sees them; they import nothing of this package but its errors, and torch only when asked."""

from byoc_nb.frames.audio import AudioFrame
from byoc_nb.frames.outputs import AudioOutput, VideoOutput
from byoc_nb.frames.video import MPEG_TIME_BASE, VideoFrame

__all__ = ["MPEG_TIME_BASE", "AudioFrame", "AudioOutput", "VideoFrame", "VideoOutput"]
