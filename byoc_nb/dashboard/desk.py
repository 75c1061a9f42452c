"""What a page asks for and says, beside what it shows: parameters, presets, the source, full pictures, the plot."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Coroutine, Set
from typing import Any

from byoc_nb.dashboard.full import pixel, snapshot
from byoc_nb.dashboard.presets import PresetError, Presets, load, saveable
from byoc_nb.dashboard.sources import WEBCAM, Camera, Playing, Sources, set_playing, state, switched
from byoc_nb.dashboard.subject import Subject
from byoc_nb.dashboard.viewer import Viewer
from byoc_nb.runtime.stats import describe

Answer = dict[str, Any] | bytes | None
Plot = Callable[[], bytes]


class Desk:
    """Belongs to the hub's loop.

    The notebook sets `sources` (None: the source can't be chosen) and `plot`, which gives a PNG that shows the hub's
    `samples` and is called on another thread. `presets` may be used from any thread.
    """

    def __init__(self, subject: Subject, viewers: Set[Viewer]) -> None:
        self.subject, self.viewers = subject, viewers
        self.processor = ""  # the name of it, which presets are kept under
        self.presets = Presets()
        self.sources: Sources | None = None
        self.plot: Plot | None = None
        self.camera = Camera()
        self._plotting = asyncio.Lock()
        self._told: dict[str, Any] = {"presets": {"type": "presets", "presets": {}, "error": ""}}

    def begin(self) -> list[dict[str, Any]]:
        """What a new page is told: the presets as `changed` last found them."""
        return [self._told["presets"], self._source_now()]

    async def changed(self) -> list[dict[str, Any]]:
        """What has changed of the presets and the source since the last call."""
        presets = await asyncio.to_thread(self._presets_now)  # the file's disk may be a slow one
        self.camera.look(self._playing)
        messages = [presets, self._source_now()]
        news = [message for message in messages if self._told.get(message["type"]) != message]
        self._told = {message["type"]: message for message in messages}
        return news

    def answer(self, viewer: Viewer, message: dict[str, Any]) -> Coroutine[Any, Any, Answer] | None:
        """The work that a message asks for; None where it is no message."""
        match message:
            case {"type": "change", "number": int(number), "changes": dict(changes)}:
                return self.subject.controls.change(number, changes)
            case {"type": "preset", "number": int(number), "do": str(what), "name": str(name)}:
                return self._preset(number, what, name)
            case {"type": "switch", "number": int(number), "spec": str(spec)}:
                return self._switch(viewer, number, spec)
            case {"type": "set source", "number": int(number), "name": str(name), "value": int() | float() as value}:
                return self._set(number, name, value)
            case {"type": "pixel", "at": int() | float() as at, "x": int() | float() as x, "y": int() | float() as y}:
                return self._pixel(viewer, at, min(1.0, max(0.0, x)), min(1.0, max(0.0, y)))
            case {"type": "snapshot", "at": int() | float() as at}:
                return self._snapshot(viewer, at)
            case {"type": "plot"}:
                return self._plot()
        return None

    @property
    def _playing(self) -> Playing | None:
        return self.sources.current() if self.sources else None

    def _source_now(self) -> dict[str, Any]:
        return state(self.sources) | {"filmed": self.camera.films}

    def film(self, viewer: Viewer, jpeg: bytes) -> None:
        """A picture of a page's camera."""
        self.camera.take(viewer, jpeg, self._playing)

    async def _preset(self, number: int, what: str, name: str) -> Answer:
        answer: dict[str, Any] = {"type": "preset", "number": number, "error": "", "errors": {}}
        try:
            match what:
                case "save":
                    values = saveable(self.subject.controls)
                    await asyncio.to_thread(self.presets.save, self.processor, name, values)
                case "delete":
                    await asyncio.to_thread(self.presets.delete, self.processor, name)
                case "load":
                    values = await asyncio.to_thread(self.presets.get, self.processor, name)
                    answer["errors"] = await load(self.subject.controls, values)
                case _:
                    answer["error"] = f"a preset can't be {what!r}"
        except PresetError as error:
            answer["error"] = error.one_line()
        return answer

    def _presets_now(self) -> dict[str, Any]:
        try:
            return {"type": "presets", "presets": self.presets.of(self.processor), "error": ""}
        except PresetError as error:
            return {"type": "presets", "presets": {}, "error": error.one_line()}

    async def _switch(self, viewer: Viewer, number: int, spec: str) -> Answer:
        error = ""
        if spec != WEBCAM or not _is_webcam(self._playing):  # else this page's camera takes over from another one's
            error = await switched(self.sources, spec)
        if not error and _is_webcam(self._playing) and viewer in self.viewers:
            self.camera.give_to(viewer)
        return self._source_now() | {"type": "switched", "number": number, "error": error}

    async def _set(self, number: int, name: str, value: float) -> Answer:
        error = set_playing(self._playing, name, value)
        return self._source_now() | {"type": "switched", "number": number, "error": error}

    async def _pixel(self, viewer: Viewer, at: float, x: float, y: float) -> Answer:
        pair = viewer.shown(at)
        return {"type": "pixel", "places": []} if pair is None else await asyncio.to_thread(pixel, pair, x, y)

    async def _snapshot(self, viewer: Viewer, at: float) -> Answer:
        pair = viewer.shown(at) or self.subject.newest
        return None if pair is None else await asyncio.to_thread(snapshot, pair)

    async def _plot(self) -> Answer:
        if self.plot is None:
            return {"type": "plot", "error": "there is nothing to plot with", "png": ""}
        async with self._plotting:
            try:
                png = await asyncio.to_thread(self.plot)
            except Exception as error:
                return {"type": "plot", "error": describe(error), "png": ""}
        return {"type": "plot", "error": "", "png": base64.b64encode(png).decode()}


def _is_webcam(playing: Playing | None) -> bool:
    return playing is not None and playing.kind == WEBCAM
