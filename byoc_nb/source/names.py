"""The names of a statement: what it binds, what it reads, and when.

Three times of reading matter to whoever takes a statement out of its notebook:

- `now`: when the statement runs. Its own level, class bodies, decorators, bases, default arguments, annotations that
  are evaluated, comprehensions.
- `later`: when a function in it is called, so whatever the name holds by then. Bodies of functions and lambdas.
- `hints`: in annotations that nobody need evaluate: quoted, postponed, or on a function's own variables. Those of a
  class's fields are `fields`: pydantic and dataclasses do look them up.

A name that the statement binds itself before it reads it `now` is no reading. Scopes are Python's: function, class and
comprehension, `global` and `nonlocal`, `:=`, and `__private` names, which are `_Class__private` in a class.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from byoc_nb.source.scopes import arguments_of, bound_in, own, quoted, raises, stored, type_parameters


@dataclass
class Names:
    """Global names of a piece of code; those that are read come with the line that reads them first."""

    binds: set[str] = field(default_factory=set)
    surely: set[str] = field(default_factory=set)  # those of `binds` that no branch leaves out
    deletes: set[str] = field(default_factory=set)
    sets_global: set[str] = field(default_factory=set)  # bound by a function in it, through `global`
    now: dict[str, int] = field(default_factory=dict)
    later: dict[str, int] = field(default_factory=dict)
    hints: dict[str, int] = field(default_factory=dict)
    fields: dict[str, int] = field(default_factory=dict)


def names(*nodes: ast.AST, postponed: bool = False, owner: str = "") -> Names:
    """The names of these nodes, in the order in which they run.

    `postponed`: `from __future__ import annotations` is in force. `owner`: the class that they stand in, if any.
    """
    visitor = _Visitor(postponed, owner)
    for node in nodes:
        visitor.visit(node)
    result, bound = visitor.names, visitor.scope.bound
    result.surely = result.binds & bound
    result.deletes -= bound
    result.later = {name: line for name, line in result.later.items() if name not in ("__class__",)}
    return result


@dataclass
class _Scope:
    kind: Literal["module", "class", "function", "comprehension"]
    parent: _Scope | None
    owner: str  # the innermost class, for private names
    bound: set[str]  # a function's and a comprehension's from its beginning on, others as they run
    outside: set[str] = field(default_factory=set)  # declared `global`
    late: bool = False


class _Visitor(ast.NodeVisitor):
    def __init__(self, postponed: bool, owner: str) -> None:
        self.names = Names()
        self.scope = _Scope("module", None, owner, set())
        self._postponed = postponed
        self._reading: dict[str, int] | None = None  # an annotation's names go here
        self._line = 1  # of the quoted annotation that is being read

    # ---- names

    def _mangled(self, name: str) -> str:
        owner = self.scope.owner.lstrip("_")
        private = owner and name.startswith("__") and not name.endswith("__") and "." not in name
        return f"_{owner}{name}" if private else name

    def _read(self, name: str, line: int) -> None:
        name = self._mangled(name)
        scope: _Scope | None = self.scope
        while scope is not None and name not in scope.outside:
            if name in scope.bound and not (
                (scope.kind == "class" and scope is not self.scope) or (scope.kind == "module" and self.scope.late)
            ):
                return
            scope = scope.parent
        evaluated = self.names.later if self.scope.late else self.names.now
        (evaluated if self._reading is None else self._reading).setdefault(name, line)

    def _bind(self, name: str) -> None:
        name, scope = self._mangled(name), self.scope
        while scope.kind == "comprehension" and scope.parent is not None:
            if name in scope.bound:  # its own variable
                return
            scope = scope.parent  # := binds around it
        scope.bound.add(name)
        if scope.kind == "module" or (name in scope.outside and not scope.late):
            self.names.binds.add(name)
        elif name in scope.outside:
            self.names.sets_global.add(name)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._read(node.id, node.lineno if self._reading is None else self._line or node.lineno)
        elif isinstance(node.ctx, ast.Store):
            self._bind(node.id)
        else:
            self._delete(node.id)

    def _delete(self, name: str) -> None:
        name = self._mangled(name)
        self._unbind(name)
        if not self.scope.late and (self.scope.kind == "module" or name in self.scope.outside):
            self.names.deletes.add(name)

    def _unbind(self, name: str) -> None:
        if self.scope.kind in ("module", "class"):  # in a function it stays a local name
            self.scope.bound.discard(name)

    # ---- what runs in another order than it is written

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        self._visit_all(node.targets)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self._read(node.target.id, node.lineno)
        self.visit(node.value)
        self.visit(node.target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self._annotation(node.annotation, self.scope.kind)
        if node.value is not None:
            self.visit(node.value)
        if node.value is not None or not isinstance(node.target, ast.Name):
            self.visit(node.target)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self.visit(node.target)

    # ---- branches: what only one of them binds may not be bound

    def _branches(self, *branches: Sequence[ast.AST]) -> None:
        before, after = set(self.scope.bound), list[set[str]]()
        for branch in branches:
            self.scope.bound = set(before)
            self._visit_all(branch)
            if not raises(branch):
                after.append(self.scope.bound)
        self.scope.bound = set.intersection(*after) if after else before

    def visit_If(self, node: ast.If) -> None:
        self.visit(node.test)
        self._branches(node.body, node.orelse)

    def visit_While(self, node: ast.While) -> None:
        self.visit(node.test)
        self._branches([*node.body, *node.orelse], [])

    def visit_For(self, node: ast.For | ast.AsyncFor) -> None:
        self.visit(node.iter)
        self._branches([node.target, *node.body, *node.orelse], [])

    visit_AsyncFor = visit_For

    def visit_Try(self, node: ast.Try | ast.TryStar) -> None:
        self._branches([*node.body, *node.orelse], *([handler] for handler in node.handlers))
        self._visit_all(node.finalbody)

    visit_TryStar = visit_Try

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        if node.type is not None:
            self.visit(node.type)
        if node.name:
            self._bind(node.name)
        self._visit_all(node.body)
        if node.name:
            self._unbind(self._mangled(node.name))  # Python deletes it

    def visit_Match(self, node: ast.Match) -> None:
        self.visit(node.subject)
        self._branches(*([case] for case in node.cases), [])

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.visit(node.test)
        self._branches([node.body], [node.orelse])

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self.visit(node.values[0])
        self._branches(node.values[1:], [])

    # ---- other statements that bind

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name != "*":
                self._bind(alias.asname or alias.name.split(".")[0])

    visit_ImportFrom = visit_Import

    def visit_Global(self, node: ast.Global) -> None:
        self.scope.outside |= {self._mangled(name) for name in node.names}

    def visit_MatchAs(self, node: ast.MatchAs | ast.MatchStar) -> None:
        self.generic_visit(node)
        if node.name:
            self._bind(node.name)

    visit_MatchStar = visit_MatchAs

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self.generic_visit(node)
        if node.rest:
            self._bind(node.rest)

    # ---- scopes

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._visit_all(node.decorator_list)
        self._function(node)
        self._bind(node.name)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._function(node)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        self._visit_all([*node.args.defaults, *(default for default in node.args.kw_defaults if default)])
        arguments = list(arguments_of(node.args))
        generic = type_parameters(node)
        if isinstance(node, ast.Lambda):
            body: list[ast.AST] = [node.body]
        else:
            body = list(node.body)
            with_hints = [*(argument.annotation for argument in arguments), node.returns]
            outer, self.scope = self.scope, self._generic(generic)
            for annotation in with_hints:
                if annotation is not None:
                    self._annotation(annotation, "signature")
            self.scope = outer
        outside = {name for inner in own(body) if isinstance(inner, ast.Global) for name in inner.names}
        bound = {self._mangled(name) for name in bound_in(body) - outside} | generic
        inner = self._inner("function", bound | {self._mangled(argument.arg) for argument in arguments})
        inner.late, inner.outside = True, {self._mangled(name) for name in outside}
        outer, self.scope = self.scope, inner
        self._visit_all(body)
        self.scope = outer

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._visit_all(node.decorator_list)
        outer, self.scope = self.scope, self._generic(type_parameters(node))
        self._visit_all([*node.bases, *node.keywords])
        self.scope = self._inner("class", {"__module__", "__qualname__", "__annotations__"})
        self.scope.owner = node.name
        self._visit_all(node.body)
        self.scope = outer
        self._bind(node.name)

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> None:
        self.visit(node.generators[0].iter)  # in the scope around it
        bound = {name for part in node.generators for name in stored(part.target)}
        outer, self.scope = self.scope, self._inner("comprehension", bound)
        for number, part in enumerate(node.generators):
            self._visit_all([*([part.iter] if number else []), part.target, *part.ifs])
        self._visit_all([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt])
        self.scope = outer

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def _inner(self, kind: Literal["class", "function", "comprehension"], bound: Iterable[str]) -> _Scope:
        return _Scope(kind, self.scope, self.scope.owner, set(bound), late=self.scope.late)

    def _generic(self, parameters: set[str]) -> _Scope:
        """The scope of type parameters, where there are any."""
        return self._inner("comprehension", parameters) if parameters else self.scope

    # ---- annotations

    def _annotation(self, node: ast.expr, place: str) -> None:
        """`place`: a scope's kind, or "signature" for that of a function which is made now."""
        evaluated = not self._postponed and place != "function"
        if evaluated:
            self.visit(node)
        hints = self.names.fields if place == "class" else self.names.hints
        for part in quoted(node) if evaluated else [(node, 0), *quoted(node)]:
            outer, self._reading = self._reading, hints
            self._line = part[1]
            self.visit(part[0])
            self._reading = outer

    def _visit_all(self, nodes: Iterable[ast.AST]) -> None:
        for node in nodes:
            self.visit(node)
