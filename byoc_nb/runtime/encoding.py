"""The last stage of a frame's way: processed pictures and sounds to bytes, on a thread of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import av

from byoc_nb.frames import AudioFrame
from byoc_nb.frames.colors import Color
from byoc_nb.media.encode import SegmentEncoder
from byoc_nb.media.h264 import encoders
from byoc_nb.runtime.egress import TimedChunk
from byoc_nb.runtime.stats import StreamStats
from byoc_nb.runtime.threads import Closed, CrossQueue
from byoc_nb.runtime.trip import Trip


class Processed(NamedTuple):
    """For the encoder: a picture with its place in time, or sound."""

    picture: av.VideoFrame | None
    color: Color | None
    sound: AudioFrame | None
    pts: int
    trip: Trip | None  # of a picture


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
                encoder = SegmentEncoder(
                    with_video="video" in kinds(), with_audio="audio" in kinds(), codecs=encoders()
                )
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
            chunks.put((chunk, None))
    except (Closed, av.FFmpegError):
        pass
    chunks.close()


def _encode(encoder: SegmentEncoder, item: Processed, chunks: CrossQueue[TimedChunk], stats: StreamStats) -> None:
    if item.picture is not None and item.color is not None and item.trip is not None:
        late = encoder.late_frames
        item.trip.encoding()
        for chunk in encoder.video(item.picture, item.pts, item.color):
            item.trip.encoded()
            chunks.put((chunk, item.trip))
        if encoder.late_frames > late:
            stats.drop("out of order")
    elif item.sound is not None:
        for chunk in encoder.audio(item.sound):
            stats.audio_out += 1
            chunks.put((chunk, None))
