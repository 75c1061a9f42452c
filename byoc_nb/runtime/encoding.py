"""The last stage of a frame's way: processed pictures and sounds to bytes, on a thread of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import av

from byoc_nb._pixels import Color
from byoc_nb.frames import AudioFrame
from byoc_nb.media.encode import SegmentEncoder
from byoc_nb.runtime.egress import TimedChunk
from byoc_nb.runtime.stats import StreamStats
from byoc_nb.runtime.threads import Closed, CrossQueue


class Processed(NamedTuple):
    """For the encoder: a picture with its place in time, or sound."""

    picture: av.VideoFrame | None
    color: Color | None
    sound: AudioFrame | None
    pts: int
    received: float  # time.monotonic() when the last byte of what it was made from came in


def encode_all(
    processed: CrossQueue[Processed],
    chunks: CrossQueue[TimedChunk],
    kinds: Callable[[], frozenset[str]],
    stats: StreamStats,
) -> None:
    """Encode until `processed` is closed, then close `chunks`. `kinds()` says at the first frame what the stream has.

    A picture that can't be encoded costs itself only.
    """
    encoder: SegmentEncoder | None = None
    try:
        while True:
            item = processed.get()
            if encoder is None:
                encoder = SegmentEncoder(with_video="video" in kinds(), with_audio="audio" in kinds())
            try:
                _encode(encoder, item, chunks, stats)
            except Closed:
                raise
            except Exception as error:
                stats.error("encoding", error)
    except Closed:
        pass
    try:
        for chunk in encoder.flush() if encoder else ():
            chunks.put((chunk, time.monotonic()))
    except (Closed, av.FFmpegError):
        pass
    chunks.close()


def _encode(encoder: SegmentEncoder, item: Processed, chunks: CrossQueue[TimedChunk], stats: StreamStats) -> None:
    if item.picture is not None and item.color is not None:
        late = encoder.late_frames
        for chunk in encoder.video(item.picture, item.pts, item.color):
            chunks.put((chunk, item.received))
        if encoder.late_frames > late:
            stats.drop("out of order")
    elif item.sound is not None:
        for chunk in encoder.audio(item.sound):
            stats.audio_out += 1
            chunks.put((chunk, item.received))
