"""A clip for the benchmark's tests, made once."""

from __future__ import annotations

import pytest
from kit import CLIP

from byoc_nb.bench.clips import Clip


@pytest.fixture(scope="session")
def clip() -> Clip:
    """Two segments of the real clip at 640x480."""
    return Clip(CLIP, (640, 480), seconds=4)
