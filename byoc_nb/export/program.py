"""The program-to-be: what of a notebook goes along with a processor, before it becomes text.

`resolve` follows every name from the processor's cell through the cells as they were run (`byoc_nb.source`). A name
that no text gives is an import that can be repeated, or an array that is kept as a value, or a finding.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from byoc_nb.export import imports as imports_
from byoc_nb.export import unresolved
from byoc_nb.export.constants import is_kept, is_model
from byoc_nb.export.findings import Finding
from byoc_nb.export.local import LocalCode, local_code
from byoc_nb.export.running import why_not_again
from byoc_nb.source import CellRun, Notebook, Reach, Statement, definition_in, reach
from byoc_nb.source.text import parse


@dataclass(frozen=True)
class Piece:
    """A top-level statement and where it stands: in a cell, or in a file beside the notebook."""

    node: ast.stmt
    lines: Sequence[str]
    cell: int = 0
    file: str = ""
    statement: Statement | None = None


@dataclass
class Program:
    """What was resolved; `findings` holds what no text gives, `imports` what goes in front of the `statements`."""

    notebook: Notebook
    name: str
    root: CellRun
    namespace: Mapping[str, Any]
    reached: list[Statement]  # everything, in the order in which it ran
    statements: list[Statement]  # in the order of the program, without what became `imports`
    imports: list[str]
    constants: dict[str, Any]
    local: LocalCode
    findings: list[Finding]

    def pieces(self) -> Iterator[Piece]:
        """All code that leaves the notebook."""
        for one in self.reached:
            yield Piece(one.node, one.cell.lines, one.cell.number, statement=one)
        for file, text in self.local.texts.items():
            lines = text.split("\n")
            yield from (Piece(node, lines, file=file) for node in parse(text).body)

    def definition(self, name: str) -> ast.AST | None:
        """The function or class behind a name."""
        statement = self.notebook.definition(name)
        return definition_in(statement.node, name) if statement else None

    def lines(self, finding: Finding) -> Sequence[str]:
        """The lines of the cell or the file that a finding is about."""
        if finding.file:
            return self.local.texts.get(finding.file, "").split("\n")
        cells = [one.cell for one in self.reached] + [self.root]
        return next((cell.lines for cell in cells if cell.number == finding.cell), ())


def resolve(notebook: Notebook, name: str, namespace: Mapping[str, Any], *, max_constant: int) -> Program | Finding:
    """The program around the processor `name`, whose cell is the last one that bound it; a finding if none did.

    `max_constant`: how many bytes an array may have that is kept as a value.
    """
    defined = notebook.definition(name)
    if defined is None:
        return Finding("undefined", "error", f"no cell's text defines {name}", "run its cell again, with %%byoc")
    root = defined.cell
    constants: dict[str, Any] = {}
    while True:
        found = reach(notebook, [*root.statements, name], stop=constants.__contains__)
        more = {one: namespace[one] for one in sorted(found.uses - constants.keys()) if is_kept(namespace.get(one))}
        more = {one: value for one, value in more.items() if _only_as_value(notebook, one, namespace, root)}
        if not more:
            break
        constants |= more
    constants = {one: value for one, value in constants.items() if one in found.uses}
    nodes = [one.node for one in found.statements]
    repeated, findings = unresolved.missing(found, namespace, nodes)
    in_front, hoisted = _hoisted(found, root, nodes)
    imported = imports_.merged([*repeated, *in_front])
    carried = [one.node for one in found.statements if one not in hoisted]
    findings += unresolved.contradicted(notebook, found, namespace, nodes)
    local = local_code(imports_.modules([*carried, *ast.parse("\n".join(imported)).body]))
    findings += [
        Finding("broken-module", "error", f"it can't be read ({why})", "mend it", file=file)
        for file, why in local.broken.items()
    ]
    findings += unresolved.constants(notebook, found, constants, max_constant)
    return Program(
        notebook,
        name,
        root,
        namespace,
        found.statements,
        [one for one in found.ordered(notebook, root) if one not in hoisted],
        imported,
        constants,
        local,
        findings,
    )


def _only_as_value(notebook: Notebook, name: str, namespace: Mapping[str, Any], root: CellRun) -> bool:
    """Whether running the text of an array again would not give it, or there is no text.

    What comes out of a model is what training has made of it.
    """
    defined = notebook.definition(name)
    if defined is None or defined.cell is root:
        return defined is None  # the processor's own cell goes as it is
    found = reach(notebook, [name])
    without_text = unresolved.missing(found, namespace, [one.node for one in found.statements])[1]
    trained = any(is_model(namespace.get(one)) for statement in found.statements for one in statement.names.binds)
    return bool(without_text) or trained or why_not_again(notebook, found.statements) != ""


# ---- imports


def _hoisted(found: Reach, root: CellRun, nodes: Collection[ast.AST]) -> tuple[list[str], set[Statement]]:
    """The import lines that go in front, and the statements that they stand for.

    Those of other cells, where nothing else in the program binds their names.
    """
    imports = [one for one in found.statements if isinstance(one.node, ast.Import | ast.ImportFrom)]
    bound: dict[str, list[list[str]]] = {}
    for one in found.statements:
        for name in one.names.binds & found.uses:
            bound.setdefault(name, []).append(imports_.narrowed(one, {name}, nodes) if one in imports else [])
    lines, hoisted = list[str](), set[Statement]()
    for one in imports:
        names = one.names.binds & found.uses
        dotted = isinstance(one.node, ast.Import)
        alone = all(all(made and (dotted or made == bound[name][0]) for made in bound[name]) for name in names)
        if one.cell is not root and alone:
            hoisted.add(one)
            lines += imports_.narrowed(one, names, nodes)
    return lines, hoisted
