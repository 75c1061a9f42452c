"""What is streamed: how it was asked for, also by a name of the notebook, and another source while a stream runs."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from byoc_nb.network.source import Source
from byoc_nb.network.sources.feed import awaited
from byoc_nb.notebook.attaching import Attachment
from byoc_nb.notebook.serving import Serving
from byoc_nb.runtime.backlog import Policy

KINDS = ("testsrc", "webcam")  # of sources that have a word for themselves


@dataclass(frozen=True)
class Playing:
    """What was asked for: a source (see `Source`), and how it is streamed."""

    source: Any = field(default="testsrc", compare=False)  # pictures in memory can't be compared
    size: tuple[int, int] | None = None
    fps: float | None = None
    loop: bool = True
    policy: Policy = "live"

    def open(self) -> Source:
        """The source, which begins when it is played; raises SourceError."""
        return Source(self.source, size=self.size, fps=self.fps, loop=self.loop)

    def same(self, other: Playing | None) -> bool:
        """Whether the other asks for the very same."""
        if other is None or self != other:
            return False
        named = isinstance(self.source, str | os.PathLike) and type(self.source) is type(other.source)
        return self.source is other.source or (named and bool(self.source == other.source))

    async def switch(self, live: Serving | Attachment, source: Any) -> Playing:
        """Stream another source in the same way, on the thread of `live`; raises SourceError, and all is as it was."""
        other = replace(self, source=source)
        video = await awaited(other.open, lambda late: late.join(0.0))
        await live.stream(video, self.policy)
        return other


def named(source: Any, names: Mapping[str, Any]) -> Any:
    """What a name of the notebook stands for, where it is neither a kind of source nor a file."""
    if isinstance(source, str) and source not in KINDS and source in names and not Path(source).exists():
        return names[source]
    return source


def generators(names: Mapping[str, Any]) -> dict[str, Any]:
    """The generators among them by name, each of which can be a source."""
    return {name: one for name, one in list(names.items()) if inspect.isgeneratorfunction(one) and name[:1] != "_"}
