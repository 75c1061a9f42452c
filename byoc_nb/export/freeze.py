"""A notebook to the text of a standalone `processor.py`.

The processor's cell goes as it is, to the letter; from the other cells comes what it needs and no more (see
`byoc_nb.export.program`), each part under the number of its cell. Works from text, never from live objects, but for
arrays that no text makes again. Whatever can't stand alone stops the export with the name, the line and what to do.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from byoc_nb.errors import ByocError
from byoc_nb.export import constants, imports, upstream
from byoc_nb.export.checks import run_checks
from byoc_nb.export.findings import Finding
from byoc_nb.export.opened import OpenedFile
from byoc_nb.export.program import Program, resolve
from byoc_nb.export.timing import opened_files
from byoc_nb.export.upstream import Upstream
from byoc_nb.params import is_secret
from byoc_nb.source import CellRun, Notebook, Statement
from byoc_nb.source.text import parse, without, without_main_guard

MAX_CONSTANT = 50_000_000
_MAGIC_LINE = re.compile(r"# %%byoc[^\n]*\n")  # what stands for the magic's line in a processor's cell


class FreezeError(ByocError, ValueError):
    """The processor can't stand alone. `findings` are all of its errors, `finding` is the first of them."""

    def __init__(self, findings: list[Finding], runtime: str = "byoc_nb") -> None:
        self.findings, self.finding = findings, findings[0]
        command = "%byoc check" if runtime == "byoc_nb" else f"%byoc check --runtime {runtime}"
        place = f"{self.finding.place}: " if self.finding.place else ""
        more = f" ({len(findings) - 1} more, {command} lists them)" if len(findings) > 1 else ""
        super().__init__(f"{place}{self.finding.message}{more}", hint=self.finding.fix)


@dataclass(frozen=True)
class Frozen:
    """The parts of a `processor.py`, and what must lie beside it."""

    name: str
    future: list[str]  # `from __future__` lines, which go in front
    imports: list[str]  # what of other cells' imports is used
    body: str
    modules: frozenset[str]  # top-level packages to install
    uses_torch: bool
    local_modules: dict[str, Path]  # files to copy, by their path in the folder
    constants: dict[str, Any]  # arrays that `byoc_nb.export.constants.write` puts beside it
    params: dict[str, Any]  # values that it starts with instead of the defaults in the text
    opened: list[OpenedFile] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    upstream: Upstream | None = None  # how pytrickle serves it, if that is the runtime


def check(
    notebook: Notebook,
    name: str,
    namespace: Mapping[str, Any],
    *,
    params: Mapping[str, Any] | None = None,
    max_constant: int = MAX_CONSTANT,
    runtime: str = "byoc_nb",
) -> list[Finding]:
    """All that `freeze` would have to say, errors first; nothing is made."""
    program = resolve(notebook, name, namespace, max_constant=max_constant)
    return [program] if isinstance(program, Finding) else run_checks(program, params or {}, runtime)


def freeze(
    notebook: Notebook,
    name: str,
    namespace: Mapping[str, Any],
    *,
    params: Mapping[str, Any] | None = None,
    max_constant: int = MAX_CONSTANT,
    runtime: str = "byoc_nb",
) -> Frozen:
    """Freeze the processor `name`, with all that it needs of the notebook; raises FreezeError.

    `namespace` is the notebook's, for what text doesn't tell. `params` are the values that it starts with.
    `max_constant`: how many bytes of an array may go along as they are. `runtime`: byoc_nb or pytrickle.
    """
    program = resolve(notebook, name, namespace, max_constant=max_constant)
    findings = [program] if isinstance(program, Finding) else run_checks(program, params or {}, runtime)
    errors = [finding for finding in findings if finding.level == "error"]
    if errors or isinstance(program, Finding):
        raise FreezeError(errors, runtime)
    body = _body(program)
    text = "\n".join([*program.imports, body])
    tree = parse(text)
    modules = {name.partition(".")[0] for name in imports.modules([tree])} | program.local.outside
    local = {Path(file).parts[0].removesuffix(".py") for file in program.local.files}
    on_pytrickle = upstream.way(program) if runtime == "pytrickle" else None
    return Frozen(
        name,
        [f"from __future__ import {one}" for one in sorted({*program.root.future, *_futures(program)})],
        upstream.imports(program.imports) if on_pytrickle else program.imports,
        body,
        frozenset(modules - local),
        _uses_torch(program, tree, modules),
        program.local.files,
        program.constants,
        {name: value for name, value in (params or {}).items() if not is_secret(value)},
        list(opened_files(program)),
        findings,
        on_pytrickle,
    )


def _uses_torch(program: Program, tree: ast.AST, modules: set[str]) -> bool:
    """Whether torch must be there: by name, as a frame's tensor, or for a tensor that is kept as a value."""
    frames = any(isinstance(node, ast.Attribute) and node.attr == "tensor" for node in ast.walk(tree))
    return frames or "torch" in modules or any(map(constants.is_tensor, program.constants.values()))


def _futures(program: Program) -> set[str]:
    return {one for statement in program.statements for one in statement.cell.future}


# ---- text


def _body(program: Program) -> str:
    """Everything behind the imports: constants, then cell by cell."""
    parts = [constants.lines(program.constants)]
    run: list[Statement] = []
    for statement in [*program.statements, None]:
        if run and (statement is None or statement.cell is not run[0].cell):
            whole = run[0].cell is program.root
            text = _whole(program.root) if whole else _excerpt(run)
            parts.append(f"# from cell [{run[0].cell.number}]\n{text}")
            run = []
        if statement is not None:
            run.append(statement)
    return "\n\n".join(part for part in parts if part)


def _whole(cell: CellRun) -> str:
    """A cell's text without what only belongs to a notebook's start of a program."""
    text = _MAGIC_LINE.sub("\n", cell.text, count=1) if _MAGIC_LINE.match(cell.text) else cell.text
    future = [node for node in cell.tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    return without_main_guard(without(text, future)).strip("\n") + "\n"


def _excerpt(statements: list[Statement]) -> str:
    """Statements of one cell in its order: neighbours as they stand there, with all that is between them."""
    runs: list[list[Statement]] = []
    for one in statements:
        body = one.cell.tree.body
        if runs and body.index(one.node) == body.index(runs[-1][-1].node) + 1:
            runs[-1].append(one)
        else:
            runs.append([one])
    parts = []
    for run in runs:
        first, last = run[0], run[-1]
        whole_lines = first.node.col_offset == 0 and not _is_followed(last)
        lines = first.cell.lines[first.first - 1 : last.end]
        parts.append("\n".join(lines) if whole_lines else "\n".join(one.text for one in run))
    spaced = any("\n" in part for part in parts)
    return ("\n\n\n" if spaced else "\n").join(parts) + "\n"


def _is_followed(statement: Statement) -> bool:
    """Whether another statement begins on the line on which this one ends."""
    others = (node for node in statement.cell.tree.body if node is not statement.node)
    return any(node.lineno == statement.end and node.col_offset for node in others)
