"""A notebook cell to the text of a standalone `processor.py`.

Works from the cell's text, never from the live objects: a name that the cell uses and doesn't define must be an import
that text can repeat. Anything else stops the export with the name, the line and what to do.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import re
import symtable
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import byoc_nb
from byoc_nb.errors import ByocError

_NOTEBOOK_ONLY = frozenset({"display", "get_ipython", "In", "Out", "_", "__", "___", "_ih", "_oh", "__IPYTHON__"})
_BUILTINS = (frozenset(dir(builtins)) - _NOTEBOOK_ONLY) | {"__file__", "__annotations__"}
_IPYTHON_LINE = re.compile(r"\s*([%!?]|[\w., ]+=\s*[%!])|.*[\w)\]]\?{1,2}\s*$")
_LINE_LENGTH = 120


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
    code = without_main_guard("\n" + text)
    tree = _parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and any(alias.name == "*" for alias in node.names):
            raise FreezeError(f"from {node.module} import * hides what is used", node.lineno, hint="import by name")
    modules = set(_imported(tree))
    future = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "__future__"]
    body = _without(code, future)
    imports: set[str] = set()
    for free in sorted(_free_names(code, tree, namespace)):
        imports.update(_import_lines(free, namespace, tree))
    for free in sorted(_annotation_names(tree) & namespace.keys() - _defined(code)):
        # Under `from __future__ import annotations`, or in quotes: only some of them will be looked up.
        try:
            imports.update(_import_lines(free, namespace, tree))
        except FreezeError:
            if free in _annotation_names(tree, fields_only=True):  # pydantic will look it up
                raise
    modules |= {line.split()[1].split(".")[0] for line in imports}
    uses_torch = "torch" in modules or any(
        isinstance(node, ast.Attribute) and node.attr == "tensor" for node in ast.walk(tree)
    )
    return Frozen(
        name,
        [ast.unparse(node) for node in future],
        _merged(imports),
        body.strip("\n") + "\n",
        frozenset(modules),
        uses_torch,
    )


def without_main_guard(text: str) -> str:
    """The text with its `if __name__ == "__main__":` blocks left blank; one that doesn't parse as it is.

    Such a block is a program's own start, for which the notebook's server or the container's stands.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return text
    return _without(text, [node for node in tree.body if _is_main_guard(node)])


def _is_main_guard(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.If)
        and not node.orelse
        and ast.unparse(node.test)
        in (
            "__name__ == '__main__'",
            "'__main__' == __name__",
        )
    )


def _without(text: str, nodes: Iterable[ast.stmt]) -> str:
    """The text with these statements left blank, everything else on its line."""
    lines = text.split("\n")  # as the parser counts them; splitlines() knows other line ends too
    for node in nodes:
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        before = lines[first].encode()[: node.col_offset].decode()
        after = lines[last].encode()[node.end_col_offset :].decode().lstrip("; ")
        lines[first : last + 1] = [before + ("" if after.startswith("#") else after), *[""] * (last - first)]
    return "\n".join(lines)


def _parse(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except SyntaxError as error:
        lines, line = text.split("\n"), error.lineno or 1
        for number, code in enumerate(lines, 1):
            if _IPYTHON_LINE.match(code) and not code.lstrip().startswith("#"):
                raise FreezeError(f"{code.strip()} works in a notebook only", number, hint="take it out") from None
        wrong = lines[line - 1].strip() if line <= len(lines) else ""
        raise FreezeError(f"{error.msg} in: {wrong}", line, hint="mend the cell and run it again") from None


# ---- names


def _defined(text: str) -> set[str]:
    """Names that the cell binds at its top level."""
    table = symtable.symtable(text, "<cell>", "exec")
    names = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
    for scope in _scopes(table):  # `global x` in a function binds it too, and so does := in a comprehension
        names |= {s.get_name() for s in scope.get_symbols() if s.is_declared_global() and s.is_assigned()}
    return names


def _free_names(text: str, tree: ast.Module, namespace: Mapping[str, Any]) -> set[str]:
    """Global names that the cell reads anywhere, in functions and comprehensions too, and doesn't bind."""
    names: set[str] = set()
    for scope in _scopes(symtable.symtable(text, "<cell>", "exec")):
        at_top = scope.get_type() == "module"
        names |= {s.get_name() for s in scope.get_symbols() if s.is_referenced() and (at_top or s.is_global())}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            names |= set(_read_before_bound(node))
    builtin = {name for name in names & _BUILTINS if not _is_shadowed(name, namespace)}
    return names - builtin - _defined(text) - {"__name__", "__doc__"}


def _read_before_bound(node: ast.ClassDef) -> Iterator[str]:
    """Names that a class body reads from outside before it binds them: `size = size`, `@load def load(self)`."""
    bound: set[str] = set()
    for statement in node.body:
        names = [n for n in ast.walk(statement) if isinstance(n, ast.Name)]
        read: list[ast.expr] = []
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            read = [*statement.decorator_list, *statement.args.defaults]
            bound_here = {statement.name}
        else:
            bound_here = {n.id for n in names if isinstance(n.ctx, ast.Store)}
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            read = [statement.value]
        yield from (
            n.id
            for expression in read
            for n in ast.walk(expression)
            if isinstance(n, ast.Name) and n.id in bound_here - bound
        )
        bound |= bound_here


def _is_shadowed(name: str, namespace: Mapping[str, Any]) -> bool:
    """Whether the notebook has something of its own under a builtin's name; IPython's `open` only wraps it."""
    builtin = getattr(builtins, name, None)
    value = namespace.get(name, builtin)
    return value is not builtin and getattr(value, "__wrapped__", None) is not builtin


def _annotation_names(tree: ast.Module, *, fields_only: bool = False) -> set[str]:
    """Names in annotations, quoted ones too; `fields_only` leaves those of functions out."""
    found: list[ast.expr | None] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) or (isinstance(node, ast.arg) and not fields_only):
            found.append(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not fields_only:
            found.append(node.returns)
    names: set[str] = set()
    for part in (part for expression in found if expression for part in ast.walk(expression)):
        if isinstance(part, ast.Name):
            names.add(part.id)
        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
            try:
                quoted = ast.parse(part.value, mode="eval")
            except SyntaxError:
                continue
            names |= {n.id for n in ast.walk(quoted) if isinstance(n, ast.Name)}
    return names - _BUILTINS


def _scopes(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from _scopes(child)


def _line_of(tree: ast.Module, name: str) -> int:
    """Where the name is read first; `__name` in a class is `_Class__name` to the compiler."""
    private = "__" + name.partition("__")[2]
    nodes = [n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id in (name, private)]
    return min((n.lineno for n in nodes if isinstance(n.ctx, ast.Load)), default=1)


# ---- imports


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


def _import_lines(name: str, namespace: Mapping[str, Any], tree: ast.Module) -> Iterator[str]:
    """The imports that bind `name` to what the notebook has under it."""
    line = _line_of(tree, name)
    if name in _NOTEBOOK_ONLY:
        raise FreezeError(f"{name} exists in a notebook only", line, hint="take it out of the processor")
    if name not in namespace:
        raise FreezeError(f"{name} is not defined", line, hint="define it in this cell")
    value = namespace[name]
    if isinstance(value, ModuleType):
        module = value.__name__
        if sys.modules.get(module) is not value or module == "__main__":
            raise FreezeError(f"{name} is a module that can't be imported", line, hint="take it out of the processor")
        yield f"import {module}" if module == name else f"import {module} as {name}"
        yield from (f"import {submodule}" for submodule in _submodules(name, module, tree))
        return
    if getattr(byoc_nb, name, None) is value:
        yield f"from byoc_nb import {name}"
        return
    module, own_name = _module_of(value), getattr(value, "__qualname__", name)
    if module not in ("", "__main__") and str(own_name).isidentifier() and _importable(module, own_name) is value:
        yield f"from {module} import {own_name}" + ("" if own_name == name else f" as {name}")
        return
    raise FreezeError(
        f"{name} comes from another cell, which export can't carry along yet",
        line,
        hint=f"move the definition of {name} into the processor's cell",
    )


def _submodules(name: str, module: str, tree: ast.Module) -> set[str]:
    """Submodules that the cell reaches through `name`; `import package` alone need not bring them."""
    found = set()
    for node in ast.walk(tree):
        path = ast.unparse(node).split(".") if isinstance(node, ast.Attribute) else []
        if path[:1] == [name] and isinstance(sys.modules.get(".".join([module, *path[1:]])), ModuleType):
            found.add(".".join([module, *path[1:]]))
    return found


def _module_of(value: Any) -> str:
    module = getattr(value, "__module__", None)
    return module if isinstance(module, str) else ""


def _importable(module: str, name: str) -> Any:
    try:
        return getattr(sys.modules.get(module) or importlib.import_module(module), name, None)
    except ImportError:
        return None


def _merged(lines: Iterable[str]) -> list[str]:
    """`import` lines, then `from` lines, one a module."""
    result, imported = list[str](), dict[str, list[str]]()
    for line in sorted(lines):
        module, found, name = line.removeprefix("from ").partition(" import ")
        if found:
            imported.setdefault(module, []).append(name)
        else:
            result.append(line)
    for module, names in imported.items():
        line = f"from {module} import {', '.join(names)}"
        if len(line) > _LINE_LENGTH:
            line = f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")"
        result.append(line)
    return result
