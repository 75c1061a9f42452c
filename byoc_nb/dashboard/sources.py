"""What is streamed, as a dashboard changes it: another source, another place in it, its pace; and a page's camera.

The pictures of a camera come from the page that chose it, until the source is another one, the page goes, or another
page chooses the camera.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from byoc_nb.dashboard.viewer import Viewer
from byoc_nb.errors import ByocError
from byoc_nb.runtime.stats import describe

WEBCAM = "webcam"
CAMERA_BYTES = 1 << 20  # of a camera's picture, as JPEG


class Playing(Protocol):
    """A source that is streamed; its methods return at once."""

    speed: float  # 1 is the video's own
    loop: bool

    @property
    def kind(self) -> str:
        """Such as "file", "generator", "url" or "webcam"."""

    def describe(self) -> dict[str, Any]:
        """JSON-able: `kind`, `spec` (its name for people), `position` and `duration` (seconds or None), `seekable`
        (whether `seek` and `speed` mean something), `speed`, `loop`, and `error` (why it ended, or None)."""

    def seek(self, seconds: float) -> None:
        """Go on from there."""

    def push(self, jpeg: bytes) -> bool:
        """The next picture of a webcam; False if it is refused."""


@dataclass(frozen=True)
class Sources:
    """What the notebook gives a dashboard to choose a source with; all of it is called on the hub's loop."""

    current: Callable[[], Playing | None]  # what is streamed
    switch: Callable[[str], Awaitable[None]]  # stream what this names, from now on; raises ByocError, nothing changed
    generators: Callable[[], Sequence[str]]  # the names of sources that the user's code makes


class Camera:
    """Whose camera is the source."""

    def __init__(self) -> None:
        self._owner: Viewer | None = None

    @property
    def films(self) -> bool:
        """Whether a page does."""
        return self._owner is not None

    def look(self, playing: Playing | None) -> None:
        """The source may be another one."""
        if self._owner is not None and (playing is None or playing.kind != WEBCAM):
            self.give_to(None)

    def give_to(self, viewer: Viewer | None) -> None:
        """From now on this page films, no other."""
        if self._owner is not None and self._owner is not viewer:
            self._owner.say({"type": "camera", "films": False})
        if viewer is not None:
            viewer.say({"type": "camera", "films": True})
        self._owner = viewer

    def left(self, viewer: Viewer) -> None:
        """The page has gone."""
        if viewer is self._owner:
            self._owner = None

    def take(self, viewer: Viewer, jpeg: bytes, playing: Playing | None) -> None:
        """A picture from a page, which is told that the next one may come."""
        self.look(playing)
        if viewer is self._owner and playing is not None:
            playing.push(jpeg)
            viewer.say({"type": "filmed"})


def state(sources: Sources | None) -> dict[str, Any]:
    """The message `source`: `source` (None where nothing is streamed) and the `generators` there are; `source` is
    left out where it can't be chosen."""
    if sources is None:
        return {"type": "source"}
    playing = sources.current()
    found = None if playing is None else playing.describe()
    return {"type": "source", "source": found, "generators": list(sources.generators())}


async def switched(sources: Sources | None, spec: str) -> str:
    """Switch; why that was not possible, else an empty string."""
    if sources is None:
        return "the source of this stream can't be chosen here"
    try:
        await sources.switch(spec)
    except ByocError as error:
        return error.one_line()
    except Exception as error:
        return describe(error)
    return ""


def set_playing(playing: Playing | None, name: str, value: Any) -> str:
    """Set `position`, `speed` or `loop`; why that was not possible, else an empty string."""
    if playing is None:
        return "nothing is streamed"
    try:
        if name == "position":
            playing.seek(float(value))
        elif name == "speed":
            playing.speed = float(value)
        elif name == "loop":
            playing.loop = bool(value)
        else:
            return f"a source has no {name}"
    except ByocError as error:
        return error.one_line()
    except Exception as error:
        return describe(error)
    return ""
