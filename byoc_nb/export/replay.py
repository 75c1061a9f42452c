"""What a processor makes of the frames of a clip, kept in a file: one side of an export's proof.

Both sides use it, the notebook's and the exported program's, so that whatever differs is the processors' own.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from byoc_nb.frames import VideoFrame
from byoc_nb.media.decode import Decoder
from byoc_nb.runtime.alone import load_alone
from byoc_nb.runtime.host import HOOK_SECONDS, Host, release_memory
from byoc_nb.runtime.stats import describe

MAX_FRAMES = 60
MAX_PIXELS = MAX_FRAMES * 640 * 360  # of all input frames together: larger pictures, fewer of them
MAX_SECONDS = 10.0  # in the processor; a slow one proves itself on fewer frames
MAX_BYTES = 200_000_000  # of output


@dataclass(frozen=True)
class Outcome:
    """What became of one frame: a picture at `offset` of the file, nothing (no digest), or an error."""

    width: int = 0
    height: int = 0
    digest: str = ""
    offset: int = 0
    error: str = ""

    def picture(self, file: Path) -> np.ndarray[Any, Any]:
        """The picture as RGB uint8 [H, W, 3]."""
        count = self.width * self.height * 3
        flat = np.fromfile(file, np.uint8, count, offset=self.offset)
        return flat.reshape(self.height, self.width, 3)


def frames(clip: bytes) -> Iterator[VideoFrame]:
    """The first pictures of a clip, as many as a proof takes."""
    decoder, count, pixels = Decoder(), 0, 0

    def decoded() -> Iterator[Any]:
        yield from decoder.feed(clip)
        yield from decoder.flush()

    for frame in decoded():
        if isinstance(frame, VideoFrame):
            count, pixels = count + 1, pixels + frame.width * frame.height
            if count > MAX_FRAMES or (count > 1 and pixels > MAX_PIXELS):
                return
            yield frame


def write_frames(clip: bytes, file: Path, count: int) -> None:
    """The first `count` pictures for a program without byoc_nb: RGB24, and beside it `.json` with sizes and times."""
    times = []
    with file.open("wb") as pictures:
        for frame in itertools.islice(frames(clip), count):
            base = frame.time_base
            times.append([frame.width, frame.height, frame.timestamp, base.numerator, base.denominator])
            pictures.write(frame.to_bytes())
    file.with_suffix(".json").write_text(json.dumps(times))


def replay(
    target: Any, clip: bytes, file: Path, *, params: Mapping[str, Any] | None = None, count: int | None = None
) -> list[Outcome]:
    """Build a processor on a thread of its own, send the clip through it, write its pictures into `file`.

    `params`: what it is set to, as a new processor is after a reload. `count` frames, else as many as it does within
    the limits above. Raises what building, loading and the stream's hooks raise; an error in a frame is an outcome.
    """
    host = load_alone(target, params or {})
    outcomes: list[Outcome] = []
    try:
        began = time.monotonic()
        with file.open("wb") as pictures:
            for frame in frames(clip):
                if (
                    outcomes
                    and count is None
                    and (time.monotonic() > began + MAX_SECONDS or pictures.tell() > MAX_BYTES)
                ):
                    break
                if count is not None and len(outcomes) >= count:
                    break
                outcomes.append(_outcome(host, frame, pictures))
        host.submit(host.stop_stream()).result(HOOK_SECONDS)
    finally:
        host.close()
        del host
        release_memory()
    return outcomes


def _outcome(host: Host, frame: VideoFrame, pictures: IO[bytes]) -> Outcome:
    """What the processor makes of a frame, with its pixels written."""

    async def run() -> tuple[int, int, bytes]:
        made = await host.processor.video(frame)
        return (0, 0, b"") if made is None else (made.width, made.height, made.to_bytes())

    try:
        width, height, pixels = host.submit(run()).result()
    except Exception as error:
        return Outcome(error=describe(error))
    if not pixels:
        return Outcome()
    offset = pictures.tell()
    pictures.write(pixels)
    return Outcome(width, height, hashlib.sha256(pixels).hexdigest(), offset)
