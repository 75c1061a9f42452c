"""Which names a top-level statement changes without binding them: `table["x"] = 1`, `items.append(1)`, `Cls.attr = 2`.

The rule, for a statement as it was run in a notebook; the *root* of `a.b[c].d()` is `a`:

- Assigning to, deleting or augmenting an attribute or an item changes the root of the target.
- `setattr(a, …)`, `delattr(a, …)` and functions that are known to work in place (`random.shuffle(a)`,
  `heapq.heappush(a, …)`, names that end in `_` as torch has them) change the root of their first argument.
- A method call changes the root of its receiver if the method is known to (`append`, `update`, `load_state_dict`,
  `eval`, `to`, `register…`, `set…`, names that end in `_` …). For a receiver that is a module only `set…`, `seed` and
  the like count: `torch.manual_seed(0)` does, `torch.cuda.is_available()` doesn't.
- Any other method call counts if it stands alone as a statement and the notebook didn't show a value of it: then it was
  made for its effect.
- A call of one of the notebook's own functions or classes, also as a decorator, changes the arguments whose parameters
  its body changes, and the notebook's names that it changes.
- Any other decorator `@a.b` changes `a`, and a class changes a base that has `__init_subclass__`: both are registers.
- The variable of a `for` or `with` stands for what it goes through, and so does `a` after `a = b` or `a = b.c[d]`.

A change that none of this sees is not lost silently where the value is a plain one: freezing compares it with the text.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator

from byoc_nb.source.scopes import arguments_of, bound_in

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef
Lookup = Callable[[str], ast.AST | None]  # the definition of a name, an import's included

_MUTATORS = re.compile(
    r"append|appendleft|extend|extendleft|insert|remove|discard|pop|popleft|popitem|clear|update|setdefault|sort|"
    r"reverse|rotate|add|add_module|difference_update|intersection_update|symmetric_difference_update|"
    r"fill|put|resize|setflags|partition|itemset|"
    r"eval|train|to|cuda|cpu|half|float|bfloat16|double|apply|compile|load_state_dict|load_adapter|fuse_lora|"
    r"register\w*|enable_\w+|disable_\w+|set\w*|seed|manual_seed\w*|__setattr__|__setitem__|\w*[^_]_"
)
_OF_MODULES = re.compile(
    r"set\w*|seed|manual_seed\w*|use_\w+|register\w*|enable_\w+|disable_\w+|filterwarnings|simplefilter|basicConfig"
)
_IN_PLACE = re.compile(r"setattr|delattr|shuffle|heapify|heappush|heappop|insort\w*|copyto|put|fill_diagonal|\w*[^_]_")


def changes(statement: ast.stmt, lookup: Lookup, *, shown: bool = False) -> set[str]:
    """The names that the statement changes; see the module's docstring.

    `lookup` gives the definition of a name where the statement ran. `shown`: the notebook showed the statement's value.
    """
    return _Changes(lookup, shown).of([statement])


def root(node: ast.AST) -> str:
    """The name that `a.b[c].d()` begins with, an empty string where it begins with something else."""
    while True:
        match node:
            case ast.Attribute() | ast.Subscript() | ast.Starred() | ast.Await():
                node = node.value
            case ast.Call(func=ast.Attribute()):
                node = node.func
            case ast.Name():
                return node.id
            case _:
                return ""


def alias(statement: ast.stmt) -> tuple[str, str] | None:
    """(`a`, `b`) for `a = b` and `a = b.c[d]`: from then on a change of `a` is one of `b`."""
    match statement:
        case ast.Assign(targets=[ast.Name(id=name)], value=ast.Name() | ast.Attribute() | ast.Subscript() as value):
            origin = root(value)
            return (name, origin) if origin and "(" not in ast.unparse(value) else None
    return None


class _Changes:
    def __init__(self, lookup: Lookup, shown: bool, inside: frozenset[str] = frozenset()) -> None:
        self._lookup, self._shown = lookup, shown
        self._inside = inside  # definitions that are being looked into
        self._stands_for: dict[str, str] = {}

    def of(self, body: Iterable[ast.AST]) -> set[str]:
        """The roots that these nodes change, in their own scope and in those of the classes in it."""
        found: set[str] = set()
        for node in _executed(body):
            found |= set(self._one(node))
        return {self._stands_for.get(name, name) for name in found} - {""}

    def _one(self, node: ast.AST) -> Iterator[str]:
        match node:
            case ast.For(target=target, iter=source) | ast.AsyncFor(target=target, iter=source):
                self._stand_for(target, source)
            case ast.withitem(context_expr=source, optional_vars=ast.expr() as target):
                self._stand_for(target, source)
            case ast.Assign(targets=[ast.Name() as target], value=ast.Name() | ast.Attribute() | ast.Subscript()):
                self._stand_for(target, node.value)
            case ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del()):
                yield root(node)
            case ast.Expr(value=ast.Call(func=ast.Attribute() as called)) if not self._shown:
                if not self._is_module(root(called)):
                    yield root(called)
            case ast.Call():
                yield from self._call(node.func, node)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield from self._decorated(node)
            case ast.ClassDef():
                yield from self._decorated(node)
                yield from (root(base) for base in node.bases if self._notes_subclasses(base))
                yield from self.of(node.body) - bound_in(node.body)

    def _stand_for(self, target: ast.expr, source: ast.expr) -> None:
        if isinstance(source, ast.Call) and source.args and not isinstance(source.func, ast.Attribute):
            source = source.args[0]  # enumerate(rows), zip(rows, …), sorted(rows)
        origin = root(source)
        for name in (part.id for part in ast.walk(target) if isinstance(part, ast.Name)):
            self._stands_for[name] = self._stands_for.get(origin, origin) or name

    def _is_module(self, name: str) -> bool:
        return isinstance(self._lookup(name), ast.Import | ast.ImportFrom)

    # ---- calls

    def _call(self, called: ast.expr, call: ast.Call | None) -> Iterator[str]:
        """What calling `called` changes; as a decorator there is no `call` to look at."""
        arguments = call.args if call else []
        match called:
            case ast.Attribute(attr=method):
                receiver = root(called)
                of_module = self._is_module(receiver)
                if (_OF_MODULES if of_module else _MUTATORS).fullmatch(method):
                    yield receiver
                if of_module and _IN_PLACE.fullmatch(method) and arguments:
                    yield root(arguments[0])
            case ast.Name(id=name):
                definition = self._lookup(name)
                if isinstance(definition, Definition):
                    yield from self._called(definition, call)
                elif _IN_PLACE.fullmatch(name) and arguments:
                    yield root(arguments[0])

    def _decorated(self, node: Definition) -> Iterator[str]:
        """A decorator is called, most often to note down what it decorates."""
        for decorator in node.decorator_list:
            called = decorator.func if isinstance(decorator, ast.Call) else decorator
            if isinstance(called, ast.Attribute) and not self._is_module(root(called)):
                yield root(called)
            else:
                yield from self._call(called, None)

    def _called(self, definition: Definition, call: ast.Call | None) -> Iterator[str]:
        """What the notebook's own function changes: arguments, by its parameters, and the notebook's other names."""
        if definition.name in self._inside:
            return
        function, skipped = definition, 0
        if isinstance(definition, ast.ClassDef):
            made = [node for node in definition.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
            if not made:
                return
            function, skipped = made[0], 1
        inner = [
            function,
            *(node for node in ast.walk(function) if isinstance(node, Function) and node is not function),
        ]
        changed, own = set[str](), set[str]()
        for part in inner:
            assert isinstance(part, Function)
            changed |= _Changes(self._lookup, False, self._inside | {definition.name}).of(part.body)
            own |= bound_in(part.body) | {argument.arg for argument in arguments_of(part.args)}
        yield from changed - own
        if call is None:
            return
        assert isinstance(function, Function)
        parameters = [argument.arg for argument in (*function.args.posonlyargs, *function.args.args)][skipped:]
        yield from (root(argument) for name, argument in zip(parameters, call.args, strict=False) if name in changed)
        yield from (root(keyword.value) for keyword in call.keywords if keyword.arg in changed)

    def _notes_subclasses(self, base: ast.expr, depth: int = 20) -> bool:
        definition = self._lookup(root(base))
        if not isinstance(definition, ast.ClassDef) or not depth:
            return False
        return any(
            isinstance(node, ast.FunctionDef) and node.name == "__init_subclass__" for node in definition.body
        ) or any(self._notes_subclasses(further, depth - 1) for further in definition.bases)


def _executed(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """The nodes that run with a statement, but not into the functions and classes that it defines."""
    for node in nodes:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            yield from _executed(ast.iter_child_nodes(node))
