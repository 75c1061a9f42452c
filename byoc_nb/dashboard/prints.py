"""What a processor prints in its frames goes to the dashboard's log, and not under whatever cell runs at the time.

A kernel's `sys.stdout` can't tell whose cell a frame belongs to. What a processor prints while it is loaded stays under
the cell that loads it: then it isn't the current one yet.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

LONGEST = 4000  # characters that wait for the end of their line


class Prints:
    """Between `start` and `stop`, `sys.stdout` and `sys.stderr` hand over what is written in frames.

    `in_frame()` says whether it is called in one; `take(line, error)` gets every full line there. A stream that is put
    in place of `sys.stdout` for a while, as `%%capture` does, is not touched.
    """

    def __init__(self, in_frame: Callable[[], bool], take: Callable[[str, bool], None]) -> None:
        self._in_frame, self._take = in_frame, take
        self._streams: dict[str, _Stream] = {}

    def start(self) -> None:
        """From now on; again, in front of a stream that has taken the place of ours."""
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is self._streams.get(name):
                continue
            while type(stream) is _Stream:  # one that was left behind
                stream = stream.shown
            take = functools.partial(self._take_of, name == "stderr")
            self._streams[name] = _Stream(stream, self._in_frame, take)
            setattr(sys, name, self._streams[name])

    def stop(self) -> None:
        """As before `start`."""
        for name, stream in self._streams.items():
            if getattr(sys, name) is stream:
                setattr(sys, name, stream.shown)
        self._streams.clear()

    def _take_of(self, error: bool, line: str) -> None:
        self._take(line, error)


class _Stream:
    """A stream that can't be told from `shown` but by what is written in frames.

    It stands before the stream, since IPython sets the stream's own `write` anew at the end of every cell.
    """

    def __init__(self, shown: Any, in_frame: Callable[[], bool], take: Callable[[str], None]) -> None:
        self.shown, self._in_frame, self._take = shown, in_frame, take
        self._waiting = threading.local()

    def __getattr__(self, name: str) -> Any:
        if name == "shown":  # in a copy that is being made
            raise AttributeError(name)
        return getattr(self.shown, name)

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # what a kernel asks `isinstance` of
        return type(self.shown)

    def write(self, text: str) -> Any:
        if not isinstance(text, str) or not self._in_frame():
            return self.shown.write(text)
        *lines, rest = (getattr(self._waiting, "text", "") + text).split("\n")
        for line in lines:
            self._take(line.rpartition("\r")[2] or line.strip("\r"))  # of a progress bar, what it shows
        self._waiting.text = rest.rpartition("\r")[2][-LONGEST:]
        return len(text)

    def writelines(self, texts: Iterable[str]) -> None:
        for text in texts:
            self.write(text)
