"""Import lines for a frozen program: those of other cells, narrowed to what is used, and those that text can repeat.

A name that no text binds, as the extension's own, is still an import if some module has that very object under it.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

import byoc_nb
from byoc_nb.source import Statement
from byoc_nb.source.cells import star_names

_LINE_LENGTH = 120
_OPTIONAL = ("ImportError", "ModuleNotFoundError", "Exception")


def lines_for(name: str, value: Any, nodes: Iterable[ast.AST]) -> list[str]:
    """The imports that bind `name` to this very value, empty if there are none.

    Submodules that the nodes reach through the name are imported themselves.
    """
    if isinstance(value, ModuleType):
        module = value.__name__
        if sys.modules.get(module) is not value or module == "__main__":
            return []
        line = f"import {module}" if module == name else f"import {module} as {name}"
        return [line, *(f"import {submodule}" for submodule in sorted(_submodules(name, module, nodes)))]
    if name in byoc_nb.__all__ and getattr(byoc_nb, name) is value:
        return [f"from byoc_nb import {name}"]
    home, own_name = getattr(value, "__module__", None), str(getattr(value, "__qualname__", name))
    if isinstance(home, str) and home not in ("", "__main__") and own_name.isidentifier():
        line = f"from {home} import {_as(own_name, name)}"
        return [line] if _importable(home, own_name) is value else []
    return []


def narrowed(statement: Statement, used: Collection[str], nodes: Collection[ast.AST]) -> list[str]:
    """The lines for the names of an import statement that are used, one a name."""
    node = statement.node
    if isinstance(node, ast.ImportFrom):
        if node.module == "__future__":
            return []
        names = [(alias.name, alias.asname) for alias in node.names]
        if names[0][0] == "*":
            names = [(name, None) for name in star_names(node)]
        return [f"from {node.module} import {_as(*one)}" for one in names if (one[1] or one[0]) in used]
    assert isinstance(node, ast.Import)
    lines = []
    for alias in node.names:
        bound = alias.asname or alias.name.split(".")[0]
        submodule = alias.asname is None and "." in alias.name
        if bound in used and not (submodule and not _reaches(alias.name, nodes)):
            lines.append(f"import {_as(alias.name, alias.asname)}")
        elif bound in used:
            lines.append(f"import {bound}")
    return lines


def merged(lines: Iterable[str]) -> list[str]:
    """`import` lines, then `from` lines, one a module."""
    result, imported = list[str](), dict[str, list[str]]()
    for line in sorted(set(lines)):
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


def modules(nodes: Iterable[ast.AST]) -> set[str]:
    """The dotted modules that the code imports, anywhere; those that it can do without only if they are there."""
    found: set[str] = set()
    for node in nodes:
        optional = {
            id(inner)
            for part in ast.walk(node)
            if isinstance(part, ast.Try) and any(_catches_import_error(handler) for handler in part.handlers)
            for statement in part.body
            for inner in ast.walk(statement)
        }
        for part in ast.walk(node):
            names: list[str] = []
            if isinstance(part, ast.Import):
                names = [alias.name for alias in part.names]
            elif isinstance(part, ast.ImportFrom) and part.module and not part.level and part.module != "__future__":
                names = [part.module]
            found |= {name for name in names if id(part) not in optional or is_there(name)}
    return found


def is_there(module: str) -> bool:
    """Whether the module's package can be imported here."""
    top = module.partition(".")[0]
    try:
        return top in sys.modules or importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        return False


def _catches_import_error(handler: ast.ExceptHandler) -> bool:
    return handler.type is None or any(
        isinstance(node, ast.Name) and node.id in _OPTIONAL for node in ast.walk(handler.type)
    )


def _as(name: str, other: str | None) -> str:
    return name if other is None or other == name else f"{name} as {other}"


def _reaches(module: str, nodes: Iterable[ast.AST]) -> bool:
    """Whether the code names the submodule, as `a.b` or deeper."""
    return any(
        isinstance(part, ast.Attribute) and ast.unparse(part) == module for node in nodes for part in ast.walk(node)
    )


def _submodules(name: str, module: str, nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Submodules that the code reaches through `name`; `import package` alone need not bring them."""
    for node in nodes:
        for part in ast.walk(node):
            path = ast.unparse(part).split(".") if isinstance(part, ast.Attribute) else []
            dotted = ".".join([module, *path[1:]])
            if path[:1] == [name] and isinstance(sys.modules.get(dotted), ModuleType):
                yield dotted


def _importable(module: str, name: str) -> Any:
    try:
        return getattr(sys.modules.get(module) or importlib.import_module(module), name, None)
    except Exception:  # a module may do anything when it is imported
        return None


def shadows(name: str, namespace: Mapping[str, Any], builtin: Any) -> bool:
    """Whether the notebook has something of its own under a builtin's name; IPython's `open` only wraps it."""
    value = namespace.get(name, builtin)
    return value is not builtin and getattr(value, "__wrapped__", None) is not builtin
