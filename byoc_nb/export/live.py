"""Whether the notebook's live values are what its text says; only where that is cheap to see."""

from __future__ import annotations
import __future__

import ast
import warnings
from collections.abc import Iterable, Iterator
from types import CodeType, FunctionType
from typing import Any

from byoc_nb.source import Statement, definition_in

_PLAIN = (str, int, float, complex, bool, bytes, tuple, type(None))
_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_MUTABLE = (list, dict, set)


def contradicts(statement: Statement, name: str, value: Any, users: Iterable[ast.AST]) -> bool:
    """Whether `value` can't be what the statement bound to `name`.

    Seen for plain literals, for lists, dicts and sets of them that the functions among the `users` only read, and for
    functions and methods without decorators.
    """
    node = definition_in(statement.node, name)
    if node is not None:
        return _other_code(statement, node, value)
    literal = _literal(statement.node, name)
    if literal is None:
        return False
    if isinstance(literal[0], _PLAIN):
        return repr(literal[0]) != repr(value)
    if isinstance(literal[0], _MUTABLE) and all(_only_reads(user, name) for user in users):
        try:
            return type(value) is not type(literal[0]) or bool(value != literal[0])
        except ValueError:  # an array in it, which the literal can't have
            return True
    return False


def _literal(node: ast.stmt, name: str) -> tuple[Any] | None:
    match node:
        case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
            pass
        case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value) if target == name:
            pass
        case _:
            return None
    try:
        return (ast.literal_eval(value),)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None


def _only_reads(user: ast.AST, name: str) -> bool:
    """Whether nothing in the code keeps a hold of the value, or changes it."""
    for node in ast.walk(user):
        for child in ast.iter_child_nodes(node):
            if not (isinstance(child, ast.Name) and child.id == name):
                continue
            match node:
                case ast.Subscript(value=value, ctx=ast.Load()) if value is child:
                    continue
                case ast.Attribute(attr="items" | "keys" | "values" | "get" | "index" | "count" | "copy"):
                    continue
                case ast.For() | ast.comprehension() | ast.Compare() | ast.Call():
                    continue
                case ast.Assign() | ast.AnnAssign() if isinstance(child.ctx, ast.Store):
                    continue
                case _:
                    return False
    return True


# ---- functions


def _other_code(statement: Statement, node: ast.AST, value: Any) -> bool:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        if node.decorator_list:
            return False
        return not (isinstance(value, FunctionType) and _is_among(value.__code__, _codes(statement, node)))
    if isinstance(node, ast.ClassDef) and not node.decorator_list:
        if not isinstance(value, type):
            return True
        codes = list(_codes(statement, node))
        plain = [
            part.name
            for part in node.body
            if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef) and not part.decorator_list
        ]
        methods = [method for name in plain if isinstance(method := vars(value).get(name), FunctionType)]
        return not all(_is_among(method.__code__, codes) for method in methods if method.__module__ == value.__module__)
    return False


def _codes(statement: Statement, node: ast.AST) -> Iterator[CodeType]:
    """The compiled functions in a definition: compiled alone, as IPython does, and with its cell, which may differ."""
    flags = __future__.annotations.compiler_flag if "annotations" in statement.cell.future else 0
    assert isinstance(node, ast.stmt)
    trees = ast.Module([node], []), statement.cell.tree
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # told when the cell ran
        waiting = [compile(tree, "<cell>", "exec", flags=flags | _AWAIT, dont_inherit=True) for tree in trees]
    while waiting:
        inner = [const for const in waiting.pop().co_consts if isinstance(const, CodeType)]
        yield from inner
        waiting += inner


def _is_among(code: CodeType, codes: Iterable[CodeType]) -> bool:
    return any(_same(code, other) for other in codes)


def _same(a: CodeType, b: CodeType) -> bool:
    if (a.co_name, a.co_code, a.co_names, a.co_varnames) != (b.co_name, b.co_code, b.co_names, b.co_varnames):
        return False
    return len(a.co_consts) == len(b.co_consts) and all(
        _same(x, y) if isinstance(x, CodeType) and isinstance(y, CodeType) else repr(x) == repr(y)
        for x, y in zip(a.co_consts, b.co_consts, strict=True)
    )
