"""A notebook cell that holds a processor: its text, and how it is run."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from byoc_nb.errors import ByocError
from byoc_nb.source import Notebook
from byoc_nb.source.text import without_main_guard

_MAGIC = re.compile(r"\s*%%byoc\b[^\n]*\n?")
_TRANSPARENT = re.compile(r"\s*%%(time|capture)\b[^\n]*\n?")  # magics that run their cell as it stands there
FIRST_LINE = "# %%byoc\n"  # in place of the magic's line, so that line numbers are those that the user sees


class CellError(ByocError, ValueError):
    """The cell can't be used as a processor's."""


@dataclass(frozen=True)
class Cell:
    """A processor's cell as it was run, or its file.

    `text` without the magic's line, the processor's name and the object itself; `notebook` and `namespace` are what it
    was run in.
    """

    text: str
    name: str
    target: Any
    notebook: Notebook
    namespace: Mapping[str, Any]


def runnable(text: str, transform: Callable[[str], str]) -> str:
    """The cell's text as Python to run; `transform` turns IPython's own syntax into Python.

    The magic's line is a comment in it, and `if __name__ == "__main__":` left out: that block starts a program's own
    server, for which `%byoc serve` stands here.
    """
    return without_main_guard(transform(FIRST_LINE + text))


def is_processors(raw: str) -> bool:
    """Whether a cell as it was typed begins with `%%byoc`."""
    return _MAGIC.match(raw) is not None


def as_python(raw: str, transform: Callable[[str], str]) -> str:
    """A cell as it was typed, as the Python that IPython made of it, every line where the user sees it."""
    if magic := _MAGIC.match(raw):
        return "\n" * (magic[0].count("\n") - 1) + runnable(raw[magic.end() :], transform)
    magic = _TRANSPARENT.match(raw)
    body = raw[magic.end() :] if magic else raw
    gone = raw[: len(raw) - len(body.lstrip())]  # the transformation takes the blank lines, too
    return "\n" * gone.count("\n") + transform(body)
