"""Fixtures of the whole journeys."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e_kit import CLIP, Kernel


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    (tmp_path / CLIP.name).symlink_to(CLIP)
    with Kernel(tmp_path) as running:
        yield running
