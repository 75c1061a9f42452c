"""A notebook cell to the text of a standalone `processor.py`.

Works from the cell's text, never from the live objects: a name that the cell uses and doesn't define must be an import
that text can repeat. Anything else stops the export with the name, the line and what to do.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import symtable
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import byoc_nb
from byoc_nb.errors import ByocError

_NOTEBOOK_ONLY = frozenset({"display", "get_ipython", "In", "Out", "_", "__", "___", "_ih", "_oh"})
_BUILTINS = frozenset(dir(builtins)) - _NOTEBOOK_ONLY | {"__file__", "__name__", "__doc__", "__annotations__"}


class FreezeError(ByocError, ValueError):
    """The cell can't stand alone; `line` is the cell's own, as the notebook numbers it."""

    def __init__(self, message: str, line: int, *, hint: str) -> None:
        self.line = line
        super().__init__(f"line {line}: {message}", hint=hint)


@dataclass(frozen=True)
class Frozen:
    """The parts of a `processor.py`: `future` and `imports` lines that go in front, the cell's own `body`."""

    name: str
    future: list[str]
    imports: list[str]
    body: str
    modules: frozenset[str]  # top-level packages that the text imports
    uses_torch: bool


def freeze(text: str, name: str, namespace: Mapping[str, Any]) -> Frozen:
    """Freeze the cell `text`, whose processor is `name` and which ran in `namespace`; raises FreezeError."""
    # One line in front stands for the magic's, so that line numbers are those of the notebook.
    tree = _parse("\n" + text)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            raise FreezeError(f"from {node.module} import * hides what is used", node.lineno, hint="import by name")
    own = _defined("\n" + text)
    imports: dict[str, str] = {}
    for free in sorted(_free_names("\n" + text) - own):
        imports[free] = _import_line(free, namespace, _line_of(tree, free))
    body, future = _body(text, tree)
    modules = set(_imported(tree)) | {line.split()[1].split(".")[0] for line in imports.values()}
    uses_torch = "torch" in modules or any(
        isinstance(node, ast.Attribute) and node.attr == "tensor" for node in ast.walk(tree)
    )
    return Frozen(name, future, sorted(set(imports.values())), body, frozenset(modules), uses_torch)


def _parse(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        line = error.lineno or 1
        wrong = text.splitlines()[line - 1].strip() if line <= len(text.splitlines()) else ""
        for number, code in enumerate(text.splitlines(), 1):
            if code.lstrip().startswith(("%", "!", "?")) or code.rstrip().endswith("?"):
                raise FreezeError(f"{code.strip()} works in a notebook only", number, hint="take it out") from None
        raise FreezeError(f"{error.msg} in: {wrong}", line, hint="mend the cell and run it again") from None


def _body(text: str, tree: ast.Module) -> tuple[str, list[str]]:
    """The cell's text without its main block and its `__future__` imports, and those imports."""
    from byoc_nb.notebook.cells import is_main_guard

    lines, future = ("\n" + text).splitlines(keepends=True), []
    for node in tree.body:
        is_future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if is_future or is_main_guard(node):
            taken = range(node.lineno - 1, node.end_lineno or node.lineno)
            if is_future:
                future.append("".join(lines[number] for number in taken).strip())
            for number in taken:
                lines[number] = ""
    return "".join(lines).strip("\n") + "\n", future


def _defined(text: str) -> set[str]:
    """Names that the cell binds at its top level."""
    table = symtable.symtable(text, "<cell>", "exec")
    names = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
    for scope in _scopes(table):  # `global x` in a function binds it too
        names |= {s.get_name() for s in scope.get_symbols() if s.is_declared_global() and s.is_assigned()}
    return names


def _free_names(text: str) -> set[str]:
    """Global names that the cell reads anywhere, in functions and comprehensions too."""
    names: set[str] = set()
    for scope in _scopes(symtable.symtable(text, "<cell>", "exec")):
        at_top = scope.get_type() == "module"
        names |= {s.get_name() for s in scope.get_symbols() if s.is_referenced() and (at_top or s.is_global())}
    return names - _BUILTINS


def _scopes(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _scopes(child)


def _line_of(tree: ast.Module, name: str) -> int:
    return next((n.lineno for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == name), 1)


def _imported(tree: ast.Module) -> Iterator[str]:
    """Top-level packages of every import in the text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise FreezeError("relative imports have no package here", node.lineno, hint="import absolutely")
            if node.module and node.module != "__future__":
                yield node.module.split(".")[0]


def _import_line(name: str, namespace: Mapping[str, Any], line: int) -> str:
    """The import that binds `name` to what the notebook has under it."""
    if name in _NOTEBOOK_ONLY:
        raise FreezeError(f"{name} exists in a notebook only", line, hint="take it out of the processor")
    if name not in namespace:
        raise FreezeError(f"{name} is not defined", line, hint="define it in this cell")
    value = namespace[name]
    if isinstance(value, ModuleType):
        module = value.__name__
        if module == "__main__":
            raise FreezeError(f"{name} is the notebook itself", line, hint="take it out of the processor")
        return f"import {module}" if module == name else f"import {module} as {name}"
    if getattr(byoc_nb, name, None) is value:
        return f"from byoc_nb import {name}"
    module = getattr(value, "__module__", None) or ""
    own_name = getattr(value, "__qualname__", name)
    if module not in ("", "__main__") and own_name.isidentifier() and _importable(module, own_name) is value:
        return f"from {module} import {own_name}" + ("" if own_name == name else f" as {name}")
    raise FreezeError(
        f"{name} comes from another cell, which export can't carry along yet",
        line,
        hint=f"move the definition of {name} into the processor's cell",
    )


def _importable(module: str, name: str) -> Any:
    try:
        return getattr(sys.modules.get(module) or importlib.import_module(module), name, None)
    except ImportError:
        return None
