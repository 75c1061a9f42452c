"""From what a user types to the feed that plays it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from byoc_nb.network.sources.container import file_feed, pattern_feed
from byoc_nb.network.sources.feed import POSSIBLE, Feed, SourceError
from byoc_nb.network.sources.generator import GeneratorFeed
from byoc_nb.network.sources.images import ImagesFeed
from byoc_nb.network.sources.stdin import StandardInputFeed
from byoc_nb.network.sources.trickle import PREFIXES, TrickleFeed
from byoc_nb.network.sources.url import UrlFeed
from byoc_nb.network.sources.webcam import WebcamFeed

LONGEST_SIDE, MOST_FPS = 8192, 1000
TEST_PATTERN, STANDARD_INPUT, WEBCAM = "testsrc", "-", "webcam"


def open_feed(spec: Any, *, size: tuple[int, int] | None, fps: float | None, loop: bool) -> Feed:
    """The feed of a spec as `Source` takes it; raises SourceError."""
    if size is not None and not all(2 <= side <= LONGEST_SIDE for side in size):
        raise SourceError(f"a picture can't be {size[0]}x{size[1]}", hint=f"each side is 2 to {LONGEST_SIDE} pixels")
    if fps is not None and not 0 < fps <= MOST_FPS:
        raise SourceError(f"a source can't have {fps} pictures a second", hint=f"up to {MOST_FPS}")
    if isinstance(spec, os.PathLike):
        spec = os.fspath(spec)
    if not isinstance(spec, str):
        return GeneratorFeed(spec, fps=fps, loop=loop)
    if not spec:
        raise SourceError("no source was given", hint=POSSIBLE)
    if spec == TEST_PATTERN:
        return pattern_feed(size, fps)
    if spec == STANDARD_INPUT:
        return StandardInputFeed()
    if spec == WEBCAM:
        return WebcamFeed()
    if spec.startswith(PREFIXES):
        return TrickleFeed(spec)
    if "://" in spec:
        return UrlFeed(spec, loop=loop)
    if Path(spec).expanduser().is_dir():
        return ImagesFeed(spec, size=size, fps=fps, loop=loop)
    return file_feed(spec, loop=loop)
