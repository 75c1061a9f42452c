"""Live values are compared with their text where that is cheap."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from freeze_kit import Kernel, kernel

from byoc_nb.export.freeze import FreezeError

PROCESSOR = "class P(FrameProcessor):\n    def process_video(self, frame): return read(x)\n"
READ = "def read(value): return value"


def refused(made: Kernel) -> str:
    with pytest.raises(FreezeError) as caught:
        made.freeze()
    return caught.value.one_line()


def same(*cells: str, **live: Any) -> bool:
    """Whether a notebook freezes after the namespace became this behind the record's back, ids and all."""
    made = kernel(*cells)
    made.namespace.update(live)  # no look: as if it had been changed in place
    try:
        made.freeze()
    except FreezeError as error:
        assert "is not what this line made of it" in str(error), error
        return False
    return True


@pytest.mark.parametrize(
    "text", ["5", "0.1", "'a'", "None", "True", "b'x'", "(1, ('a', 2.5))", "-1", "1 + 2j", "float"]
)
def test_a_value_that_is_what_its_text_says_freezes(text: str) -> None:
    assert same(READ, f"x = {text}", PROCESSOR)


@pytest.mark.parametrize(
    ("text", "live"),
    [
        ("5", 6),
        ("1", True),
        ("1", 1.0),
        ("'a'", "b"),
        ("(1, 2)", (1, 3)),
        ("None", 0),
        ("[1, 2]", [1, 2, 3]),
        ("{'a': 1}", {"a": 2}),
        ("{1, 2}", {1}),
        ("[1]", (1,)),
        ("[1, 2]", [np.zeros(2), 2]),
    ],
)
def test_another_value_is_refused(text: str, live: object) -> None:
    assert not same(READ, f"x = {text}", PROCESSOR, x=live)
    assert not same(READ, f"x: object = {text}", PROCESSOR, x=live)


@pytest.mark.parametrize(
    "use",
    [
        "x.append(frame)",
        "x[0] = frame",
        "self.x = x",
        "return {'x': x}",
        "for one in [x]: one.append(1)",
        "y = x",
    ],
)
def test_a_list_that_the_processor_works_with_may_have_changed_since(use: str) -> None:
    text = f"class P(FrameProcessor):\n    def process_video(self, frame):\n        {use}\n"
    assert same("x = [1]", text, x=[1, 2])


@pytest.mark.parametrize("use", ["x[0]", "x.get(1)", "len(x)", "[i for i in x]", "frame in x", "sum(x)"])
def test_a_list_that_is_only_read_may_not(use: str) -> None:
    text = f"class P(FrameProcessor):\n    def process_video(self, frame):\n        return {use}\n"
    assert not same("x = [1]", text, x=[1, 2])


def test_a_counter_that_the_processor_sets_may_have_changed() -> None:
    text = "class P(FrameProcessor):\n    def process_video(self, frame):\n        global x\n        x += 1\n"
    assert same("x = 0", text, x=500)


def test_a_value_that_text_changed_since_is_not_compared() -> None:
    assert same(READ, "x = {}", "x['a'] = 1", PROCESSOR)
    assert same(READ, "x = 1", "x += 1", PROCESSOR)


def test_functions_and_methods_are_compared_by_their_code() -> None:
    assert not same(READ, "x = 1", PROCESSOR, read=lambda value: value)
    assert not same(READ, "x = 1", PROCESSOR, read=5)
    made = kernel(READ, "x = 1", PROCESSOR)
    made.elsewhere("P.process_video = lambda self, frame: None")
    assert "P is not what this line made of it" in refused(made)


def test_a_function_that_was_decorated_is_not_compared() -> None:
    text = "import functools\n@functools.cache\n" + READ
    assert same(text, "x = 1", PROCESSOR, read=functools.cache(lambda value: value))


@pytest.mark.parametrize(
    "text",
    [
        "def read(value, *more, x=5, **others):\n    'Says.'\n    def inner(): return [lambda: x for x in more]",
        "async def read(value):\n    async for x in value: yield x",
        "import numpy as np\ndef read(value): return np.zeros(3) in {1, 2, 'a'}",
        "class read:\n    def __init__(self, value): self.__x = super().__init__\n    @property\n    def y(self): ...",
        "import enum\nclass read(enum.Enum):\n    A = 1\n    def __new__(cls, value): return object.__new__(cls)",
        "from __future__ import annotations\ndef read(value: Unheard) -> None:\n    def inner(x: Of): ...",
        "if True:\n    def read(value): return value\nelse:\n    def read(value): return 5",
    ],
)
def test_what_is_the_same_is_seen_to_be(text: str) -> None:
    assert same(text, "x = 1", PROCESSOR)


def test_what_the_compiler_warns_of_is_not_told_again() -> None:
    made = kernel("x = 1", PROCESSOR)
    assert made.notebook.ran("def read(value): return value is 5 or 1()", 9)
    exec("def read(value): return value", made.namespace)
    assert "read is not what this line made of it" in refused(made)
