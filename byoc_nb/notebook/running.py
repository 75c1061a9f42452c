"""Running a processor's cell, and finding the cell, file or program that a class or function comes from."""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path
from typing import Any

from byoc_nb.find import find_processor
from byoc_nb.notebook.cells import Cell, CellError, runnable
from byoc_nb.notebook.recording import current_cell, record
from byoc_nb.runtime.load import load_file
from byoc_nb.source import Notebook


class CellRaised(CellError):
    """The cell was run and raised; the notebook has shown the error with the cell's lines."""


def run(shell: Any, notebook: Notebook, text: str, wanted: str = "") -> Cell:
    """Run a cell's text in the shell and find its processor. Raises CellError or FindError."""
    code = runnable(text, shell.transform_cell)
    if _awaits(code):
        raise CellError("the cell awaits at its top level", hint="move that into load_model")
    count, shell.execution_count = shell.execution_count, current_cell(shell)  # a traceback names this cell
    try:
        result = shell.run_cell(code, store_history=False)
    finally:
        shell.execution_count = count
    if result.error_before_exec is None:
        record(shell, notebook, code, current_cell(shell), result)
    if not result.success:
        raise CellRaised(f"the cell raised {type(result.error_before_exec or result.error_in_exec).__name__}")
    whole = shell.transform_cell(text)  # also what a main block does with the functions
    return Cell(text, *find_processor(whole, shell.user_ns, wanted), notebook, shell.user_ns)


def of_file(spec: str) -> Cell:
    """The processor of `FILE.py` or `FILE.py:NAME`; raises LoadError or FindError."""
    found = load_file(spec)
    notebook = Notebook()
    notebook.ran(found.code, 1, namespace=found.namespace)
    return Cell(found.code, found.name, found.target, notebook, found.namespace)


def of_object(target: Any, notebook: Notebook, namespace: dict[str, Any]) -> Cell:
    """The cell that defined a class or function in a notebook (whose names are `namespace`), else its module's file.

    Raises CellError where its text can't be had.
    """
    name = getattr(target, "__name__", "")
    if namespace.get(name) is target and (statement := notebook.definition(name)) is not None:
        return Cell(statement.cell.text, name, target, notebook, namespace)
    module = sys.modules.get(getattr(target, "__module__", ""))
    file = inspect.getsourcefile(target) if inspect.isclass(target) or inspect.isfunction(target) else None
    if module is None or file is None or getattr(module, name, None) is not target:
        hint = "define it in a cell, or in a file of its own"
        raise CellError(f"the text of {name or repr(target)} isn't known", hint=hint)
    text = Path(file).read_text(encoding="utf-8")
    record_of_file = Notebook()
    record_of_file.ran(text, 1, namespace=vars(module))
    return Cell(text, name, target, record_of_file, vars(module))


def _awaits(code: str) -> bool:
    """Whether the code awaits outside of functions, for which this cell's own run has no event loop left."""
    try:
        compiled = compile(code, "<cell>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    except (SyntaxError, ValueError):
        return False  # IPython shows it when it runs the cell
    return bool(compiled.co_flags & inspect.CO_COROUTINE)
