"""Processors and takes for the tests of this folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from kit import CLOCK, segments
from pydantic import BaseModel, Field

from byoc_nb.processor import FrameProcessor
from byoc_nb.replay.takes import INPUT, OUTPUT, Entry, Take, Version

SIZE = (96, 64)


class Paint(FrameProcessor):
    """Makes every picture plain, as bright as the parameter says."""

    class Params(BaseModel):
        level: int = Field(40, ge=0, le=255)

    def process_video(self, frame):
        return frame.replace_array(np.full_like(frame.array, self.params.level))


def make_take(folder: Path, levels: dict[int, int], *, seconds: float = 2.0, output: bytes = b"", **more) -> Take:
    """A take of numbered pictures at 30 fps; `levels`: from which picture on, which level."""
    folder.mkdir()
    (folder / INPUT).write_bytes(b"".join(segments(seconds)))
    (folder / OUTPUT).write_bytes(output)
    entries = tuple(Entry(number * CLOCK // 30, 0, {"level": level}) for number, level in levels.items())
    frames = round(seconds * 30)
    version = Version.of("Paint", 1, "text")
    take = Take(folder, 0, (frames - 1) * CLOCK // 30, "the stream ended", frames, entries, (version,))
    take = Take(**{**vars(take), **more})
    take.save()
    return take
