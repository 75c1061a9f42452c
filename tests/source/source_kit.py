"""Notebooks from text, for the tests of the source graph."""

from __future__ import annotations

import textwrap

from byoc_nb.source import Notebook


def notebook(*cells: str) -> Notebook:
    """A notebook whose cells [1], [2], … were run in this order."""
    made = Notebook()
    for number, text in enumerate(cells, 1):
        assert made.ran(textwrap.dedent(text), number) is not None
    return made
