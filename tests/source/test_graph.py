"""What of a notebook is needed, and in which order."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from source_kit import notebook

from byoc_nb.source import Notebook, Reach, Statement, forget, reach


def needed(made: Notebook, *roots: Statement | str) -> list[str]:
    return [f"[{one.cell.number}] {one.text.splitlines()[0]}" for one in reach(made, roots).statements]


def missing(found: Reach) -> list[tuple[str, str]]:
    return sorted((one.name, one.why) for one in found.missing)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["a = 1\nb = a\nc = 2", "p = b"], ["[1] a = 1", "[1] b = a", "[2] p = b"]),
        (
            ["def h(): return SIZE", "SIZE = 1", "def p(): return h()"],
            ["[1] def h(): return SIZE", "[2] SIZE = 1", "[3] def p(): return h()"],
        ),
        # now and then: a default is what it was, a body sees what it is
        (["n = 1", "def p(x=n): ...", "n = 2"], ["[1] n = 1", "[2] def p(x=n): ..."]),
        (["n = 1", "def p(): return n", "n = 2"], ["[2] def p(): return n", "[3] n = 2"]),
        (["n = 1", "def p(x=n): return n", "n = 2"], ["[1] n = 1", "[2] def p(x=n): return n", "[3] n = 2"]),
        # a call sees what is there at its time; what it returns may call again
        (
            ["n = 1", "def h(): return n", "p = h()", "n = 2"],
            ["[1] n = 1", "[2] def h(): return n", "[3] p = h()", "[4] n = 2"],
        ),
        # values that were changed
        (["t = {}", "t['x'] = 1", "def p(): return t"], ["[1] t = {}", "[2] t['x'] = 1", "[3] def p(): return t"]),
        (["t = {}", "t['x'] = 1", "t = {}", "def p(): return t"], ["[3] t = {}", "[4] def p(): return t"]),
        (["n = 1", "n += 1", "def p(): return n"], ["[1] n = 1", "[2] n += 1", "[3] def p(): return n"]),
        (["t = {}", "class p: x = t", "t['x'] = 1", "t = 5"], ["[1] t = {}", "[2] class p: x = t", "[3] t['x'] = 1"]),
        (["class p: ...", "p.size = 3"], ["[1] class p: ...", "[2] p.size = 3"]),
        (
            ["t = {}\nsame = t", "same['x'] = 1", "p = lambda: t"],
            ["[1] t = {}", "[1] same = t", "[2] same['x'] = 1", "[3] p = lambda: t"],
        ),
        # branches
        (["x = 1", "if x: x = 2", "p = lambda: x"], ["[1] x = 1", "[2] if x: x = 2", "[3] p = lambda: x"]),
        (
            ["x = 1", "try: import x\nexcept ImportError: x = None", "p = lambda: x"],
            ["[2] try: import x", "[3] p = lambda: x"],
        ),
        # cycles
        (
            ["def a(): return b()", "def b(): return a()", "p = lambda: a()"],
            ["[1] def a(): return b()", "[2] def b(): return a()", "[3] p = lambda: a()"],
        ),
        (["def p(n): return p(n - 1)"], ["[1] def p(n): return p(n - 1)"]),
        # bases, decorators, types, annotations
        (
            [
                "class B: ...\ndef d(c): return c\nT = int\nU = str\nV = 1",
                "@d\nclass p(B):\n    x: T\n    def f(self, y: 'U'): ...",
            ],
            ["[1] class B: ...", "[1] def d(c): return c", "[1] T = int", "[1] U = str", "[2] @d"],
        ),
        # registers
        (
            [
                "store = {}\ndef note(f):\n    store[1] = f\n    return f",
                "@note\ndef f(): ...",
                "def p(): return store",
            ],
            ["[1] store = {}", "[1] def note(f):", "[2] @note", "[3] def p(): return store"],
        ),
        # globals that functions set: called to set up, or while it works
        (
            ["m = None\ndef load():\n    global m\n    m = 1", "load()", "def p(): return m"],
            ["[1] m = None", "[1] def load():", "[2] load()", "[3] def p(): return m"],
        ),
        (
            ["def load():\n    global m\n    m = 1", "load()", "def p(): return m"],
            ["[1] def load():", "[2] load()", "[3] def p(): return m"],
        ),
        (["n = 0", "def p():\n    global n\n    n += 1", "p()"], ["[1] n = 0", "[2] def p():"]),
    ],
)
def test_what_p_needs(cells: list[str], expected: list[str]) -> None:
    made = notebook(*cells)
    assert needed(made, "p") == expected
    assert all(one.why == "unknown" for one in reach(made, ["p"]).missing)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["def p(): return a"], [("a", "unknown")]),
        (["a = 1", "def p(): return a", "del a"], [("a", "deleted")]),
        (["a = 1", "p = a", "del a"], []),
        (
            ["a = 1\ndel a", "def p():\n    try: return a\n    except NameError: ..."],
            [("NameError", "unknown"), ("a", "deleted")],
        ),
        (["a.x = 1", "def p(): return a"], [("a", "unknown"), ("a", "unknown")]),
        (["def p():\n    global a\n    a = 1\n    return a"], []),
    ],
)
def test_names_that_no_text_gives(cells: list[str], expected: list[tuple[str, str]]) -> None:
    assert missing(reach(notebook(*cells), ["p"])) == expected


def test_a_missing_name_says_who_reads_it_where_and_how() -> None:
    found = reach(notebook("a = 1", "\nclass p:\n    x: 'T'\n    def f(self, y: 'U'): return V"), ["p"])
    assert {(one.name, one.line, one.place, one.reader.cell.number) for one in found.missing} == {
        ("T", 3, "field", 2),
        ("U", 4, "hint", 2),
        ("V", 4, "code", 2),
    }


def test_a_name_set_elsewhere_is_missing() -> None:
    made = Notebook()
    made.ran("a = 1", 1, namespace={"a": 1})
    made.ran("def p(): return a", 2, namespace={"a": 2, "p": len})
    assert missing(reach(made, ["p"])) == [("a", "set elsewhere")]


def test_what_is_stopped_is_not_followed() -> None:
    made = notebook("import np\na = np.x", "def p(): return a")
    found = reach(made, ["p"], stop=lambda name: name == "a")
    assert [one.text for one in found.statements] == ["def p(): return a"]
    assert "a" in found.uses


def test_a_long_chain_is_no_deep_recursion() -> None:
    made = notebook("x = 0", *["x += 1"] * 2000, "p = lambda: x")
    assert len(reach(made, ["p"]).statements) == 2002


# ---- order


def ordered(made: Notebook, root: int) -> list[str]:
    cell = made.cells[root - 1]
    return [one.text.splitlines()[0] for one in reach(made, cell.statements).ordered(made, cell)]


def test_the_root_cell_goes_last_where_it_can() -> None:
    made = notebook("def p(): return h() + n", "def h(): return n", "n = 1")
    assert ordered(made, 1) == ["def h(): return n", "n = 1", "def p(): return h() + n"]


def test_what_set_a_name_again_stays_behind_whom_it_would_disturb() -> None:
    made = notebook("n = 1", "def p(x=n): return n", "n = 2")
    assert ordered(made, 2) == ["n = 1", "def p(x=n): return n", "n = 2"]
    made = notebook("n = 1\ndef h(): return n", "x = h()\ndef p(): return x, n", "n = 2")
    assert ordered(made, 2) == ["n = 1", "def h(): return n", "x = h()", "def p(): return x, n", "n = 2"]


def test_changes_of_the_root_come_behind_it() -> None:
    made = notebook("class p: ...", "p.size = SIZE", "SIZE = 1")
    assert ordered(made, 1)[0] == "class p: ..."


def test_running_the_order_gives_what_the_notebook_had() -> None:
    cells = [
        "a = 1\nb = []",
        "def f(): return a, list(b)",
        "b.append(a)",
        "a = 2",
        "c = f()",
        "def p(x=c): return x, f()",
        "b.append(3)\na = 4",
    ]
    made, live = notebook(*cells), dict[str, object]()
    for text in cells:
        exec(text, live)
    frozen: dict[str, object] = {}
    exec("\n".join(one.text for one in reach(made, ["p"]).ordered(made, made.cells[5])), frozen)
    assert frozen["p"]() == live["p"]()  # type: ignore[operator]


# ---- cells that were run again


HELPERS = "import np\nSIZE = 3\ndef h(x=SIZE): return np.f(x)\nclass B: ..."
USER = "class p(B):\n    size = SIZE\n    def f(self, y=h()): return h(), SIZE, B"


def test_what_was_run_again_and_is_the_same_comes_once_by_its_newest_number() -> None:
    made = notebook(HELPERS, USER, "# new words\n" + HELPERS)
    assert ordered(made, 2) == [
        "# new words",
        "SIZE = 3",
        "def h(x=SIZE): return np.f(x)",
        "class B: ...",
        "class p(B):",
    ]
    assert {one.cell.number for one in reach(made, ["p"]).statements} == {2, 3}


@pytest.mark.parametrize(
    ("again", "twice"),
    [
        ("SIZE = 4\ndef h(x=SIZE): return np.f(x)", {"SIZE", "h"}),
        ("def h(x=SIZE): return np.f(x, 1)", {"h"}),
        ("SIZE = 9\nSIZE = 3", {"SIZE"}),
        ("def h(x=SIZE): return np.f(x)", set()),
    ],
)
def test_what_became_something_else_comes_twice(again: str, twice: set[str]) -> None:
    found = reach(notebook(HELPERS, USER, again), ["p"]).statements
    names = [name for one in found for name in one.names.binds]
    assert {name for name in names if names.count(name) > 1} == twice


def test_a_list_that_was_made_again_is_another_one() -> None:
    made = notebook("xs = []", "class p:\n    xs = xs\n    def f(self): return xs", "xs = []", "xs.append(1)")
    assert len(reach(made, ["p"]).statements) == 4


# ---- forgetting


def test_old_versions_of_a_cell_are_forgotten_and_nothing_else_changes() -> None:
    made = notebook("import np\nn = 1\ntable = {}", "table['x'] = n", "def h(x=n): return table", "n = 2\nz = 1\ndel z")
    for _ in range(20):
        made.ran("class P:\n    x = n\n    def f(self): return h()", 5)
    before = needed(made, "P")
    forget(made)
    assert needed(made, "P") == before
    assert len(made.cells) == 5
    assert [event.kind for event in made.history("z")] == ["deleted"]
    made.ran("n = 3\ndef g(): return P, n", 6)
    assert needed(made, "g") == [*before, "[6] n = 3", "[6] def g(): return P, n"]


def test_the_statements_of_the_last_cell_are_kept_whatever_they_do() -> None:
    made = notebook("x = 1", "print(x)")
    forget(made)
    assert [one.text for one in made.statements] == ["x = 1", "print(x)"]


# ---- whatever a notebook does

STEPS = """a = 1
a += 1
b = [a]
b.append(a)
b = list(b)
c = b
c.append(5)
d = {}
d['x'] = b
d['y'] = len(d)
def f(): return a
def f(x=a): return x, b
def g(): return f()
a = len(str(g()))
def s():⏎    global a⏎    a = 7
def s():⏎    b.append(8)
s()
del a
del b
for i in range(2): b.append(i)
if len(b) > 1: b = [9]
class K:⏎    v = a⏎    def m(self): return b
class K:⏎    v = b⏎    def m(self): return f()
class L(K):⏎    def n(self): return self.m(), self.v
K.v = a
setattr(K, 'w', b)
b = K().m()
c = K.v
k = lambda: a
k = (lambda y: lambda: (y, a))(b)
try: a = b[0]⏎except Exception: a = 0
(a, c) = (c, a)
def fill(to): to.append(a)
fill(b)
fill(c)
def note(h):⏎    b.append(h())⏎    return h
@note⏎def g(): return a
d = {n: f for n in range(2) if (a := n)}""".splitlines()
ROOT = """
def tried(read):
    try:
        return repr(read())
    except Exception as error:
        return type(error).__name__
def p():
    reads = [lambda: a, lambda: b, lambda: c, lambda: sorted(map(str, d)), lambda: f(), lambda: g(), lambda: K.v,
             lambda: K().m(), lambda: L().n(), lambda: K.w, lambda: k()]
    return [tried(read) for read in reads]
"""


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(STEPS), min_size=6, max_size=40), st.integers(0, 25), st.booleans())
def test_what_is_carried_does_what_the_notebook_does(steps: list[str], place: int, forgets: bool) -> None:
    made, live = Notebook(), dict[str, object]()
    made.look(live)
    root = None
    for number, step in enumerate([*steps[:place], ROOT, *steps[place:]], 1):
        text = step.replace("⏎", "\n")
        before = {name: id(value) for name, value in live.items()}
        try:
            exec(text, live)
        except Exception:
            if before != {name: id(value) for name, value in live.items()}:
                return  # half a statement has no text
            continue
        cell = made.ran(text, number, namespace=live)
        root = cell if step is ROOT else root
        if forgets:
            forget(made)
    assert root is not None
    found = reach(made, root.statements)
    if any(one.why != "unknown" for one in found.missing):  # an export stops there
        return
    frozen: dict[str, object] = {}
    exec("\n".join(one.text for one in found.ordered(made, root)), frozen)
    assert frozen["p"]() == live["p"]()  # type: ignore[operator]
