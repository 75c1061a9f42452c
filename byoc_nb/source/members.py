"""The definitions behind a class, part by part and with a fingerprint each, so that two versions can be compared.

`parts(notebook, "P", ["__init__", "load_model"])` answers what builds the model of a processor: those methods, what
they reach in the class through `self`, `cls`, `type(self)` and the class's own name, and every definition of the
notebook that any of it uses. Whatever the text doesn't settle counts as reached: `getattr(self, name)`, `vars(self)`,
`self` given away, a base class's methods beside the class's own.

A fingerprint is of the syntax: comments, docstrings, line numbers and formatting don't count. It tells texts apart, not
values: `noise = make_noise()` run twice has one fingerprint.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass

from byoc_nb.source.cells import Notebook, Statement, definition_in
from byoc_nb.source.graph import reach
from byoc_nb.source.names import names

_KNOWS_TYPE = ("type", "super", "isinstance", "id", "hasattr")  # take `self` and keep no hold of it


def fingerprint(*nodes: ast.AST) -> str:
    """A digest of the code; equal for code that differs in comments, docstrings and formatting alone."""
    text = "\n".join(ast.dump(_without_docstrings(node)) for node in nodes)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, eq=False)
class Part:
    """A piece of code that was reached, its readable key (see `parts`) and the statement that it stands in."""

    key: str
    node: ast.AST
    statement: Statement


def code(
    notebook: Notebook, name: str, entries: Collection[str] | None = None, *, also: Mapping[str, str] | None = None
) -> list[Part]:
    """All code that the entry methods of the class `name` reach, or without `entries` all that it uses at all.

    `also` names members that stand behind others: {"params": "Params"}. For a function, all that it uses. Empty if no
    cell's text defines `name`.
    """
    statement = notebook.definition(name)
    node = definition_in(statement.node, name) if statement else None
    if entries is None or not isinstance(node, ast.ClassDef):
        return _of_statements(reach(notebook, [name]).statements)
    family = _Family(notebook, name, also or {})
    found = [*family.heads(), *family.reached(entries)]
    outside: set[str] = set()
    for part in found:
        owner = part.key.partition(".")[0]
        used = names(part.node, owner=owner if "." in part.key else "")
        outside |= used.now.keys() | used.later.keys() | used.fields.keys()
    roots: list[Statement | str] = [*sorted(outside - family.classes.keys()), *family.changes()]
    return found + _of_statements(reach(notebook, roots, stop=family.classes.__contains__).statements)


def parts(
    notebook: Notebook, name: str, entries: Collection[str] | None = None, *, also: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The fingerprints of what `code` finds, by its key, to compare two versions with.

    Keys: "P" is the class's own line (bases, decorators, keywords), "P.load_model" a member, "helper" or "SIZE" a
    definition of the notebook, "table, changed" a statement that changes one.
    """
    grouped: dict[str, list[ast.AST]] = {}
    for part in code(notebook, name, entries, also=also):
        grouped.setdefault(part.key, []).append(part.node)
    return {key: fingerprint(*nodes) for key, nodes in grouped.items()}


class _Family:
    """A class and those of its bases that the notebook defines, seen as one table of members."""

    def __init__(self, notebook: Notebook, name: str, also: Mapping[str, str]) -> None:
        self.classes: dict[str, tuple[ast.ClassDef, Statement]] = {}
        self._notebook = notebook
        self._members: list[tuple[str, Part]] = []
        self._also = also
        waiting = [name]
        while waiting:
            owner = waiting.pop(0)
            statement = notebook.definition(owner)
            node = definition_in(statement.node, owner) if statement else None
            if owner in self.classes or statement is None or not isinstance(node, ast.ClassDef):
                continue
            self.classes[owner] = node, statement
            waiting += [base.id for base in node.bases if isinstance(base, ast.Name)]
            for member in node.body:
                bound = names(member, owner=owner).binds or _annotated(member)
                self._members += [(one, Part(f"{owner}.{one}", member, statement)) for one in sorted(bound)]

    def heads(self) -> Iterator[Part]:
        """What stands around the classes' bodies."""
        for owner, (node, statement) in self.classes.items():
            for part in [*node.decorator_list, *node.bases, *node.keywords] or [ast.Tuple([], ast.Load())]:
                yield Part(owner, part, statement)

    def changes(self) -> list[Statement]:
        """The statements that changed one of the classes later, such as `P.SIZE = 3`."""
        events = [event for owner in self.classes for event in self._notebook.history(owner)]
        found = [event.statement for event in events if event.kind == "changed" and event.statement is not None]
        return [one for one in found if not one.names.binds & self.classes.keys()]

    def reached(self, entries: Iterable[str]) -> list[Part]:
        """The members with these names and those that they reach, in the order of the text."""
        waiting, wanted = list(entries), set[str]()
        if any(node.decorator_list for node, _ in self.classes.values()):  # a dataclass's __init__ sets its fields
            waiting += [name for name, part in self._members if isinstance(part.node, ast.AnnAssign)]
        while waiting:
            name = waiting.pop()
            if name in wanted:
                continue
            wanted.add(name)
            if name in self._also:
                waiting.append(self._also[name])
            for own_name, part in self._members:
                if own_name == name:
                    owner = part.key.partition(".")[0]
                    used = set(_attributes(part.node, self.classes, owner))
                    in_class = names(part.node, owner=owner).now.keys()  # `half = SIZE // 2` in the class's body
                    waiting += {one for one, _ in self._members} if "*" in used else used | in_class
        return [part for name, part in self._members if name in wanted]


def _annotated(member: ast.AST) -> set[str]:
    match member:
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
    return set()


def _attributes(member: ast.AST, classes: Collection[str], owner: str) -> Iterator[str]:
    """The attributes of its own class that a member names; "*" for all of them."""
    selves = set(classes)
    if isinstance(member, ast.FunctionDef | ast.AsyncFunctionDef):
        static = any(isinstance(one, ast.Name) and one.id == "staticmethod" for one in member.decorator_list)
        selves |= {argument.arg for argument in [*member.args.posonlyargs, *member.args.args][: not static]}
    settled: set[int] = set()  # where the object is used for one attribute
    for node in ast.walk(member):
        match node:
            case ast.Attribute(value=value, attr=attribute) if _is_self(value, selves):
                if attribute == "__dict__":
                    yield "*"
                elif attribute != "__class__":
                    private = attribute.startswith("__") and not attribute.endswith("__")
                    yield f"_{owner.lstrip('_')}{attribute}" if private else attribute
                settled |= {id(part) for part in ast.walk(value)}
            case ast.Call(func=ast.Name(id="getattr"), args=[value, ast.Constant(value=str(attribute)), *_]):
                if _is_self(value, selves):
                    yield attribute
                    settled |= {id(part) for part in ast.walk(value)}
            case ast.Call(func=ast.Name(id=called), args=arguments) if called in _KNOWS_TYPE:
                settled |= {id(argument) for argument in arguments}
    loads = (node for node in ast.walk(member) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))
    if any(node.id in selves and id(node) not in settled for node in loads):
        yield "*"


def _is_self(node: ast.expr, selves: Collection[str]) -> bool:
    """Whether an expression is the object, its class or its `super()`."""
    match node:
        case ast.Name(id=name):
            return name in selves
        case ast.Attribute(value=value, attr="__class__"):
            return _is_self(value, selves)
        case ast.Call(func=ast.Name(id="super")):
            return True
        case ast.Call(func=ast.Name(id="type"), args=[value]):
            return _is_self(value, selves)
    return False


def _of_statements(statements: Iterable[Statement]) -> list[Part]:
    return [
        Part(", ".join(sorted(one.names.binds)) or ", ".join([*sorted(one.changes), "changed"]), one.node, one)
        for one in statements
    ]


def _without_docstrings(node: ast.AST) -> ast.AST:
    node = deepcopy(node)
    for part in ast.walk(node):
        if not isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if ast.get_docstring(part, clean=False) is not None:
            part.body = part.body[1:]
    return node
