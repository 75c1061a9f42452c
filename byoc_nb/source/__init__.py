"""The notebook's source as a graph: what was run, what a definition needs, what became of a name."""

from byoc_nb.source.cells import CellRun, Event, Notebook, Statement, definition_in
from byoc_nb.source.graph import Missing, Reach, forget, reach
from byoc_nb.source.members import Part, code, fingerprint, parts

__all__ = [
    "CellRun",
    "Event",
    "Missing",
    "Notebook",
    "Part",
    "Reach",
    "Statement",
    "code",
    "definition_in",
    "fingerprint",
    "forget",
    "parts",
    "reach",
]
