"""What the workbench does with takes: record one of the running stream, replay it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Protocol

from byoc_nb.network.record import PendingRecording, Recording, begin, check_target, record
from byoc_nb.notebook.cells import Cell
from byoc_nb.notebook.history import History
from byoc_nb.notebook.serving import Serving
from byoc_nb.replay.player import ReplayError
from byoc_nb.replay.replaying import Replay, replay
from byoc_nb.replay.takes import Take, Version, check_folder
from byoc_nb.replay.taking import record_take


class Live(Protocol):
    """Channels, and the thread that reads them."""

    @property
    def urls(self) -> dict[str, str]: ...

    def submit(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]: ...


def begin_recording(live: Live, path: Path, seconds: float, *, channel: str) -> PendingRecording[Recording]:
    """Begin to record a channel, "input" or "output", into a file; raises RecordError."""
    check_target(path)

    def recording(over: asyncio.Event) -> Coroutine[Any, Any, Recording]:
        return record(live.urls[channel], path, seconds, over=over)

    return begin(live.submit, path, recording)


def begin_take(serving: Serving, history: History, folder: Path, seconds: float) -> PendingRecording[Take]:
    """Begin to record the running stream into a take's folder; raises TakeError or ReplayError."""
    check_folder(folder)
    session, host = serving.server.session, serving.slot.current
    if session is None or session.ended or host is None:
        raise ReplayError("no stream is running that could be recorded", hint="%byoc serve")
    pipeline, processor = session.pipeline, host.processor

    def known(target: Any) -> Version | None:
        version = history.of(target)
        return Version.of(version.name, version.number, version.text) if version else None

    def taking(over: asyncio.Event) -> Coroutine[Any, Any, Take]:
        return record_take(pipeline, processor, serving.urls, folder, seconds, known=known, over=over)

    return begin(serving.submit, folder, taking)


def replay_take(cell: Cell, folder: Path, path: Path | None = None) -> Replay:
    """Replay a take through a new instance of the cell's processor; see `byoc_nb.replay.replaying.replay`."""
    return replay(cell.target, folder, path=path, text=cell.text)
