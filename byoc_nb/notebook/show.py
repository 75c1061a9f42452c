"""How things look in a notebook: the status as a table, two pictures side by side."""

from __future__ import annotations

import html
import io
import threading
import time
from typing import Any, Protocol

from byoc_nb.frames import VideoFrame
from byoc_nb.runtime.stats import StreamStats

PREVIEW_WIDTH = 640  # pixels of each picture at most; the still goes into the notebook file
PREVIEW_HEIGHT = 720
_GAP = 8
_LABEL = 18  # pixels of the line above the pictures


def nothing_runs(processor: str | None) -> dict[str, Any]:
    """The figures of a status before anything is served."""
    return {
        "state": "stopped",
        "processor": processor,
        **StreamStats().snapshot(),
        "reloads": 0,
        "params": {},
        "urls": {"rest": None, "trickle": None, "input": None, "output": None},
    }


class Status(dict[str, Any]):
    """The status as a mapping; shown as a small table."""

    def _rows(self) -> list[tuple[str, str]]:
        drops = ", ".join(f"{cause} {count}" for cause, count in self["drops"].items())
        latency = "–" if self["latency_ms_p50"] is None else f"{self['latency_ms_p50']} / {self['latency_ms_p99']} ms"
        stages = ", ".join(f"{stage} {times['p50']}" for stage, times in self["stages_ms"].items() if times["p50"])
        rows = [
            ("state", str(self["state"])),
            ("processor", str(self["processor"] or "–")),
            ("params", ", ".join(f"{name} = {value!r}" for name, value in self["params"].items()) or "–"),
            ("frames in / out", f"{self['frames_in']} / {self['frames_out']}"),
            ("dropped", f"{self['frames_dropped']}" + (f" ({drops})" if drops else "")),
            *([("sounds dropped", str(self["audio_dropped"]))] if self["audio_dropped"] else []),
            ("fps in / out", f"{self['fps_in']:.1f} / {self['fps_out']:.1f}"),
            ("latency p50 / p99", latency),
            *([("of it, in ms", stages)] if stages else []),
            ("reloads", str(self["reloads"])),
            ("errors", f"{self['errors']}" + (f" · last: {self['last_error']}" if self["last_error"] else "")),
        ]
        return rows + [(name, url) for name, url in self["urls"].items() if url]

    def __repr__(self) -> str:
        return "\n".join(f"{name:<18} {value}" for name, value in self._rows())

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th style="text-align:left">{html.escape(name)}</th>'
            f'<td style="text-align:left">{html.escape(value)}</td></tr>'
            for name, value in self._rows()
        )
        return f"<table>{rows}</table>"


class Live(Protocol):
    """A stream that can be looked at."""

    @property
    def newest(self) -> tuple[VideoFrame, VideoFrame] | None:
        """The last picture before and after processing."""

    @property
    def streaming(self) -> bool:
        """Whether another one may come."""


def next_pair(live: Live, timeout: float) -> tuple[VideoFrame, VideoFrame] | None:
    """The next frame and what became of it; after `timeout` seconds, or the stream's end, the last ones."""
    before, deadline, pause = live.newest, time.monotonic() + timeout, threading.Event()
    while live.newest is before and live.streaming and time.monotonic() < deadline:
        pause.wait(0.01)
    return live.newest


def side_by_side(before: VideoFrame, after: VideoFrame) -> bytes:
    """JPEG bytes of two pictures at equal height, labelled with what they are and when they were."""
    from PIL import Image, ImageDraw, ImageFont

    frames = (before, after)
    height = min(PREVIEW_HEIGHT, *(max(1, min(f.height, f.height * PREVIEW_WIDTH // f.width)) for f in frames))
    pictures = [
        Image.fromarray(frame.array).resize((max(1, round(frame.width * height / frame.height)), height))
        for frame in frames
    ]
    canvas = Image.new("RGB", (sum(p.width for p in pictures) + _GAP, height + _LABEL), "white")
    draw, font, left = ImageDraw.Draw(canvas), ImageFont.load_default(14), 0
    for picture, frame, name in zip(pictures, frames, ("input", "output"), strict=True):
        draw.text(
            (left + 2, 0), f"{name} {frame.width}x{frame.height} at {frame.seconds:.2f} s", fill="black", font=font
        )
        canvas.paste(picture, (left, _LABEL))
        left += picture.width + _GAP
    buffer = io.BytesIO()
    canvas.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
