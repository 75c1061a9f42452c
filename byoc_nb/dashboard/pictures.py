"""The pictures that a dashboard shows: a frame before and after processing, small, as JPEG."""

from __future__ import annotations

import io
import json
import os
import struct
import threading
import time
from typing import TYPE_CHECKING, Any

from av.video.reformatter import Interpolation, VideoReformatter

from byoc_nb.frames import VideoFrame

if TYPE_CHECKING:
    from PIL.Image import Image

Pair = tuple[VideoFrame, VideoFrame]  # a picture before and after processing

WIDTH, FULL_WIDTH = 640, 1280  # pixels of each picture at most
STILL_WIDTH = 320  # the still stays in the notebook's file
QUALITY = 75
SHARE = 0.06  # of the processor time that the whole process takes
SLOWEST_SECONDS = 0.1  # between two pictures, where the process takes hardly any
IDLE_SECONDS = 0.06  # the same, while half of the machine has nothing to do

_local = threading.local()


def encoded(pair: Pair, width: int) -> bytes:
    """A message with both pictures: the header's length in four bytes, the header as JSON, the two JPEGs.

    The header has `kind` ("pair"), `at` (seconds of the stream), `sizes` (of the frames, [width, height]) and
    `lengths` (of the JPEGs).
    """
    return packed("pair", pair, [_jpeg(_small(frame, width)) for frame in pair])


def packed(kind: str, pair: Pair, files: list[bytes]) -> bytes:
    """A message with these files, which show this pair; see `encoded`."""
    header = json.dumps(
        {
            "kind": kind,
            "at": at(pair),
            "sizes": [[frame.width, frame.height] for frame in pair],
            "lengths": [len(file) for file in files],
        }
    ).encode()
    return b"".join((struct.pack(">I", len(header)), header, *files))


def at(pair: Pair) -> float:
    """The time of a pair in seconds of the stream, to the millisecond."""
    return round(pair[0].seconds, 3)


def still(pair: Pair) -> bytes:
    """Both pictures side by side as one small JPEG."""
    from PIL import Image

    small = [_small(frame, STILL_WIDTH).convert("RGB") for frame in pair]
    canvas = Image.new("RGB", (sum(one.width for one in small) + 4, max(one.height for one in small)), "white")
    canvas.paste(small[0], (0, 0))
    canvas.paste(small[1], (small[0].width + 4, 0))
    return _jpeg(canvas)


class Pace:
    """Says when the next picture may be encoded, so that looking costs the stream little.

    Encoding takes at most SHARE of the processor time that the process takes, but ten pictures a second always come,
    and sixteen where the machine has little else to do.
    """

    def __init__(self) -> None:
        self._processor_time = self._at_latest = 0.0

    def may(self) -> bool:
        return time.process_time() >= self._processor_time or time.monotonic() >= self._at_latest

    def took(self, seconds: float) -> None:
        """Encoding a pair took this much processor time, until now."""
        self._processor_time = time.process_time() + seconds * (1 / SHARE - 1)
        idle = os.getloadavg()[0] < (os.cpu_count() or 1) / 2
        self._at_latest = time.monotonic() + (IDLE_SECONDS if idle else SLOWEST_SECONDS)


def timed(pair: Pair, width: int) -> tuple[bytes, float]:
    """`encoded`, and the processor time that it took this thread."""
    began = time.thread_time()
    return encoded(pair, width), time.thread_time() - began


def _small(frame: VideoFrame, width: int) -> Image:
    """The picture at most `width` pixels wide, as RGBX: libswscale and the JPEG encoder are quickest with that."""
    from PIL import Image

    if not hasattr(_local, "reformatter"):
        _local.reformatter = VideoReformatter()  # keeps libswscale's context from picture to picture
    wide = min(width, frame.width)
    size = wide, max(1, round(frame.height * wide / frame.width))
    color = frame.color
    small = _local.reformatter.reformat(
        frame.to_av(),
        *size,
        format="rgb0",
        src_colorspace=color.matrix,
        dst_colorspace=color.matrix,
        src_color_range=color.range,
        interpolation=Interpolation.AREA,
        threads=1,
    )
    plane = small.planes[0]
    pixels: Any = memoryview(plane)  # not copied
    return Image.frombuffer("RGBX", size, pixels, "raw", "RGBX", plane.line_size, 1)


def _jpeg(picture: Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()
