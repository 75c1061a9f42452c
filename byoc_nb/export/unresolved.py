"""What stands in the way of a program: names that no text gives, and values that aren't what their text says."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from byoc_nb.export import imports as imports_
from byoc_nb.export.constants import is_on_gpu, size_of
from byoc_nb.export.findings import Finding
from byoc_nb.export.live import contradicts
from byoc_nb.source import Missing, Notebook, Reach, Statement
from byoc_nb.source.cells import NOTEBOOK_NAMES

MEGABYTE = 1_000_000
_GONE = ("deleted", "deleted elsewhere")
_ONLY_THERE = NOTEBOOK_NAMES - {"open"}


def constants(notebook: Notebook, found: Reach, kept: Mapping[str, Any], max_constant: int) -> Iterator[Finding]:
    for name, value in kept.items():
        reader, line = _reader(found.statements, name)
        if size_of(value) > max_constant:
            yield Finding(
                "constant-size",
                "error",
                f"{name} has {size_of(value) / MEGABYTE:.0f} MB and no text makes it again",
                f"--max-constant {-(-size_of(value) // MEGABYTE)}MB carries it, or load it from a file in load_model",
                line,
                reader.cell.number,
            )
        elif is_on_gpu(value):
            yield Finding(
                "gpu-at-import",
                "error",
                f"{name} lies on the GPU",
                "keep it on the CPU (.cpu()) and move it in load_model",
                line,
                reader.cell.number,
            )
        now = next(iter(notebook.history(name)), None)
        for one in found.statements:
            if name in one.names.now and next(iter(notebook.history(name, one.index)), None) != now:
                yield Finding(
                    "irreproducible",
                    "error",
                    f"{name} was another value when this ran",
                    "run the cell again",
                    one.names.now[name],
                    one.cell.number,
                )


def contradicted(
    notebook: Notebook, found: Reach, namespace: Mapping[str, Any], nodes: Collection[ast.AST]
) -> Iterator[Finding]:
    """Names whose live values aren't what their text says."""
    set_by_calls = {name for one in found.statements for name in one.names.sets_global}
    for name in sorted(found.uses):
        statement = notebook.definition(name)
        if statement is None or statement.node not in nodes or name in set_by_calls:
            continue
        events = list(notebook.history(name))
        if [event.kind for event in events] != ["bound"]:
            continue
        if name in namespace and contradicts(statement, name, namespace[name], nodes):
            message = f"{name} is not what this line made of it: something other than a cell's text set it"
            yield Finding(
                "set-elsewhere", "error", message, "run this cell again", statement.line, statement.cell.number
            )


def missing(found: Reach, namespace: Mapping[str, Any], nodes: Collection[ast.AST]) -> tuple[list[str], list[Finding]]:
    """The imports for the names that no text gives, and what is to say about the others."""
    lines, findings = list[str](), dict[str, Finding]()
    for one in sorted(found.missing, key=lambda one: (one.reader.index, one.line)):
        builtin = getattr(builtins, one.name, None)
        is_builtin = builtin is not None and one.name not in _ONLY_THERE
        if one.why == "unknown" and is_builtin and not imports_.shadows(one.name, namespace, builtin):
            continue
        known = one.name in namespace and one.name not in _ONLY_THERE and one.why not in _GONE
        importable = imports_.lines_for(one.name, namespace[one.name], nodes) if known else []
        if importable:
            lines += importable
        elif one.name not in findings and (finding := _finding(one, one.name in namespace)):
            findings[one.name] = finding
    return lines, list(findings.values())


def _finding(one: Missing, live: bool) -> Finding | None:
    if one.place == "hint" or (one.place == "field" and not live):
        return None

    def finding(id: str, message: str, fix: str) -> Finding:
        return Finding(id, "error", f"{one.name} {message}", fix, one.line, one.reader.cell.number)

    if one.name in _ONLY_THERE:
        return finding("notebook-only", "exists in a notebook only", "take it out of the processor")
    if one.why in _GONE or (one.why != "unknown" and not live):
        return finding("deleted", "was deleted since", "run the cell that defines it again")
    if not live:
        return finding("undefined", "is not defined", "define it in a cell and run that")
    return finding(
        "set-elsewhere",
        "was set by something other than a cell's text, and no import gives it",
        f"write it in a cell: {one.name} = …",
    )


def _reader(statements: Sequence[Statement], name: str) -> tuple[Statement, int]:
    """Who reads the name first, and where."""
    for one in statements:
        for names in (one.names.now, one.names.later, one.names.fields, one.names.hints):
            if name in names:
                return one, names[name]
    raise KeyError(name)
