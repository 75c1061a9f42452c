"""What of a notebook a processor needs: its run history, with everything left out that it doesn't depend on.

A statement needs what the names that it reads were when it ran, and its functions need what their names are when they
are called: now, or whenever a later statement calls them. `reach` follows both through `Notebook.history`, so that

- a name that was set again is what it is now for functions, and what it was then for a base class or a default;
- what changed a value (`table["x"] = 1`, see `changes`) comes with it, `x += 1` brings the earlier `x` too;
- cycles need nothing special: every pair of a statement and a moment is looked at once.

Statements in the order in which they ran always work; `Reach.ordered` moves the root cell behind everything that may
stand before it.
"""

from __future__ import annotations

import ast
import heapq
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from byoc_nb.source.cells import CellRun, Kind, Notebook, Statement
from byoc_nb.source.names import Names

GIVEN = frozenset({"__name__", "__doc__", "__file__", "__annotations__", "__builtins__", "__debug__"})
Moment = int | None  # the index of the statement that was about to run; None is now
_END: Moment = None


Why = Kind | Literal["unknown"]
Place = Literal["code", "field", "hint"]


@dataclass(frozen=True)
class Missing:
    """A name that no cell's text gives, builtins included: where it is read, and what became of it.

    `why`: "unknown" to every cell, or the event that took it away. `place`: read by code; in the annotation of a
    class's field, which is looked up, though not always; or in another annotation, which is only a hint for readers.
    """

    name: str
    reader: Statement
    line: int
    why: Why
    place: Place


@dataclass
class Reach:
    """What was found: `statements` in the order in which they ran, and the names that no text gives."""

    statements: list[Statement]
    missing: list[Missing]
    uses: set[str]  # every name that is read, imports' and builtins' included

    def ordered(self, notebook: Notebook, root: CellRun | None = None) -> list[Statement]:
        """The statements in an order that does the same, with those of the cell `root` together and last if possible.

        Two statements keep their order if one binds, changes or deletes what the other one does, or needs when it runs.
        """
        blocks: list[list[Statement]] = []
        for statement in self.statements:
            if blocks and statement.cell is root and blocks[-1][0].cell is root:
                blocks[-1].append(statement)
            else:
                blocks.append([statement])
        written = [set[str]().union(*(_written(one) for one in block)) for block in blocks]
        needed = [set[str]().union(*(_needed(notebook, one) for one in block)) for block in blocks]
        after: list[list[int]] = [[] for _ in blocks]
        waiting = [0] * len(blocks)
        for late in range(len(blocks)):
            for early in range(late):
                if written[early] & (needed[late] | written[late]) or needed[early] & written[late]:
                    after[early].append(late)
                    waiting[late] += 1
        ready = [(blocks[i][0].cell is root, i) for i in range(len(blocks)) if not waiting[i]]
        heapq.heapify(ready)
        result: list[Statement] = []
        while ready:
            _, i = heapq.heappop(ready)
            result += blocks[i]
            for late in after[i]:
                waiting[late] -= 1
                if not waiting[late]:
                    heapq.heappush(ready, (blocks[late][0].cell is root, late))
        return result


def reach(
    notebook: Notebook,
    roots: Iterable[Statement | str],
    *,
    stop: Callable[[str], bool] = lambda name: False,
) -> Reach:
    """All that the roots need: statements, or names as they are now.

    `stop` says of a name that it comes from somewhere else; nothing is looked up for it.
    """
    walk = _walked(notebook, roots, stop)
    taken = sorted(walk.taken, key=lambda statement: statement.index)
    return Reach(_without_repeats(notebook, taken, walk.roots), walk.missing, walk.uses)


def _walked(notebook: Notebook, roots: Iterable[Statement | str], stop: Callable[[str], bool]) -> _Walk:
    walk = _Walk(notebook, stop)
    for root in roots:
        if isinstance(root, str):
            walk.name(root, _END, None, 0)
        else:
            walk.roots.add(root)
            walk.statement(root, _END)
    walk.run()
    while walk.calls_that_set():
        walk.run()
    return walk


def forget(notebook: Notebook) -> None:
    """Take away what no name that is there now can need, such as the old versions of a cell that was run often."""
    setters = {one for one in notebook.statements if one.names.sets_global}
    callers = [one for one in notebook.statements if setters and setters & called(notebook, one)]
    walk = _walked(notebook, [*notebook.names(), *callers], lambda name: False)
    last = notebook.cells[-1].statements if notebook.cells else []
    notebook.keep({*walk.taken, *walk.deletions, *last})


class _Walk:
    def __init__(self, notebook: Notebook, stop: Callable[[str], bool]) -> None:
        self._notebook, self._stop = notebook, stop
        self._done: set[tuple[Statement, Moment]] = set()
        self._waiting: list[tuple[Statement, Moment]] = []
        self.taken: set[Statement] = set()
        self.roots: set[Statement] = set()
        self.deletions: set[Statement] = set()  # that decided a name, and aren't carried
        self.uses: set[str] = set()
        self.missing: list[Missing] = []

    def statement(self, statement: Statement, at: Moment) -> None:
        """The statement is needed, and at the moment `at` its functions may be called."""
        holds_functions = statement.names.later or statement.names.fields or statement.names.hints
        if (statement, at) in self._done or (not holds_functions and (statement, _END) in self._done):
            return
        self._done.add((statement, at))
        self._waiting.append((statement, at))

    def run(self) -> None:
        """Follow everything that is waiting."""
        while self._waiting:
            statement, at = self._waiting.pop()
            self.taken.add(statement)
            self.names(statement.names, statement, at)

    def names(self, names: Names, reader: Statement, at: Moment) -> None:
        """What these names of the reader need."""
        for name, line in names.now.items():
            self.name(name, reader.index, reader, line, still=at)
        for name, line in names.later.items():
            self.name(name, at, reader, line)
        for name, line in names.fields.items():
            self.name(name, at, reader, line, "field")
        for name, line in names.hints.items():
            self.name(name, at, reader, line, "hint")

    def name(
        self, name: str, at: Moment, reader: Statement | None, line: int, place: Place = "code", *, still: Moment = 0
    ) -> None:
        """What gave the name its value at the moment `at`, and what changed it until then.

        `still`: the reader keeps that value until this later moment, so it may change and be called until then.
        """
        self.uses.add(name)
        if self._stop(name):
            return
        why: Why | None = "unknown"
        for event in self._notebook.history(name, at):
            if event.statement is not None and event.kind != "deleted":
                if still != 0:
                    self.statement(event.statement, still)
                self.statement(event.statement, at)
                why = None if event.kind != "changed" else why
            else:
                why = event.kind if why else None
                self.deletions |= {event.statement} if event.statement else set()
        if still != 0 and at is not None:
            for statement in self._notebook.changes(name, at, still):
                self.statement(statement, still)
        if why is None or reader is None or name in GIVEN or (why == "unknown" and name in reader.names.binds):
            return
        if at is _END or name in reader.names.now:  # otherwise it wasn't called then
            missing = Missing(name, reader, line, why, place)
            if missing not in self.missing:
                self.missing.append(missing)

    # ---- names that functions set through `global`

    def calls_that_set(self) -> bool:
        """Take the statements that set a needed name by calling a function which isn't needed itself.

        A function that is needed itself sets the name while it works, as it will after the export; the others were
        called to set it up.
        """
        for name in sorted(self.uses):
            setters = set(self._notebook.setters(name)) - self.taken
            if not setters or self._stop(name):
                continue
            for statement in self._notebook.statements:
                if statement not in self.taken and setters & called(self._notebook, statement):
                    self.statement(statement, _END)
        given = {name for one in self.taken for name in one.names.sets_global}
        self.missing = [one for one in self.missing if one.why != "unknown" or one.name not in given]
        return bool(self._waiting)


def called(notebook: Notebook, statement: Statement) -> set[Statement]:
    """The definitions that a statement may have called when it ran: by the names that it reads and that they do."""
    found: set[Statement] = set()
    waiting = list(statement.names.now)
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for event in notebook.history(name, statement.index):
            if event.statement is not None:
                found.add(event.statement)
                waiting += event.statement.names.later
    return found


def _without_repeats(notebook: Notebook, statements: list[Statement], roots: Collection[Statement]) -> list[Statement]:
    """Without definitions that were run again and made the same again: the later text takes the earlier one's place."""
    stands_for: dict[Statement, Statement] = {}  # each to the first that made what it makes

    def decided(name: str, before: int) -> Statement | None:
        event = next(iter(notebook.history(name, before)), None)
        return stands_for.get(event.statement, event.statement) if event and event.statement else None

    def repeats(later: Statement, early: Statement) -> bool:
        needed = _needed(notebook, later)
        return (
            ast.dump(later.node) == ast.dump(early.node)
            and all(decided(name, later.index) is early for name in later.names.binds)
            and all(decided(name, later.index) is decided(name, early.index) for name in needed)
            and not any(notebook.setters(name) for name in needed | later.names.binds)
        )

    firsts: dict[tuple[str, ...], list[Statement]] = {}
    latest: dict[Statement, Statement] = {}
    for one in statements:
        if one in roots or one.changes or not _makes_the_same(one.node):
            continue
        candidates = firsts.setdefault(tuple(sorted(one.names.binds)), [])
        early = next((other for other in candidates if repeats(one, other)), None)
        if early is None:
            candidates.append(one)
        else:
            stands_for[one] = early
            latest[early] = replace(one, index=early.index)
    return [latest.get(one, one) for one in statements if one not in stands_for]


def _makes_the_same(node: ast.stmt) -> bool:
    """Whether running a definition twice gives equal things: functions, classes, imports, plain values."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return not node.decorator_list
        case ast.Assign(value=value) | ast.AnnAssign(value=ast.expr() as value):
            return isinstance(value, ast.Constant)
    return isinstance(node, ast.Import | ast.ImportFrom)


def _written(statement: Statement) -> set[str]:
    return statement.names.binds | statement.changes | statement.names.deletes


def _needed(notebook: Notebook, statement: Statement) -> set[str]:
    """The names that a statement needs when it runs, those of functions that it may call included."""
    names = set(statement.names.now)
    for definition in called(notebook, statement):
        names |= set(definition.names.later)
    return names
