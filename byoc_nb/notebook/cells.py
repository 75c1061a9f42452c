"""A notebook cell that holds a processor: its text, and how it is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from byoc_nb.errors import ByocError
from byoc_nb.export.freeze import without_main_guard

FIRST_LINE = "# %%byoc\n"  # in place of the magic's line, so that line numbers are those that the user sees


class CellError(ByocError, ValueError):
    """The cell can't be used as a processor's."""


@dataclass(frozen=True)
class Cell:
    """A cell as it was run: `text` without the magic's line, the processor's name and the object itself."""

    text: str
    name: str
    target: Any


def runnable(text: str, transform: Callable[[str], str]) -> str:
    """The cell's text as Python to run; `transform` turns IPython's own syntax into Python.

    The magic's line is a comment in it, and `if __name__ == "__main__":` left out: that block starts a program's own
    server, for which `%byoc serve` stands here.
    """
    return without_main_guard(transform(FIRST_LINE + text))
