"""What builds a processor's model: parts of a class and of the notebook, and whether they changed."""

from __future__ import annotations

import ast

import pytest
from source_kit import notebook

from byoc_nb.source import fingerprint, parts

HELPERS = """
import math
SIZE = 3
def weights(n): return [SIZE] * n
def tint(frame): return frame
class Net:
    def __init__(self, n): self.w = weights(n)
"""
CLASS = """
class P(FrameProcessor):
    DEPTH = 2
    HALF = DEPTH // 2
    LABEL = "x"
    class Params(BaseModel):
        strength: float = 1
    def __init__(self):
        super().__init__()
        self.n = self.DEPTH
    def load_model(self):
        self.net = self.build()
    def build(self):
        return Net(self.n)
    def process(self, frame):
        return tint(frame), self.LABEL
"""
ENTRIES = ["__init__", "load_model"]


def of(*cells: str) -> dict[str, str]:
    return parts(notebook(*cells), "P", ENTRIES, also={"params": "Params"})


def keys(body: str, before: str = HELPERS) -> set[str]:
    return {key.removeprefix("P.") for key in of(before, "class P:\n" + body)} - {"P"}


def test_only_what_builds_the_model_is_a_part() -> None:
    assert of(HELPERS, CLASS).keys() == {
        "P", "P.DEPTH", "P.__init__", "P.load_model", "P.build", "Net", "weights", "SIZE"
    }  # fmt: skip


def test_without_entries_everything_that_the_class_uses_is_a_part() -> None:
    assert parts(notebook(HELPERS, CLASS), "P").keys() == {"P", "Net", "weights", "SIZE", "tint"}
    assert parts(notebook(HELPERS), "tint").keys() == {"tint"}
    assert parts(notebook(HELPERS), "unheard_of") == {}


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("return tint(frame), self.LABEL", "return frame", set()),
        ('LABEL = "x"', 'LABEL = "y"', set()),
        ("strength: float = 1", "strength: float = 2", set()),
        ("DEPTH = 2", "DEPTH = 3", {"P.DEPTH"}),
        ("Net(self.n)", "Net(self.n + 1)", {"P.build"}),
        ("self.net = self.build()", '"""Loads."""\n        self.net = self.build()  # now', set()),
        ("class P(FrameProcessor)", "class P(Other)", {"P"}),
    ],
)
def test_a_change_of_the_class_shows_in_the_part_that_it_is_in(old: str, new: str, changed: set[str]) -> None:
    before, after = of(HELPERS, CLASS), of(HELPERS, CLASS.replace(old, new))
    assert {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)} == changed


@pytest.mark.parametrize(
    ("cell", "changed"),
    [
        ("SIZE = 4", {"SIZE"}),
        ("SIZE = 3  # still", set()),
        ("def tint(frame): return None", set()),
        ("def weights(n):\n    'New words.'\n    return [SIZE] * n", set()),
        ("def weights(n): return [SIZE] * n * 2", {"weights"}),
        ("P.DEPTH = 5", {"P, changed"}),
        ("Net.bias = True", {"Net, changed"}),
    ],
)
def test_a_change_in_another_cell_shows_too(cell: str, changed: set[str]) -> None:
    before, after = of(HELPERS, CLASS), of(HELPERS, CLASS, cell)
    assert {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)} == changed


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("    a = 1\n    def load_model(self): return self.a", {"load_model", "a"}),
        ("    a = 1\n    def load_model(self): return type(self).a", {"load_model", "a"}),
        ("    a = 1\n    def load_model(self): return self.__class__.a", {"load_model", "a"}),
        ("    a = 1\n    def load_model(self): return P.a", {"load_model", "a"}),
        ("    a = 1\n    @classmethod\n    def load_model(cls): return cls.a", {"load_model", "a"}),
        ("    __a = 1\n    def load_model(self): return self.__a", {"load_model", "_P__a"}),
        ("    a = 1\n    b = a + 1\n    def load_model(self): return self.b", {"load_model", "a", "b"}),
        ("    a = 1\n    def load_model(self): return getattr(self, 'a')", {"load_model", "a"}),
        ("    a = b = 1\n    def load_model(self): return getattr(self, name)", {"load_model", "a", "b"}),
        ("    a = b = 1\n    def load_model(self): return vars(self)", {"load_model", "a", "b"}),
        ("    a = b = 1\n    def load_model(self): return self.__dict__", {"load_model", "a", "b"}),
        ("    a = b = 1\n    def load_model(self): return build(self)", {"load_model", "a", "b"}),
        ("    a = 1\n    def load_model(self): return isinstance(self, P), hasattr(self, 'x')", {"load_model"}),
        ("    a = 1\n    def load_model(self): return lambda: self.a", {"load_model", "a"}),
        (
            "    a = 1\n    @property\n    def b(x): return x.a\n    def load_model(self): return self.b",
            {"load_model", "a", "b"},
        ),
        ("    a = 1\n    @staticmethod\n    def load_model(x): return x", {"load_model"}),
        ("    class Params: x = 1\n    def load_model(self): return self.params.x", {"load_model", "Params"}),
        ("    def load_model(self, n=SIZE): return n", {"load_model", "SIZE"}),
        ("    def process(self): return self.a\n    a = 1", set()),
    ],
)
def test_what_a_method_reaches_in_its_class(body: str, expected: set[str]) -> None:
    assert keys(body) == expected


def test_bases_of_the_notebook_are_part_of_the_class() -> None:
    base = (
        "class Base:\n    def load_model(self): self.net = self.build()\n"
        "    def build(self): return 1\n    def other(self): ..."
    )
    child = "class P(Base):\n    def build(self): return Net(2)\n    def process(self): ..."
    assert of(HELPERS, base, child).keys() == {
        "P", "Base", "Base.load_model", "Base.build", "P.build", "Net", "weights", "SIZE"
    }  # fmt: skip


def test_a_decorated_class_is_built_from_its_fields() -> None:
    found = of("from dataclasses import dataclass", "@dataclass\nclass P:\n    n: int = 1\n    def f(self): ...")
    assert found.keys() == {"P", "P.n", "dataclass"}


def test_a_fingerprint_is_of_the_code_alone() -> None:
    def of_text(text: str) -> str:
        return fingerprint(ast.parse(text))

    assert of_text("def f(a):\n    'Says.'\n    return (a)  # why") == of_text("\n\ndef f( a ):\n  return a")
    assert of_text("x = 1") != of_text("x = 1.0")
    assert of_text("class C:\n    'Says.'") == of_text("class C:\n    'Says more.'")
