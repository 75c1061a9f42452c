"""The notebook as it was run: every top-level statement of every cell, in the order of execution.

A cell that was run twice is there twice; what a name means at a moment is what the statements before that moment made
of it. `Notebook.history` tells that, name by name, as events: a statement bound the name, bound it perhaps (in a
branch), changed its value (see `changes`), deleted it; or something other than a cell's text set or deleted it, which
comparing the namespaces after each cell reveals.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from byoc_nb.source.changes import alias, changes
from byoc_nb.source.names import Names, names
from byoc_nb.source.text import parse

NOTEBOOK_NAMES = frozenset({"In", "Out", "_", "__", "___", "get_ipython", "exit", "quit", "open", "display"})
_IPYTHONS = re.compile(
    r"_(\d+|i+|i\d+|[iod]h)|__(name|doc|package|loader|spec|builtins?|file|annotations|session|vsc\w+)__|"
    + "|".join(sorted(NOTEBOOK_NAMES))
)


@dataclass(frozen=True, eq=False)
class CellRun:
    """One execution of a cell: its number in brackets and its text as Python, with the lines that the user sees."""

    number: int
    text: str
    tree: ast.Module
    future: frozenset[str] = frozenset()  # `from __future__ import` of these is in force, as IPython keeps it
    statements: list[Statement] = field(default_factory=list)

    @cached_property
    def lines(self) -> list[str]:
        """The text's lines as the parser counts them; splitlines() knows other line ends too."""
        return re.split("\r\n|\r|\n", self.text)


@dataclass(frozen=True, eq=False)
class Statement:
    """A top-level statement that was run: a definition where it binds names. `index` counts them all."""

    cell: CellRun
    node: ast.stmt
    index: int
    names: Names
    changes: frozenset[str]

    @property
    def line(self) -> int:
        """Its first line in the cell, decorators included."""
        decorators: list[ast.expr] = getattr(self.node, "decorator_list", [])
        return min([self.node.lineno, *(decorator.lineno for decorator in decorators)])

    @property
    def end(self) -> int:
        """Its last line in the cell."""
        return self.node.end_lineno or self.node.lineno

    @property
    def first(self) -> int:
        """Its first line in the cell with the comments directly above it."""
        line = self.line
        taken = max((node.end_lineno or 0 for node in self.cell.tree.body if node.lineno < line), default=0)
        while line - 1 > taken and self.cell.lines[line - 2].startswith("#"):
            line -= 1
        return line

    @property
    def text(self) -> str:
        """Its text with the comments directly above it and behind it."""
        start, end = self.node.col_offset, self.node.end_col_offset
        lines = self.cell.lines[self.first - 1 : self.end]
        if not lines[-1].encode()[end:].decode().lstrip("; ").startswith("#"):
            lines[-1] = lines[-1].encode()[:end].decode()
        if start:  # another statement stands before it on its line
            lines = lines[self.line - self.first :]
            lines[0] = lines[0].encode()[start:].decode()
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<[{self.cell.number}]:{self.line} {ast.unparse(self.node).splitlines()[0]}>"


Kind = Literal["bound", "perhaps bound", "changed", "deleted", "set elsewhere", "deleted elsewhere"]


@dataclass(frozen=True)
class Event:
    """What happened to a name, before the statement with the index `before` ran."""

    kind: Kind
    before: int
    statement: Statement | None = None  # None for what happened elsewhere


class Notebook:
    """The record of a kernel's cells. `ran` adds one; `graph.forget` takes away what nothing can need any more."""

    def __init__(self) -> None:
        self.cells: list[CellRun] = []
        self.statements: list[Statement] = []
        self._count = 0  # of all statements that ever ran
        self._future: set[str] = set()
        self._events: dict[str, list[Event]] = {}
        self._aliases: dict[str, str] = {}
        self._set_by_calls: set[str] = set()  # through `global`, whenever somebody calls
        self._seen: dict[str, int] | None = None  # names and identities after the last cell

    def ran(
        self,
        text: str,
        number: int,
        *,
        shown: bool = False,
        failed_line: int = 0,
        namespace: Mapping[str, Any] | None = None,
    ) -> CellRun | None:
        """A cell was run; None if its text is no Python, for then nothing of it was.

        `shown`: the notebook showed the value of its last expression. `failed_line`: where it raised; what comes
        before ran. `namespace`: the notebook's, as the cell left it.
        """
        try:
            tree = parse(text)
        except (SyntaxError, ValueError):
            return None
        self._future |= {
            alias.name
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and node.module == "__future__"
            for alias in node.names
        }
        cell = CellRun(number, text, tree, frozenset(self._future))
        self.cells.append(cell)
        for node in tree.body:
            if failed_line and (node.end_lineno or node.lineno) >= failed_line:
                break
            self._add(cell, node, shown=shown and node is tree.body[-1])
        if namespace is not None:
            self.look(namespace, cell)
        return cell

    def look(self, namespace: Mapping[str, Any], cell: CellRun | None = None) -> None:
        """Compare the namespace with what it was after the last cell and note what no text explains.

        `cell` is the one that ran meanwhile, if any did.
        """
        now = {name: id(value) for name, value in namespace.items() if not _IPYTHONS.fullmatch(name)}
        before, self._seen = self._seen, now
        explained, gone, bound = set(self._set_by_calls), set[str](), set[str]()
        for statement in cell.statements if cell else ():
            explained |= statement.names.binds
            gone |= statement.names.deletes
            bound |= statement.names.surely
        if before is None:  # the first look: all that is there is explained, what isn't there but was bound is not
            explained |= now.keys()
            bound |= {name for name, events in self._events.items() if events[-1].kind == "bound"}
            before = {}
        for name in now.keys() - explained:
            if before.get(name) != now[name]:
                self._note(name, "set elsewhere")
        for name in (before.keys() | bound) - namespace.keys() - gone:
            self._note(name, "deleted elsewhere")

    def keep(self, statements: Collection[Statement]) -> None:
        """Forget every other statement, as if it had never run; what happened elsewhere stays."""
        self.statements = [one for one in self.statements if one in statements]
        cells = {one.cell for one in self.statements}
        self.cells = [cell for cell in self.cells if cell in cells]
        for name, events in self._events.items():
            self._events[name] = [event for event in events if event.statement is None or event.statement in statements]

    def names(self) -> list[str]:
        """Every name that something happened to."""
        return sorted(self._events)

    def history(self, name: str, before: int | None = None) -> Iterator[Event]:
        """What happened to a name until the statement with index `before` ran, the newest first, back to its binding.

        That is: changes and perhaps-bindings, then what surely decided the name. No events: no cell's text knows it.
        """
        for event in reversed(self._events.get(name, [])):
            if before is None or event.before < before:
                yield event
                if event.kind not in ("perhaps bound", "changed"):
                    return

    def changes(self, name: str, after: int, before: int | None) -> Iterator[Statement]:
        """The statements that changed the value which the name had at the moment `after`, until `before`."""
        for event in self._events.get(name, []):
            if event.before >= after and (before is None or event.before < before):
                if event.kind not in ("perhaps bound", "changed"):
                    return
                if event.statement is not None and event.kind == "changed":
                    yield event.statement

    def definition(self, name: str) -> Statement | None:
        """The statement that gave the name the value that it has now."""
        for event in self.history(name):
            if event.kind != "changed":
                return event.statement if event.kind in ("bound", "perhaps bound") else None
        return None

    def setters(self, name: str) -> list[Statement]:
        """The definitions whose functions set the name through `global` when they are called."""
        if name not in self._set_by_calls:
            return []
        return [statement for statement in self.statements if name in statement.names.sets_global]

    # ---- adding

    def _add(self, cell: CellRun, node: ast.stmt, *, shown: bool) -> None:
        found = names(node, postponed="annotations" in cell.future)
        if not isinstance(node, ast.Delete):
            found.deletes.clear()  # in a branch: `look` sees whether it was taken
        if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
            found.binds = set(star_names(node))
            found.surely = set(found.binds)
        changed = {self._aliases.get(name, name) for name in changes(node, self._node_of, shown=shown)}
        changed -= found.surely - found.now.keys()  # made here, nobody else has it
        statement = Statement(cell, node, self._count, found, frozenset(changed))
        self._count += 1
        cell.statements.append(statement)
        self.statements.append(statement)
        self._set_by_calls |= found.sets_global
        for name in sorted(changed):
            self._note(name, "changed", statement)
        for name in sorted(found.binds):
            adds = name not in found.surely or self._adds_submodule(node, name)
            self._note(name, "perhaps bound" if adds else "bound", statement)
            self._aliases.pop(name, None)
        for name in sorted(found.deletes):
            self._note(name, "deleted", statement)
        if made := alias(node):
            self._aliases[made[0]] = self._aliases.get(made[1], made[1])

    def _adds_submodule(self, node: ast.stmt, name: str) -> bool:
        """Whether it is an `import a.b` after an `import a.c`, which adds to the same `a`."""
        dotted = isinstance(node, ast.Import) and any(
            alias.asname is None and alias.name.startswith(f"{name}.") for alias in node.names
        )
        return dotted and isinstance(self._node_of(name), ast.Import)

    def _note(self, name: str, kind: Kind, statement: Statement | None = None) -> None:
        before = statement.index if statement else self._count - 1
        self._events.setdefault(name, []).append(Event(kind, before, statement))

    def _node_of(self, name: str) -> ast.AST | None:
        statement = self.definition(name)
        return definition_in(statement.node, name) if statement else None


def definition_in(node: ast.AST, name: str) -> ast.AST | None:
    """The function, class or import in a statement that binds the name, also under `if`, `try` and `with`."""
    match node:
        case ast.FunctionDef(name=own) | ast.AsyncFunctionDef(name=own) | ast.ClassDef(name=own):
            return node if own == name else None
        case ast.Import() | ast.ImportFrom():
            bound = {alias.asname or alias.name.split(".")[0] for alias in node.names}
            return node if name in bound else None
        case ast.If() | ast.Try() | ast.With() | ast.ExceptHandler():
            found = (definition_in(child, name) for child in ast.iter_child_nodes(node))
            return next((one for one in found if one is not None), None)
    return None


def star_names(node: ast.ImportFrom) -> list[str]:
    """What `from module import *` bound, as far as the module is still loaded."""
    module = sys.modules.get(node.module or "")
    public = [name for name in vars(module) if not name.startswith("_")] if module else []
    return list(getattr(module, "__all__", public))
