"""Python's scopes, read off the syntax: what belongs to a function, what it binds, what an annotation quotes."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


def quoted(node: ast.AST) -> Iterator[tuple[ast.AST, int]]:
    """Code in the strings of an annotation, with their lines; Literal's are values, and so is Annotated's rest."""
    if isinstance(node, ast.Subscript):
        head = ast.unparse(node.value).rpartition(".")[2]
        if head == "Literal":
            return
        if head == "Annotated" and isinstance(node.slice, ast.Tuple):
            yield from quoted(node.slice.elts[0])
            return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            yield ast.parse(node.value.strip(), mode="eval"), node.lineno
        except (SyntaxError, ValueError):
            return
    for child in ast.iter_child_nodes(node):
        yield from quoted(child)


def arguments_of(arguments: ast.arguments) -> Iterator[ast.arg]:
    yield from (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    yield from (one for one in (arguments.vararg, arguments.kwarg) if one is not None)


def type_parameters(node: ast.AST) -> set[str]:
    """The names in `def f[T]` and `class C[T]`, which Python has from 3.12 on."""
    return {parameter.name for parameter in getattr(node, "type_params", ())}


def own(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes of one function's own scope; of the scopes in it only their first node."""
    for node in nodes:
        yield node
        if isinstance(node, _COMPREHENSIONS):  # := in it binds here
            yield from (inner for inner in ast.walk(node) if isinstance(inner, ast.NamedExpr))
            continue
        if not isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            yield from own(ast.iter_child_nodes(node))


def bound_in(body: Iterable[ast.AST]) -> set[str]:
    """The names that a function's body binds in its own scope; not its arguments."""
    bound: set[str] = set()
    for node in own(body):
        match node:
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.NamedExpr(target=ast.Name(id=name)):
                bound.add(name)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
                bound.add(name)
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                bound.add(name)
            case ast.ExceptHandler(name=str(name)):
                bound.add(name)
            case ast.Import() | ast.ImportFrom():
                bound |= {alias.asname or alias.name.split(".")[0] for alias in node.names}
            case ast.Nonlocal():
                bound -= set(node.names)
    nonlocal_names = {name for node in own(body) if isinstance(node, ast.Nonlocal) for name in node.names}
    return bound - nonlocal_names


def stored(target: ast.expr) -> set[str]:
    return {node.id for node in ast.walk(target) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}


def raises(branch: Sequence[ast.AST]) -> bool:
    """Whether a branch ends by raising, so that nothing follows it."""
    last = branch[-1] if branch else None
    if isinstance(last, ast.ExceptHandler | ast.match_case):
        last = last.body[-1]
    return isinstance(last, ast.Raise)


def executed(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes that run with a statement: class bodies, decorators and defaults too, but no function's body."""
    for node in nodes:
        yield node
        if isinstance(node, _FUNCTIONS):
            arguments = node.args
            yield from executed([*getattr(node, "decorator_list", []), *arguments.defaults])
            yield from executed(default for default in arguments.kw_defaults if default is not None)
        else:
            yield from executed(ast.iter_child_nodes(node))
