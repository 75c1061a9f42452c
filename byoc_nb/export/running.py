"""What runs when a frozen program is imported, and why running it again may not give the same."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

from byoc_nb.export.calls import drawn_from, full_name, seeded_by
from byoc_nb.source import Notebook, Statement, definition_in
from byoc_nb.source.scopes import executed

_READS = re.compile(
    r"open|urlopen|read_(csv|json|parquet|text|bytes|pickle|excel|image|file)|imread|fromfile|loadtxt|genfromtxt|"
    r"load_file|safe_open|from_pretrained"
)  # by the last part of the name
_FROM_OUTSIDE = re.compile(
    r"(np|numpy|torch|pickle|json|joblib|yaml)\.load|input|requests\.\w+|httpx\.\w+|get_ipython|time\.\w+"
)


def at_import(notebook: Notebook, statement: Statement) -> Iterator[tuple[ast.AST, int]]:
    """The nodes that run with a statement, with the line that makes them run.

    Into the notebook's functions that it calls by their names, and the `__init__` of its classes.
    """
    seen = set[str]()
    waiting: list[tuple[ast.AST, int]] = [(statement.node, 0)]
    while waiting:
        start, line = waiting.pop(0)
        for node in executed([start]):
            here = line or getattr(node, "lineno", statement.line)
            yield node, here
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)) or node.func.id in seen:
                continue
            seen.add(node.func.id)
            for event in notebook.history(node.func.id, statement.index):
                definition = definition_in(event.statement.node, node.func.id) if event.statement else None
                waiting += [(inner, here) for inner in _bodies(definition)]


def why_not_again(notebook: Notebook, statements: Iterable[Statement]) -> str:
    """Why running these statements again may not give what they gave; an empty string if nothing is seen."""
    seeded = set[str]()
    for statement in statements:
        for node, _ in at_import(notebook, statement):
            if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith):
                return "it awaits"
            if isinstance(node, ast.Call):
                name = full_name(notebook, node)
                seeded.add(seeded_by(name))
                if _FROM_OUTSIDE.fullmatch(name) or _READS.fullmatch(name.rpartition(".")[2]):
                    return f"{name} reads what isn't there any more"
                if (drawn := drawn_from(name, node)) and drawn not in seeded:
                    return f"{name} gives something else every time"
    return ""


def _bodies(definition: ast.AST | None) -> list[ast.stmt]:
    if isinstance(definition, ast.ClassDef):
        makers = ("__init__", "__post_init__", "__new__")
        found = [one for one in definition.body if isinstance(one, ast.FunctionDef) and one.name in makers]
        return [statement for one in found for statement in one.body]
    return definition.body if isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef) else []
