"""A cell's text becomes a program of its own, or the export says which name on which line is in the way."""

from __future__ import annotations

import builtins
import math
import os
import sys
import textwrap
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.inputtransformer2 import TransformerManager

import byoc_nb
from byoc_nb.export.freeze import FreezeError, Frozen, freeze
from byoc_nb.notebook.cells import runnable
from byoc_nb.source import Notebook
from byoc_nb.source.text import without_main_guard

QUICKSTART = Path(__file__).parents[1] / "fixtures" / "livepeer_docs" / "quickstart.py.txt"
TRANSFORM = TransformerManager().transform_cell
LOADED: dict[str, Any] = {
    name: getattr(byoc_nb, name) for name in ("FrameProcessor", "VideoFrame", "BaseModel", "Field")
}

PROCESSOR = """
class P(FrameProcessor):
    def process_video(self, frame):
        return frame
"""


def frozen(cell: str, namespace: Mapping[str, Any] | None = None, before: tuple[str, ...] = ()) -> Frozen:
    """A processor's cell frozen in a kernel that has this in its namespace and ran the cells `before` it."""
    notebook, space = Notebook(), {**LOADED, **(namespace or {})}
    notebook.look(space)
    for number, text in enumerate([*before, runnable(textwrap.dedent(cell), TRANSFORM)], 1):
        assert notebook.ran(textwrap.dedent(text), number) is not None
    return freeze(notebook, "P", space)


def refused(cell: str, namespace: Mapping[str, Any] | None = None, before: tuple[str, ...] = ()) -> FreezeError:
    with pytest.raises(FreezeError) as caught:
        frozen(cell, namespace, before)
    error = caught.value
    assert error.hint
    assert "\n" not in error.one_line()
    assert str(error).startswith(f"cell [{error.finding.cell}] line {error.finding.line}: ")
    return error


def runs(result: Frozen) -> dict[str, Any]:
    """The text as a module of its own, as `python processor.py` has it."""
    module = sys.modules["frozen"] = ModuleType("frozen")
    try:
        exec("\n".join([*result.future, *result.imports, result.body]), vars(module))
    finally:
        del sys.modules["frozen"]
    return vars(module)


# ---- what is carried along


def test_the_body_is_the_cells_text_to_the_letter() -> None:
    cell = PROCESSOR + "    # a comment, a $dollar, {braces} and {{ jinja }}\n"
    assert frozen(cell).body == "# from cell [1]\n" + cell.strip("\n") + "\n"


def test_names_that_the_extension_gave_are_imported_in_one_line() -> None:
    result = frozen(
        """
        class P(FrameProcessor):
            class Params(BaseModel):
                strength: float = Field(0.3)
            def process_video(self, frame: VideoFrame):
                return frame
        """
    )
    assert result.imports == ["from byoc_nb import BaseModel, Field, FrameProcessor, VideoFrame"]
    assert result.future == []
    assert not result.uses_torch
    assert runs(result)["P"]().params.strength == 0.3


def test_imports_of_other_cells_are_repeated() -> None:
    result = frozen(
        """
        class P(FrameProcessor):
            def process_video(self, frame):
                return np.clip(up(1.5), floor(1.5), os.getpid()), defaultdict(list), Any
        """,
        {"np": np, "up": math.ceil, "floor": math.floor, "os": os, "Any": Any, "defaultdict": defaultdict},
    )
    assert result.imports == [
        "import numpy as np",
        "import os",
        "from byoc_nb import FrameProcessor",
        "from collections import defaultdict",
        "from math import ceil as up, floor",
        "from typing import Any",
    ]
    runs(result)


def test_submodules_that_the_cell_reaches_are_imported_themselves() -> None:
    import concurrent.futures
    import importlib.util

    result = frozen(
        PROCESSOR + "POOL = concurrent.futures.ThreadPoolExecutor\nFIND = il.util.find_spec\n",
        {"concurrent": concurrent, "il": importlib},
    )
    assert result.imports[:4] == [
        "import concurrent",
        "import concurrent.futures",
        "import importlib as il",
        "import importlib.util",
    ]


def test_many_names_of_one_module_are_wrapped() -> None:
    import typing

    names = [
        "Annotated",
        "Any",
        "Callable",
        "ClassVar",
        "Generic",
        "Literal",
        "NamedTuple",
        "Optional",
        "Protocol",
        "Union",
    ]
    names += ["TypedDict", "Iterator", "Iterable", "Mapping"]
    result = frozen(PROCESSOR + f"ALL = [{', '.join(names)}]\n", {name: getattr(typing, name) for name in names})
    assert all(len(line) <= 120 for text in result.imports for line in text.splitlines())
    runs(result)


def test_the_modules_to_install_are_named() -> None:
    result = frozen("import scipy.signal\nfrom PIL import Image\n" + PROCESSOR + "x = np.zeros\n", {"np": np})
    assert result.modules == {"scipy", "PIL", "numpy", "byoc_nb"}


@pytest.mark.parametrize(
    ("line", "uses"),
    [
        ("frame.tensor", True),
        ("torch.zeros(1)", True),
        ("frame.replace_tensor(1)", False),
        ("frame.array", False),
    ],
)
def test_torch_is_needed_where_a_tensor_is(line: str, uses: bool) -> None:
    assert frozen(PROCESSOR + f"def helper(frame): return {line}\n", {"torch": torch}).uses_torch is uses


@pytest.mark.parametrize(
    "use",
    [
        "def f(): return needed",
        "def f():\n    def g(): return needed\n    return g",
        "f = lambda: needed",
        "def f(x=needed): return x",
        "def f(*, x=needed): return x",
        "def f(x: needed): return x",
        "def f() -> needed: ...",
        "x: needed = 1",
        "xs = [needed for _ in range(3)]",
        "xs = {needed: 1 for _ in range(3)}",
        "xs = [i for i in range(3) if needed]",
        "xs = sum(needed for _ in range(3))",
        "@needed\ndef f(): ...",
        "class C(needed): ...",
        "class C(metaclass=needed): ...",
        "class C:\n    needed = needed",
        "class C:\n    x: needed = 1",
        "class C:\n    @needed\n    def needed(self): ...",
        "class C:\n    def f(self, x=needed): ...",
        "class C:\n    def f(self): return [needed for _ in range(3)]",
        "def f(): return f'{needed}'",
        "def f(): return f'{1:>{needed}}'",
        "def f():\n    global needed\n    return needed",
        "def f():\n    if (n := needed): return n",
        "async def f():\n    async with needed: ...",
        "try: ...\nexcept needed: ...",
        "def f(x):\n    match x:\n        case needed.y: ...",
        "def f():\n    needed.x = 1",
        "def f():\n    needed[0] += 1",
        "def f():\n    del needed[0]",
        "assert True, needed",
    ],
)
def test_a_name_of_another_cell_is_found_wherever_it_hides(use: str) -> None:
    cell = PROCESSOR + use
    error = refused(cell, {"needed": object()})
    assert "needed was set by something other than a cell's text" in str(error)
    assert "needed" in ("\n" + cell).splitlines()[error.finding.line - 1]
    assert "needed = object()\n" in frozen(cell, {"needed": object()}, before=("other = 1\nneeded = object()",)).body
    assert (
        "from functools import partial as needed" in frozen(cell, {"needed": __import__("functools").partial}).imports
    )


@pytest.mark.parametrize(
    "bound",
    [
        "needed = 1\ndef f(): return needed",
        "def f(): return needed\nneeded = 1",
        "def f(needed): return needed",
        "def f():\n    needed = 1\n    return lambda: needed",
        "import os as needed\nneeded.x",
        "from os import path as needed\nneeded.x",
        "import needed.sub\nneeded.x",
        "for needed in range(3): needed",
        "with open('x') as needed: needed",
        "try: ...\nexcept Exception as needed: needed",
        "xs = [(needed := i) for i in range(3)]\nneeded",
        "xs = [needed for needed in range(3)]",
        "def f():\n    global needed\n    needed = 1\ndef g(): return needed",
        "class needed: ...\nneeded()",
        "class C:\n    needed = 1\n    other = needed",
        "class C:\n    def needed(self): ...\n    other = needed",
        "class C:\n    needed: int = 1\n    other: int = needed + 1",
        "match 1:\n    case needed: needed",
        "(needed := 5)\nprint(needed)",
        "needed: int = 5\nprint(needed)",
    ],
)
def test_a_name_that_the_cell_binds_itself_needs_nothing(bound: str) -> None:
    result = frozen(PROCESSOR + bound)
    assert result.imports == ["from byoc_nb import FrameProcessor"]


@given(st.text(alphabet="abxy01_ =+()[]:.\n", max_size=60))
def test_no_text_breaks_the_analysis(text: str) -> None:
    notebook = Notebook()
    if notebook.ran(PROCESSOR + text, 1) is None:
        return
    try:
        freeze(notebook, "P", LOADED | {"a": 1})
    except FreezeError as error:
        assert 1 <= error.finding.line <= (PROCESSOR + text).count("\n") + 1


# ---- the program's own parts


def test_the_quickstart_freezes_without_its_main_block() -> None:
    notebook = Notebook()
    notebook.ran(runnable(QUICKSTART.read_text(), TRANSFORM), 1)
    result = freeze(notebook, "GreenTintProcessor", {})
    assert "class GreenTintProcessor" in result.body
    assert "__main__" not in result.body
    assert result.imports == []
    assert not result.uses_torch
    assert result.modules == {"asyncio", "logging", "pytrickle"}


def test_what_only_the_main_block_needs_is_not_carried_along() -> None:
    result = frozen(
        PROCESSOR + 'if __name__ == "__main__":\n    import uvicorn\n    helper(start)\n', {"helper": object()}
    )
    assert result.modules == {"byoc_nb"}


@pytest.mark.parametrize(
    "guard", ['if __name__ == "__main__":', "if '__main__' == __name__:", 'if (__name__ == "__main__"):']
)
def test_a_main_block_is_left_blank_and_the_lines_stay(guard: str) -> None:
    text = f'a = 1\n{guard}\n    b = """\n    2\n    """\nc = 3\n'
    left = without_main_guard(text)
    assert left == "a = 1\n" + "\n" * 4 + "c = 3\n"


@pytest.mark.parametrize(
    "text",
    [
        'if __name__ != "__main__":\n    a = 1\n',
        'if __name__ == "__main__":\n    a = 1\nelse:\n    a = 2\n',
        'if __name__ == "other":\n    a = 1\n',
        'if __name__ == "__main__" and x:\n    a = 1\n',
        "if name == '__main__':\n    a = 1\n",
        "def broken(:\n",
        "!ls\n",
    ],
)
def test_what_is_no_main_block_stays(text: str) -> None:
    assert without_main_guard(text) == text


def test_line_ends_that_only_python_strings_know_dont_shift_the_lines() -> None:
    text = "a = 'x\x0c\u2028y'\nif __name__ == '__main__':\n    b = 2\nc = 3\n"
    assert without_main_guard(text) == "a = 'x\x0c\u2028y'\n\n\nc = 3\n"


def test_future_imports_go_in_front_of_everything() -> None:
    result = frozen("from __future__ import annotations\n" + PROCESSOR)
    assert result.future == ["from __future__ import annotations"]
    assert "__future__" not in result.body
    runs(result)


def test_what_shares_a_line_with_a_future_import_stays() -> None:
    result = frozen('"""Doc."""; from __future__ import annotations; import os  # why\n' + PROCESSOR)
    assert "import os  # why" in result.body
    assert "__future__" not in result.body
    assert "os" in runs(result)


def test_under_postponed_annotations_the_names_in_fields_are_carried_along() -> None:
    cell = """
    from __future__ import annotations
    class P(FrameProcessor):
        class Params(BaseModel):
            mode: Literal["a", "b"] = "a"
            other: "Optional[int]" = None
        def process_video(self, frame: VideoFrame) -> Unheard:
            return frame
    """
    import typing

    result = frozen(cell, {"Literal": typing.Literal, "Optional": typing.Optional})
    assert result.imports == [
        "from byoc_nb import BaseModel, FrameProcessor, VideoFrame",
        "from typing import Literal, Optional",
    ]
    assert runs(result)["P"]().params.mode == "a"
    assert "Literal was set by something other" in str(refused(cell, {"Literal": object()}))
    frozen(cell, {"Literal": typing.Literal, "Unheard": object()})  # nobody evaluates a function's annotation


# ---- refusals


def test_lines_are_those_that_the_notebook_shows() -> None:
    assert refused(PROCESSOR + "y = unheard_of\n").finding.line == 6  # line 1 is the magic's


@pytest.mark.parametrize(
    ("cell", "namespace", "line", "said"),
    [
        (PROCESSOR + "from math import *\n", {}, 6, "from math import *"),
        (PROCESSOR + "def f(): return helper()\n", {"helper": lambda: 1}, 6, "helper was set by something other"),
        (PROCESSOR + "x = model\n", {"model": torch.nn.Identity()}, 6, "model was set by something other"),
        (PROCESSOR + "x = LIMIT\n", {"LIMIT": 5}, 6, "LIMIT was set by something other than a cell's text"),
        (PROCESSOR + "display(1)\n", {"display": print}, 6, "display exists in a notebook only"),
        (PROCESSOR + "x = get_ipython()\n", {}, 6, "get_ipython exists in a notebook only"),
        (PROCESSOR + "x = Out[3]\n", {"Out": {}}, 6, "Out exists in a notebook only"),
        (PROCESSOR + "x = _ + 1\n", {"_": 5}, 6, "_ exists in a notebook only"),
        (PROCESSOR + "x = unheard_of\n", {}, 6, "unheard_of is not defined"),
        (PROCESSOR + "from . import x\n", {}, 6, "relative imports"),
        (PROCESSOR + "def f():\n    from .a import x\n", {}, 7, "relative imports"),
        (PROCESSOR + "!pip install x\n", {}, 6, "!pip … works in a notebook only"),
        (PROCESSOR + "%matplotlib inline\n", {}, 6, "%matplotlib … works in a notebook only"),
        (PROCESSOR + "files = !ls\n", {}, 6, "!ls works in a notebook only"),
        (PROCESSOR + "t = %time 1\n", {}, 6, "%time … works in a notebook only"),
        (PROCESSOR + "P?\n", {}, 6, "P? works in a notebook only"),
        (PROCESSOR + "?P\n", {}, 6, "P? works in a notebook only"),
        (PROCESSOR + "x = made\n", {"made": ModuleType("made")}, 6, "made was set by something other"),
        (PROCESSOR + "x = main\n", {"main": __import__("__main__")}, 6, "main was set by something other"),
    ],
)
def test_what_cant_stand_alone_is_refused_with_its_name_and_line(
    cell: str, namespace: dict[str, Any], line: int, said: str
) -> None:
    error = refused(cell, namespace)
    assert (error.finding.line, said in str(error)) == (line, True), str(error)


def test_a_class_of_another_cell_is_refused_even_if_some_module_has_one_of_that_name() -> None:
    class Fraction:
        pass

    Fraction.__module__ = "fractions"
    assert "Fraction was set by something other" in str(refused(PROCESSOR + "x = Fraction\n", {"Fraction": Fraction}))


def test_a_builtin_that_the_notebook_replaced_is_no_builtin() -> None:
    cell = PROCESSOR + "x = max(1, 2)\n"
    assert "max was set by something other" in str(refused(cell, {"max": lambda *a: 0}))
    frozen(cell, {"max": builtins.max})
    frozen(cell)


def test_ipythons_own_open_is_the_builtin() -> None:
    from IPython.core.interactiveshell import _modified_open

    assert frozen(PROCESSOR + "x = open\n", {"open": _modified_open}).imports == ["from byoc_nb import FrameProcessor"]


def test_a_private_name_in_a_class_is_told_with_its_line() -> None:
    error = refused(PROCESSOR + "class C:\n    def f(self): return __helper\n", {"__helper": 1})
    assert (error.finding.line, str(error).count("_C__helper is not defined")) == (7, 1)
