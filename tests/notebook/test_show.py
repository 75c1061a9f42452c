"""How status and preview look."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from byoc_nb.frames import VideoFrame
from byoc_nb.notebook.show import PREVIEW_HEIGHT, PREVIEW_WIDTH, Status, side_by_side
from byoc_nb.notebook.workbench import Workbench


def status(**changes: Any) -> Status:
    return Status({**Workbench().status(), **changes})


def picture(width: int, height: int, rgb: tuple[int, int, int]) -> VideoFrame:
    return VideoFrame(np.full((height, width, 3), rgb, np.uint8), 90_000)


def test_the_status_of_nothing() -> None:
    text = repr(status())
    assert "state              stopped" in text
    assert "processor          –" in text
    assert "latency p50 / p99  –" in text
    assert "urls" not in text


def test_the_status_of_a_stream() -> None:
    text = repr(
        status(
            state="running",
            processor="Tint",
            params={"strength": 0.3, "mode": "add"},
            frames_in=10,
            frames_out=8,
            frames_dropped=2,
            drops={"too slow": 2},
            fps_in=24.96,
            latency_ms_p50=5.1,
            latency_ms_p99=9.0,
            errors=1,
            last_error="ValueError: x",
            urls={"rest": "http://127.0.0.1:8000", "trickle": None},
        )
    )
    for line in (
        "params             strength = 0.3, mode = 'add'",
        "frames in / out    10 / 8",
        "dropped            2 (too slow 2)",
        "fps in / out       25.0 / 0.0",
        "latency p50 / p99  5.1 / 9.0 ms",
        "errors             1 · last: ValueError: x",
        "rest               http://127.0.0.1:8000",
    ):
        assert line in text.splitlines()
    assert "trickle" not in text


def test_the_status_is_a_mapping() -> None:
    assert status(frames_in=3)["frames_in"] == 3
    assert isinstance(status(), dict)


def test_a_users_text_cant_become_markup() -> None:
    markup = status(processor="<script>", last_error="<b>&", errors=1)._repr_html_()
    assert "<script>" not in markup
    assert "&lt;script&gt;" in markup
    assert "&lt;b&gt;&amp;" in markup


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((640, 360), (640, 360)),
        ((1920, 1080), (320, 240)),
        ((64, 48), (48, 64)),
        ((2, 2), (4000, 10)),
        ((10, 4000), (2, 2)),
    ],
)
def test_two_pictures_stand_side_by_side_at_equal_height(before: tuple[int, int], after: tuple[int, int]) -> None:
    still = Image.open(io.BytesIO(side_by_side(picture(*before, (255, 0, 0)), picture(*after, (0, 0, 255)))))
    assert still.format == "JPEG"
    assert still.width <= 2 * PREVIEW_WIDTH + 8
    assert still.height <= PREVIEW_HEIGHT + 18
    if min(*before, *after) < 40:
        return
    height = still.height - 18
    for y in (20, 18 + height - 3):  # both reach from the label to the lower edge
        left, right = still.getpixel((2, y)), still.getpixel((still.width - 3, y))
        assert isinstance(left, tuple)
        assert isinstance(right, tuple)
        assert left[0] > left[2] + 150  # red
        assert right[2] > right[0] + 150  # blue
    widths = [round(width * height / of) for width, of in (before, after)]
    assert still.width == sum(widths) + 8
