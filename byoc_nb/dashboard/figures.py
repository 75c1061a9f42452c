"""The figures of a dashboard: what the stream does, and what that means in plain words."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, NamedTuple

from byoc_nb.dashboard.memory import Memory
from byoc_nb.runtime.server import StreamServer

WINDOW_SECONDS = 2.0  # that the verdict is about


class _Count(NamedTuple):
    at: float
    frames_in: int
    dropped: int
    drops: dict[str, int]


class Figures:
    """Looks at a server from time to time; the verdict is about what happened since two seconds before."""

    def __init__(self, server: StreamServer) -> None:
        self._server = server
        self._counts: deque[_Count] = deque()
        self._session: Any = None
        self._memory = Memory()

    def now(self) -> dict[str, Any]:
        """The message with all figures; before the first stream without those of a stream."""
        server, session = self._server, self._server.session
        host = server.slot.current
        message: dict[str, Any] = {
            "type": "stats",
            "state": "running" if server.active else "ended" if session else "waiting",
            "reason": session.reason if session and session.ended else "",
            "processor": host.processor.target.__name__ if host else "",
            "reloads": server.slot.reloads,
            "memory": self._memory.now(server.slot.reloads),
        }
        if session is None:
            return message
        if session is not self._session:
            self._session = session
            self._counts.clear()
        figures = session.stats.snapshot()
        lately = self._lately(figures)
        message |= {key: value for key, value in figures.items() if not key.startswith("audio_")}
        fps = figures["fps_in"]
        return message | {
            "budget_ms": round(1000 / fps, 1) if fps else None,
            "verdict": self._verdict(session, figures, lately),
            "error": self._error(session),
        }

    def _verdict(self, session: Any, figures: dict[str, Any], lately: _Count) -> dict[str, Any]:
        if not self._server.active:
            return {"text": "ended", "good": True}
        if session.pipeline.hanging:
            return {"text": "the processor hangs in a frame; pictures pass it by untouched", "good": False}
        return verdict(figures, lately)

    def _lately(self, figures: dict[str, Any]) -> _Count:
        """What came in and was dropped within the window."""
        now = _Count(time.monotonic(), figures["frames_in"], figures["frames_dropped"], figures["drops"])
        self._counts.append(now)
        while len(self._counts) > 2 and self._counts[1].at <= now.at - WINDOW_SECONDS:
            self._counts.popleft()
        old = self._counts[0]
        drops = {cause: count - old.drops.get(cause, 0) for cause, count in now.drops.items()}
        return _Count(now.at - old.at, now.frames_in - old.frames_in, now.dropped - old.dropped, drops)

    @staticmethod
    def _error(session: Any) -> dict[str, Any] | None:
        stats = session.stats
        line = stats.last_error
        if line is None:
            return None
        return {
            "line": line,
            "count": stats.errors.get(line, 1),
            "total": stats.error_count,
            "at": stats.last_error_time,
        }


def verdict(figures: dict[str, Any], lately: _Count) -> dict[str, Any]:
    """Whether the processor keeps up with the video, in one sentence, and whether that is good."""
    fps = figures["fps_in"]
    if not fps:
        return {"text": "no picture comes in", "good": False}
    budget = 1000 / fps
    stage, took = max(
        ((stage, times["p50"]) for stage, times in figures["stages_ms"].items() if stage in ("process", "encode")),
        key=lambda one: one[1] or 0.0,
    )
    process = figures["stages_ms"]["process"]["p50"] or 0.0
    if lately.dropped:
        cause = max(lately.drops, key=lambda one: lately.drops[one])
        lost = f"{lately.dropped} of {max(lately.frames_in, lately.dropped)} frames dropped"
        if (took or 0.0) > budget:
            return {"text": f"{stage} {took:.0f} ms > {budget:.0f} ms at {fps:.0f} fps: {lost}", "good": False}
        return {"text": f"{lost} ({cause})", "good": False}
    if process > budget:
        return {"text": f"no frame dropped lately, though process took {process:.0f} of {budget:.0f} ms", "good": True}
    return {"text": f"keeps up: process {process:.0f} of {budget:.0f} ms at {fps:.0f} fps", "good": True}
