"""A folder of images, shown one after the other."""

from __future__ import annotations

import logging
import math
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path

import av

from byoc_nb.frames import MPEG_TIME_BASE, VideoFrame
from byoc_nb.media.cover import Cover
from byoc_nb.media.encode import CLOCK
from byoc_nb.network.sources.feed import CUT, Feed, Given, SourceError

logger = logging.getLogger(__name__)

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})
DEFAULT_FPS = 1.0  # images a second: long enough to look at one
PICTURES_A_SECOND = 10  # at least; an image is sent again meanwhile, so that a parameter's change is seen on it
LONGEST_SIDE = 1920  # pixels: a camera's 24 megapixels are no video


class ImagesFeed(Feed):
    """Every image of the folder, by name with numbers in their order, for 1/`fps` s each; by default one a second.

    All have the size of the first, which is scaled down to 1920 pixels a side where it is larger; others are scaled to
    cover it and cropped. An image that can't be read is left out, with one warning. Raises SourceError where there is
    none.
    """

    kind, loopable, sets_rate = "images", True, True

    def __init__(self, spec: str, *, size: tuple[int, int] | None, fps: float | None, loop: bool) -> None:
        self.label, self.loop, self._images_a_second = spec, loop, fps or DEFAULT_FPS
        found = (path for path in Path(spec).expanduser().iterdir() if path.suffix.lower() in SUFFIXES)
        self._paths = sorted((path for path in found if path.is_file()), key=_natural)
        if not self._paths:
            raise SourceError(
                f"{spec} is a folder without images",
                hint="a folder has png, jpg, webp, bmp or tif files, else give a file",
            )
        self._repeats = max(1, round(PICTURES_A_SECOND / self._images_a_second))
        self.fps = self._images_a_second * self._repeats
        self._targets: deque[int] = deque(maxlen=1)  # the index of the image to go on from
        self._stopped = False
        first = self._first_readable()
        if first is None:
            raise SourceError(f"no image in {spec} can be read")
        scale = min(1.0, LONGEST_SIDE / max(first.width, first.height))
        self._cover = Cover(size or (max(2, round(first.width * scale)), max(2, round(first.height * scale))))
        self.size = self._cover.size

    @property
    def duration(self) -> float | None:  # type: ignore[override]
        return len(self._paths) / self._images_a_second

    def frames(self) -> Iterator[Given]:
        number, index = 0, 0  # of the picture since the last CUT, of the image
        while not self._stopped and index < len(self._paths):
            image = self._read(self._paths[index])
            if image is None:
                del self._paths[index]
            for repeat in range(self._repeats if image is not None else 0):
                if self._targets or self._stopped:
                    break
                assert image is not None
                self.position = (index + repeat / self._repeats) / self._images_a_second
                yield VideoFrame(image, round(number * CLOCK / (self.fps or 1.0)), MPEG_TIME_BASE)
                number += 1
            if self._targets and self._paths:
                number, index = 0, min(self._targets.pop(), len(self._paths) - 1)
                yield CUT
                continue
            index += image is not None
            if self.loop and index >= len(self._paths):
                index = 0

    def seek(self, seconds: float) -> None:
        self._targets.append(max(0, math.floor(seconds * self._images_a_second)))

    def stop(self) -> None:
        self._stopped = True

    def _first_readable(self) -> av.VideoFrame | None:
        while self._paths:
            if (image := _decoded(self._paths[0])) is not None:
                return image
            del self._paths[0]
        return None

    def _read(self, path: Path) -> av.VideoFrame | None:
        """The image in the size and the YUV of all of them, converted once however often it is sent."""
        image = _decoded(path)
        return None if image is None else self._cover(VideoFrame(image).to_av())


def _decoded(path: Path) -> av.VideoFrame | None:
    try:
        with av.open(str(path)) as container:
            return next(container.decode(video=0))
    except (av.FFmpegError, OSError, ValueError, IndexError, StopIteration) as error:
        logger.warning("%s is left out: %s", path, getattr(error, "strerror", None) or "it holds no picture")
        return None


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """`frame9` before `frame10`."""
    parts = re.split(r"([0-9]+)", path.name.casefold())
    return [(1, int(part), "") if part.isdigit() else (2, 0, part) for part in parts if part]
