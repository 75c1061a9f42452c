"""What an export stops at and warns of, one check after the other."""

from __future__ import annotations

import textwrap

import pytest
import torch
from freeze_kit import GIVEN
from IPython.core.inputtransformer2 import TransformerManager

import byoc_nb
from byoc_nb.export.checks import CHECKS
from byoc_nb.export.findings import Finding, is_ignored
from byoc_nb.export.freeze import FreezeError, check, freeze
from byoc_nb.notebook.cells import as_python
from byoc_nb.source import Notebook

TRANSFORM = TransformerManager().transform_cell
SPACE = {name: getattr(byoc_nb, name) for name in GIVEN}
PROCESSOR = """
class P(FrameProcessor):
    async def process_video_async(self, frame):
        return helper(frame)
"""


def found(*cells: str, **namespace: object) -> list[Finding]:
    """What the checks say of a notebook whose last cell holds P; its cells aren't executed."""
    notebook, space = Notebook(), SPACE | {"torch": torch} | namespace
    notebook.look(space)
    for number, text in enumerate(cells, 1):
        notebook.ran(as_python(textwrap.dedent(text), TRANSFORM), number)
    return check(notebook, "P", space)


def brief(findings: list[Finding]) -> list[str]:
    return [f"{finding.id} {finding.cell}:{finding.line}" for finding in findings]


def in_helper(
    body: str, before: str = "import random, requests, subprocess, time, torch\nimport numpy as np"
) -> list[str]:
    """The findings for the body of a function that the frames go through; its first line is 2:2."""
    helper = "async def helper(frame):\n" + textwrap.indent(textwrap.dedent(body), "    ")
    return brief(found(before, helper, PROCESSOR))


def at_top(line: str) -> list[str]:
    """The findings for a line in another cell that binds `value`, and for its uses."""
    before = "import torch, random, numpy as np\nDEVICE = 'cuda'\ndef make(): return torch.zeros(3).cuda()"
    return brief(found(before, line, "def helper(frame): return value", PROCESSOR))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        # notebook-only
        ("display(frame)", ["notebook-only 2:2"]),
        ("get_ipython().run_line_magic('x', '')", ["notebook-only 2:2"]),
        ("x = 1\n!ls -l\n", ["notebook-only 2:3"]),
        ("%timeit frame\n", ["notebook-only 2:2"]),
        ("files = !ls\nreturn files", ["notebook-only 2:2"]),
        ("return input('?')", ["notebook-only 2:2"]),
        ("plt.show()", ["notebook-only 2:2", "undefined 2:2"]),
        ("from IPython.display import clear_output", ["notebook-only 2:2"]),
        ("import ipywidgets as w", ["notebook-only 2:2"]),
        ("from tqdm.notebook import tqdm", ["notebook-only 2:2"]),
        ("return Out[3], _", ["notebook-only 2:2"]),
        ("_ = 1\nfor _ in range(3): print", []),
        # imports
        ("from . import x", ["relative-import 2:2"]),
        # warnings
        ("return open('/home/me/x.txt')", ["absolute-path 2:2"]),
        ("return '/srv/models/x', '~/x', 'C:\\\\x'", ["absolute-path 2:2"]),
        ("return '/weights.pt'", ["absolute-path 2:2"]),
        ("return '/stream/start', 'a/b.pt', '/', '//x', 'https://x/y.pt'", []),
        ("'''/home/me/x.txt'''", []),
        ("return 'cuda:0'", ["cuda-index 2:2"]),
        ("return 'cuda', 'cuda:x', 'cpu:0'", []),
        ("time.sleep(1)", ["blocking-call 2:2"]),
        ("requests.get('x')\nsubprocess.run([])", ["blocking-call 2:2", "blocking-call 2:3"]),
        ("def inner(): time.sleep(1)\nreturn inner", []),
        ("return random.random()", ["unseeded-random 2:2"]),
        ("return np.random.normal(), torch.rand(3)", ["unseeded-random 2:2"]),
        ("return np.random.default_rng().normal()", ["unseeded-random 2:2"]),
        ("return np.random.default_rng(1).normal()", []),
        ("random.seed(1)\nreturn random.random()", []),
        ("random.seed(1)\nreturn torch.rand(1)", ["unseeded-random 2:3"]),
        ("torch.manual_seed(1)\nreturn torch.rand(1), torch.empty(1)", []),
        ("return torch.rand(3, generator=frame)", []),
        ("print(frame)", ["print-per-frame 2:2"]),
        ("def inner(): print(1)\nreturn inner", ["print-per-frame 2:2"]),
        # silenced
        ("time.sleep(1)  # byoc: ignore[blocking-call]", []),
        ("print(time.sleep(1))  # byoc: ignore[blocking-call, print-per-frame]", []),
        ("print(time.sleep(1))  # byoc: ignore[blocking-call]", ["print-per-frame 2:2"]),
        ("return unheard_of  # byoc: ignore[undefined]", []),
        ("# byoc: ignore[cuda-index]\nreturn 'cuda:0'", ["cuda-index 2:3"]),
    ],
)
def test_what_is_found_in_a_function(body: str, expected: list[str]) -> None:
    assert in_helper(body) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("value = torch.zeros(3)", []),
        ("value = torch.zeros(3, device='cuda')", ["gpu-at-import 2:1"]),
        ("value = torch.zeros(3).cuda()", ["gpu-at-import 2:1"]),
        ("value = torch.zeros(3).to('cuda:1')", ["cuda-index 2:1", "gpu-at-import 2:1"]),
        ("value = torch.zeros(3, device=DEVICE)", ["gpu-at-import 2:1"]),
        ("value = torch.zeros(3).to(torch.device(DEVICE))", ["gpu-at-import 2:1"]),
        ("value = make()", ["gpu-at-import 2:1"]),
        ("value = torch.cuda.memory_allocated()", ["gpu-at-import 2:1"]),
        ("value = 'cuda' if torch.cuda.is_available() else 'cpu'", []),
        ("value = torch.device('cuda')", []),
        ("value = lambda: torch.zeros(3).cuda()", []),
        ("def value(x=torch.zeros(3).cuda()): ...", ["gpu-at-import 2:1"]),
        ("class value:\n    x = torch.zeros(3).cuda()", ["gpu-at-import 2:2"]),
        ("value = await torch.x()", ["top-level-await 2:1"]),
        ("value = [x async for x in torch.x()]", ["top-level-await 2:1"]),
        ("async with torch.x() as value: ...", ["top-level-await 2:1"]),
        ("value = random.random()", ["irreproducible 2:1", "unseeded-random 2:1"]),
        ("random.seed(0)\nvalue = random.random()", []),
        ("value = %time 5", ["notebook-only 2:1"]),
        ("from math import *\nvalue = pi", []),
    ],
)
def test_what_is_found_at_the_top_level_of_another_cell(line: str, expected: list[str]) -> None:
    assert sorted(at_top(line)) == expected


def test_other_names_for_the_same_are_seen_through() -> None:
    before = "from time import sleep as rest\nimport numpy.random as chance, random as r\nimport matplotlib.pyplot as p"
    body = "rest(1)\nchance.normal()\nr.choice(frame)\np.show()\ntime.sleep(1)\n"
    assert in_helper(body, before) == [
        "notebook-only 2:5",
        "undefined 2:6",
        "blocking-call 2:2",
        "unseeded-random 2:3",
        "unseeded-random 2:4",
        "blocking-call 2:6",
    ]


def test_the_processors_own_cell_may_draw_by_chance_and_import_no_stars() -> None:
    text = "import random\nfrom math import *\nnoise = random.random()\ndef helper(frame): return frame" + PROCESSOR
    assert brief(found(text)) == ["star-import 1:2", "unseeded-random 1:3"]


def test_loading_may_block() -> None:
    text = "import time\nclass P(FrameProcessor):\n    async def load_model(self): time.sleep(1)\n"
    assert found(text + "    def process(self, frame: bytes) -> bytes: return frame") == []


def test_printing_counts_where_the_frames_go_through() -> None:
    text = """
    class Base(FrameProcessor):
        def process_video(self, frame): return self.step(frame)
    class P(Base):
        def load_model(self): print("loading")
        def step(self, frame): print(frame)
        def unused(self): print("never")
    """
    assert brief(found(text)) == ["print-per-frame 1:6"]
    handler = """
    from byoc_nb.decorators import video_handler
    class P:
        @video_handler
        def anything(self, frame): print(frame)
    """
    assert brief(found(handler)) == ["print-per-frame 1:5"]


def test_a_widgets_name_is_refused_where_it_is_read() -> None:
    from IPython.display import clear_output

    cells = ["def helper(frame):\n    clear_output()", PROCESSOR]
    assert brief(found(*cells)) == ["undefined 1:2"]
    assert brief(found(*cells, clear_output=clear_output)) == ["notebook-only 1:2"]


def test_what_a_magic_is_told_with_never_repeats_its_arguments() -> None:
    (finding,) = found("helper = !curl -H 'Authorization: hunter2hunter2'", PROCESSOR)
    assert str(finding).count("hunter2") == 0
    assert "!curl … works in a notebook only" in str(finding)


def test_every_finding_is_one_line_with_its_id_its_place_and_what_to_do() -> None:
    cells = ["def helper(frame):\n    print(display, 'cuda:0')\n", PROCESSOR]
    assert list(map(str, found(*cells))) == [
        "error [notebook-only] cell [1] line 2: display exists in a notebook only · take it out of the processor",
        'warning [cuda-index] cell [1] line 2: "cuda:0" is one certain GPU · say "cuda"',
        "warning [print-per-frame] cell [1] line 2: helper prints for every frame · "
        "take it out, or log it now and then",
    ]


def test_freezing_tells_the_first_error_and_how_many_there_are() -> None:
    notebook = Notebook()
    notebook.ran(PROCESSOR + "x = unheard\ny = of", 1)
    with pytest.raises(FreezeError) as caught:
        freeze(notebook, "P", SPACE | {"helper": len})
    assert caught.value.one_line() == (
        "cell [1] line 5: unheard is not defined (1 more, %byoc check lists them): define it in a cell and run that"
    )
    assert len(caught.value.findings) == 2


def test_a_name_that_no_cell_defines_has_no_program() -> None:
    assert check(Notebook(), "P", {}) == [
        Finding("undefined", "error", "no cell's text defines P", "run its cell again, with %%byoc")
    ]


def test_ids_are_the_functions_own_names() -> None:
    assert [check.__name__.replace("_", "-") for check in CHECKS][:3] == [
        "notebook-only",
        "star-import",
        "relative-import",
    ]
    assert all(check.__doc__ for check in CHECKS)


def test_a_finding_without_a_line_cant_be_silenced() -> None:
    assert not is_ignored(Finding("secret", "error", "x", "y"), ["# byoc: ignore[secret]"])
