"""Which names a statement binds and reads, and when it reads them."""

from __future__ import annotations

import ast
import builtins
import symtable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from byoc_nb.source.names import Names, names

BUILTINS = set(dir(builtins))


def of(text: str, **options: bool) -> Names:
    return names(*ast.parse(text).body, **options)  # type: ignore[arg-type]


def read(found: dict[str, int]) -> set[str]:
    return set(found) - BUILTINS


@pytest.mark.parametrize(
    ("text", "now", "later"),
    [
        ("x = a", "a", ""),
        ("x += a", "x a", ""),
        ("x: a = b", "a b", ""),
        ("x.y = a", "x a", ""),
        ("x[i] += a", "x i a", ""),
        ("del x[a]", "x a", ""),
        ("def f(): return a", "", "a"),
        ("def f(x=a, *, y=b): return x, y", "a b", ""),
        ("def f(x: a, *y: b, **z: c) -> d: ...", "a b c d", ""),
        ("@a\ndef f(): ...", "a", ""),
        ("f = lambda x=a: x + b", "a", "b"),
        ("def f():\n    def g(x=a): return b\n    return g", "", "a b"),
        ("def f():\n    x = 1\n    return lambda: x", "", ""),
        ("def f(n): return f(n - 1)", "", "f"),
        ("def f():\n    global a\n    a += 1", "", "a"),
        ("def f():\n    x = 1\n    def g():\n        nonlocal x\n        x = a\n    return g", "", "a"),
        ("def f():\n    import a\n    from b import c\n    return a, c", "", ""),
        ("def f():\n    for x in a: print(x)", "", "a"),
        ("def f():\n    try: ...\n    except a as e: raise e", "", "a"),
        ("def f():\n    if (n := a): return n", "", "a"),
        ("async def f():\n    async with a as b:\n        yield b", "", "a"),
        ("async def f():\n    return [x async for x in a]", "", "a"),
        ("class C(a, metaclass=b, **c): ...", "a b c", ""),
        ("@a(b)\nclass C: ...", "a b", ""),
        ("class C:\n    size = size", "size", ""),
        ("class C:\n    size = 1\n    half = size // 2", "", ""),
        ("class C:\n    @load\n    def load(self): ...", "load", ""),
        ("class C:\n    size = 1\n    def f(self): return size", "", "size"),
        ("class C:\n    xs = [a for _ in b]", "a b", ""),
        ("class C:\n    n = 1\n    xs = [n for _ in range(n)]", "n", ""),
        ("class C:\n    class B: ...\n    class D(B): ...", "", ""),
        ("class C:\n    x: a = 1\n    y: 'b'", "a", ""),
        ("class C:\n    def f(self): return __a", "", "_C__a"),
        ("class C:\n    def f(self): return __a__", "", "__a__"),
        ("xs = [a for x in b if x]", "a b", ""),
        ("xs = [x for x in a for a in x]", "a", ""),
        ("xs = {a: b for x in c}", "a b c", ""),
        ("xs = [(n := i) for i in a]\nn", "a", ""),
        ("xs = list(a for i in b)", "a b", ""),
        ("f'{a!r:>{b}} {c + 1}'", "a b c", ""),
        ("def f(): return f'{a}'", "", "a"),
        ("with a as b: b.x", "a", ""),
        ("for x in a: b(x)", "a b", ""),
        ("for x in a: pass\nx", "a x", ""),
        ("while a: b", "a b", ""),
        ("if a: x = 1\nx", "a x", ""),
        ("if a: x = 1\nelse: x = 2\nx", "a", ""),
        ("if a: x = 1\nelse: raise b\nx", "a b", ""),
        ("try: import a\nexcept ImportError: a = None\na", "", ""),
        ("try: import a\nexcept ImportError: pass\na", "a", ""),
        ("try: x = a\nfinally: b", "a b", ""),
        ("try: ...\nexcept* a as e: e", "a", ""),
        (
            "match a:\n  case b.c(d=e): e\n  case [f, *g]: f, g\n  case {'k': h, **i}: h, i\n  case j: j",
            "a b",
            "",
        ),
        ("a if b else c", "a b c", ""),
        ("a and (x := 1)\nx", "a x", ""),
        ("(x := a)\nx", "a", ""),
        ("import a.b, c as d\na.b, d", "", ""),
        ("assert a, b", "a b", ""),
        ("await a", "a", ""),
        ("print(*a, **b)", "a b", ""),
        ("def f(a): return [a for a in a]", "", ""),
        ("def f():\n    class C(a):\n        b = c\n    return C", "", "a c"),
        ("def f(): return super().x, __class__", "", ""),
    ],
)
def test_what_is_read_now_and_what_later(text: str, now: str, later: str) -> None:
    found = of(text)
    assert (read(found.now), read(found.later)) == (set(now.split()), set(later.split()))


@pytest.mark.parametrize(
    ("text", "binds", "perhaps"),
    [
        ("a = b, (c, *d) = x", "a b c d", ""),
        ("a: int = 1", "a", ""),
        ("a: int", "", ""),
        ("a.b = c[0] = 1", "", ""),
        ("def a(): b = 1", "a", ""),
        ("class a:\n    b = 1\n    def c(self): ...", "a", ""),
        ("import a.b, c as d", "a d", ""),
        ("from a import b as c, d", "c d", ""),
        ("for a in x: b = 1", "", "a b"),
        ("with x as a: b = 1", "a b", ""),
        ("if x: a = 1", "", "a"),
        ("if x: a = 1\nelse: a = b = 2", "a", "b"),
        ("try: a = 1\nexcept E as e: a = 2", "a", "e"),
        ("try: a = 1\nexcept E: ...", "", "a"),
        ("while x: a = 1", "", "a"),
        ("match x:\n    case a: b = 1", "", "a b"),
        ("xs = [(a := i) for i in x]", "xs a", ""),
        ("(a := 1)", "a", ""),
        ("f(lambda: (a := 1))", "", ""),
        ("global a\na = 1", "a", ""),
        ("class C:\n    global a\n    a = 1", "C", "a"),
    ],
)
def test_what_is_bound_surely_and_what_perhaps(text: str, binds: str, perhaps: str) -> None:
    found = of(text)
    assert found.surely == set(binds.split())
    assert found.binds == set(binds.split()) | set(perhaps.split())


def test_what_a_function_sets_through_global_is_told_apart() -> None:
    found = of("def f():\n    global a, b\n    a = 1\n    def g():\n        global c\n        c = 1\n    return b")
    assert found.sets_global == {"a", "c"}
    assert found.binds == {"f"}


def test_a_deleted_name_is_noted() -> None:
    assert of("del a, b[0]").deletes == {"a"}


@pytest.mark.parametrize(
    ("text", "hints", "fields"),
    [
        ("def f(x: 'a') -> 'list[b]': ...", "a b", ""),
        ("def f():\n    x: a = 1", "a", ""),
        ("x: 'a' = 1", "a", ""),
        ("class C:\n    x: 'a | None' = 1", "", "a"),
        ("class C:\n    x: Literal['a', 'b'] = 'a'", "", ""),
        ("class C:\n    x: typing.Literal['a']", "", ""),
        ("class C:\n    x: Annotated['a', 'b']", "", "a"),
        ("class C:\n    x: 'not a type'", "", ""),
        ("class C:\n    x: Optional['a']", "", "a"),
    ],
)
def test_quoted_and_local_annotations_are_hints(text: str, hints: str, fields: str) -> None:
    found = of(text)
    assert (read(found.hints), read(found.fields)) == (set(hints.split()), set(fields.split()))


def test_postponed_annotations_are_hints_too() -> None:
    found = of("def f(x: a) -> b: ...\nclass C:\n    y: c = d", postponed=True)
    assert (read(found.now), read(found.hints), read(found.fields)) == ({"d"}, {"a", "b"}, {"c"})


def test_the_line_is_that_of_the_first_reading() -> None:
    found = of("x = 1\ny = a\nz = a\ndef f():\n    return (\n        b)\nclass C:\n    q: 'c'")
    assert (found.now["a"], found.later["b"], found.fields["c"]) == (2, 6, 8)


def test_a_members_private_names_are_those_of_its_class() -> None:
    method = ast.parse("def __f(self): return __x").body
    found = names(*method, owner="_C")
    assert (found.binds, set(found.later)) == ({"_C__f"}, {"_C__x"})


CODE = st.recursive(
    st.sampled_from(["a", "b", "c", "1", "f(a)", "[a for a in b]", "[b for a in a]", "lambda a: b", "(c := a)", "a.b"]),
    lambda inner: st.one_of(
        st.builds("{}[{}]".format, inner, inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
    ),
    max_leaves=4,
).map(lambda text: f"x = {text}")
BLOCKS = st.recursive(
    st.one_of(CODE, st.sampled_from(["a = b", "b += 1", "import c", "global a", "del b", "pass"])),
    lambda inner: st.lists(
        st.one_of(
            inner,
            st.tuples(
                st.sampled_from(
                    ["def f(a):", "def g():", "class C:", "if a:", "for b in c:", "with a as c:", "while b:"]
                ),
                inner,
            ).map(lambda part: part[0] + "\n" + "\n".join("    " + line for line in part[1].split("\n"))),
        ),
        min_size=1,
        max_size=3,
    ).map("\n".join),
    max_leaves=12,
)


@settings(max_examples=200, deadline=None)
@given(BLOCKS)
def test_functions_read_what_pythons_own_symbol_table_says(text: str) -> None:
    try:
        table = symtable.symtable(text, "<text>", "exec")
    except SyntaxError:
        return
    waiting, later = [(child, False) for child in table.get_children()], set[str]()
    in_classes = set[str]()  # bound there; the table doesn't say whether one is read before, which goes further out
    while waiting:
        scope, in_function = waiting.pop()
        # 3.11 gives comprehensions a table of their own, which runs with what is around it.
        real = scope.get_type() == "function" and scope.get_name() not in ("listcomp", "setcomp", "dictcomp", "genexpr")
        in_function = in_function or real
        waiting += [(child, in_function) for child in scope.get_children()]
        if in_function and scope.get_type() == "class":
            in_classes |= {one.get_name() for one in scope.get_symbols() if one.is_local()}
        if in_function:
            later |= {one.get_name() for one in scope.get_symbols() if one.is_referenced() and one.is_global()}
    assert later <= set(of(text).later) <= later | in_classes


@pytest.mark.parametrize("body", ["b += 1", "x = b; b = 1", "b: int = b"])
def test_a_class_body_in_a_function_reads_what_it_has_not_bound_yet(body: str) -> None:
    assert "b" in of(f"def f(a):\n    class C:\n        {body}").later
    assert "b" not in of(f"def f(a):\n    class C:\n        b = 1; {body}").later
