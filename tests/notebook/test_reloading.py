"""Running a processor's cell again while video runs: what is kept, what is told, how one goes back."""

from __future__ import annotations

import gc
import logging
import re
import textwrap
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kit import until
from notebook_kit import Notebook

from byoc_nb.notebook.loading import Built, built
from byoc_nb.source import Notebook as Record

SERVE = "%byoc serve --port 0 --size 64x48 --fps 30"
HELPERS = """
SIZE = 3
GAIN = 1.0
class Net:
    def __init__(self, size):
        self.size = size
def widen(net):
    return net
def shade(array):
    return array
"""
TINT = """
class Tint(FrameProcessor):
    KIND = "plain"
    class Params(BaseModel):
        strength: float = Field(0.3, ge=0, le=1)
        mode: str = Field("small", json_schema_extra={"load": True})
    def load_model(self):
        self.model = widen(Net(SIZE))
        self.kind = self.KIND
        self.prepare()
        self.seen = 0
    def prepare(self):
        self.ready = self.params.mode
    def process_video(self, frame):
        self.seen += 1
        return frame.replace_array(shade(frame.array))
"""


def cell(body: str, line: str = "") -> str:
    return f"%%byoc {line}".rstrip() + "\n" + textwrap.dedent(body).lstrip("\n")


@pytest.fixture
def live(notebook: Notebook) -> Notebook:
    """A notebook in which Tint serves."""
    notebook.run(HELPERS)
    notebook.run(cell(TINT))
    notebook.run(SERVE)
    assert notebook.error is None
    instance = state(notebook)
    until(lambda: instance.seen > 2)
    return notebook


def bench(notebook: Notebook) -> Any:
    from byoc_nb.notebook.extension import workbench

    return workbench(notebook.shell)


def state(notebook: Notebook) -> Any:
    return bench(notebook)._serving.slot.current.processor.instance


# ---- what decides

PER_FRAME = {
    "the code of a frame": ("return frame.replace", "frame = frame\n        return frame.replace"),
    "a comment": ("    def prepare", "    # why\n    def prepare"),
    "a docstring": ("def prepare(self):", 'def prepare(self):\n        "Get ready."'),
    "formatting": ("self.model = widen(Net(SIZE))", "self.model = widen(\n            Net(SIZE))"),
    "a run-time parameter": ("Field(0.3, ge=0, le=1)", "Field(0.4, ge=0, le=2)"),
    "a new run-time parameter": ("        mode:", "        gain: float = 1.0\n        mode:"),
    "another method": ("    def prepare", "    def unused(self):\n        pass\n    def prepare"),
}
LOADING = {
    "load_model": ("self.seen = 0", "self.seen = 1", "load_model changed"),
    "a method that it calls": ("self.ready = ", "self.ready = 'x' + ", "prepare changed"),
    "a class attribute that it reads": ('KIND = "plain"', 'KIND = "fancy"', "KIND changed"),
    "a new __init__": (
        "    def prepare",
        "    def __init__(self):\n        self.x = 1\n    def prepare",
        "__init__ changed",
    ),
    "a load-time parameter's default": ('Field("small"', 'Field("large"', "parameter mode changed"),
    "its base": ("(FrameProcessor)", "(FrameProcessor, Net)", "the class line changed"),
}


@pytest.mark.parametrize(("old", "new"), PER_FRAME.values(), ids=PER_FRAME)
def test_the_state_is_kept_where_nothing_that_built_it_changed(live: Notebook, old: str, new: str) -> None:
    assert old in TINT
    before = state(live)
    model = before.model
    printed = live.run(cell(TINT.replace(old, new)))
    assert re.search(r"reloaded in \d+ ms · model kept · params kept · 0 frames lost", printed), printed
    assert state(live) is before
    assert before.model is model
    assert type(before) is live.shell.user_ns["Tint"]


@pytest.mark.parametrize(("old", "new", "why"), LOADING.values(), ids=LOADING)
def test_it_is_loaded_anew_where_something_that_built_it_changed(live: Notebook, old: str, new: str, why: str) -> None:
    assert old in TINT
    if "Net)" in new:
        live.run("class Net:\n    pass")
        new = "(FrameProcessor, Net)"
        body = TINT.replace(old, new).replace("Net(SIZE)", "Net()")
    else:
        body = TINT.replace(old, new)
    before = state(live)
    printed = live.run(cell(body))
    assert f"model loaded again ({why}" in printed or why in printed, printed
    assert state(live) is not before


@pytest.mark.parametrize(
    ("helper", "kept"),
    [
        ("SIZE = 4", False),
        ("def widen(net):\n    net.size += 1\n    return net", False),
        ("class Net:\n    def __init__(self, size):\n        self.size = -size", False),
        ("def shade(array):\n    return 255 - array", True),
        ("GAIN = 2.0", True),
        ("SIZE = 3  # as before", True),
    ],
)
def test_helpers_of_other_cells_count(live: Notebook, helper: str, kept: bool) -> None:
    before = state(live)
    live.run(helper)
    live.run(cell(TINT))
    assert (state(live) is before) is kept


def test_a_helper_of_the_frames_is_in_force_at_once_and_told(live: Notebook) -> None:
    used = threading.Event()
    live.shell.user_ns["used"] = used
    printed = live.run("def shade(array):\n    used.set()\n    return array")
    assert printed == "shade is new · frames use it from now on\n"
    assert used.wait(10)
    assert live.run("GAIN = 3.0") == "", "nobody uses that"
    assert live.run("print('other')") == "other\n"


def test_a_helper_of_the_loading_code_is_told_with_what_to_do(live: Notebook) -> None:
    before = state(live)
    printed = live.run("SIZE = 5")
    assert "SIZE changed, and loading uses it: %%byoc --fresh" in printed
    assert state(live) is before
    printed = live.run(cell(TINT, "--fresh"))
    assert "model loaded again" in printed
    assert state(live).model.size == 5


def test_fresh_always_loads(live: Notebook) -> None:
    before = state(live)
    assert "model loaded again (asked for)" in live.run(cell(TINT, "--fresh"))
    assert state(live) is not before


def test_replace_frees_the_old_one_first(live: Notebook) -> None:
    assert "model loaded again" in live.run(cell(TINT, "--replace"))
    assert bench(live).status()["state"] == "running"


def test_out_of_memory_offers_replace(live: Notebook) -> None:
    said = live.refused(cell(TINT.replace("self.seen = 0", "raise MemoryError('CUDA out of memory')")))
    assert "Tint goes on" in said
    assert "%%byoc --replace frees the old one first" in said


def test_a_function_is_exchanged_too(notebook: Notebook) -> None:
    notebook.run(cell("def tint(frame: VideoFrame):\n    return frame\n"))
    notebook.run(SERVE)
    printed = notebook.run(cell("def tint(frame: VideoFrame):\n    return frame.replace_array(255 - frame.array)\n"))
    assert "model kept" in printed


def test_a_renamed_class_keeps_its_state(live: Notebook) -> None:
    before = state(live)
    live.run(cell(TINT.replace("Tint", "Shade")))
    assert state(live) is before
    assert bench(live).status()["processor"] == "Shade"


def test_unknown_text_is_never_taken_for_the_same() -> None:
    assert Built({}, {}, {}).differs(Built({}, {}, {})) == ["its text isn't known"]
    made = built(Record(), "Unknown", type("Unknown", (), {"process_video": lambda self, frame: frame}), {})
    assert made.differs(made) == ["its text isn't known"]


# ---- checked before anything is touched

BAD = {
    "a frame": ("def process_video(self, frame)", "def process_video(self)", "process_video(self) can't be called"),
    "parameters": ("    def prepare", "    def update_params(self):\n        pass\n    def prepare", "update_params"),
    "an argument": ("    def prepare", "    def __init__(self, path):\n        pass\n    def prepare", "__init__"),
    "no default": ("strength: float = Field(0.3, ge=0, le=1)", "strength: float", "valid default"),
    "no JSON": ("strength: float = Field(0.3, ge=0, le=1)", "strength: object = object()", "JSON"),
}


@pytest.mark.parametrize(("old", "new", "said"), BAD.values(), ids=BAD)
def test_a_cell_that_cannot_work_is_refused_with_its_line_and_the_old_one_goes_on(
    live: Notebook, old: str, new: str, said: str
) -> None:
    before, kind = state(live), type(state(live))
    told = live.refused(cell(TINT.replace(old, new)))
    assert said in told
    assert told.count("\n") <= 1
    assert state(live) is before
    assert type(before) is kind
    assert "line " in told or "Params" in told or "strength" in told


def test_the_line_is_that_of_the_cell(live: Notebook) -> None:
    body = cell(TINT.replace("def process_video(self, frame)", "def process_video(self)"))
    line = next(number for number, text in enumerate(body.splitlines(), 1) if "def process_video" in text)
    assert f"line {line}: process_video(self)" in live.refused(body)


# ---- undone


def test_a_processor_that_fails_in_its_first_frames_is_taken_back_with_its_traceback(live: Notebook) -> None:
    before = state(live)
    bad = cell(TINT.replace("self.seen += 1", "1 / 0"))
    printed = live.run(bad)
    assert "Tint failed in its first frames and was rolled back, Tint goes on" in printed
    assert "ZeroDivisionError: division by zero" in printed
    line = next(number for number, text in enumerate(bad.splitlines(), 1) if "1 / 0" in text)
    assert f"Cell In[{live.results[-1].execution_count}], line {line}" in printed and "ipython-input" not in printed
    assert state(live) is before
    seen = before.seen
    until(lambda: before.seen > seen + 2)
    assert "was rolled back" in live.refused("%byoc export out")
    assert "rolled back" in live.run("%byoc history")
    live.run("%byoc rollback")
    assert bench(live).cell.text.count("1 / 0") == 0
    assert state(live) is before


def test_history_and_rollback_bring_text_and_parameters_back(live: Notebook) -> None:
    before = state(live)
    live.run("%byoc params strength=0.9")
    live.run(cell(TINT.replace("Tint", "Other").replace("self.seen += 1", "self.seen += 100")))
    live.run("%byoc params strength=0.1")
    printed = live.run("%byoc history")
    assert [line.split()[0] for line in printed.splitlines() if line.strip()][:2] == ["1", "2"] or "Tint" in printed
    printed = live.run("%byoc rollback")
    assert "model kept" in printed
    assert state(live) is before
    assert bench(live).status()["processor"] == "Tint"
    live.run("%byoc params")
    assert live.result["strength"] == 0.9
    live.run("%byoc rollback 2")
    assert bench(live).status()["processor"] == "Other"
    live.run("%byoc params")
    assert live.result["strength"] == 0.1
    assert "there is no version 99" in live.refused("%byoc rollback 99")


def test_without_a_version_there_is_nothing_to_go_back_to(notebook: Notebook) -> None:
    assert "no version yet" in notebook.run("%byoc history")
    assert "no earlier version" in notebook.refused("%byoc rollback")


# ---- memory


@pytest.fixture
def unlogged() -> Iterator[None]:
    """pytest keeps every record that is logged, and its traceback."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_nothing_in_the_notebook_keeps_a_replaced_processor(live: Notebook, unlogged: None) -> None:
    """Neither Out, nor the history, nor a traceback; after a swap, a failed load and a rollback."""
    gone = [weakref.ref(state(live)), weakref.ref(state(live).model)]
    live.refused(cell(TINT.replace("self.seen = 0", "raise ValueError('no')")))
    live.run(cell(TINT.replace("self.seen += 1", "1 / 0")))
    live.run(cell(TINT.replace("self.seen = 0", "self.seen = 5")))
    assert "model loaded again" in repr(live.shell.user_ns["_"])

    def collected() -> bool:
        gc.collect()
        return not any(ref() for ref in gone)

    until(collected)


# ---- long loads


def test_a_long_load_is_told_while_the_old_one_serves(live: Notebook) -> None:
    before = state(live)
    slow = TINT.replace("self.seen = 0", "self.seen = 0\n        import time\n        time.sleep(2.3)")
    printed = live.run(cell(slow))
    assert "loading Tint… 1 s" in printed
    assert "loading Tint… 2 s" in printed
    assert before.seen > 30, "the old one had the frames"
    assert "0 frames lost" in printed


# ---- files


def test_a_file_is_served_and_served_anew_when_it_is_saved(notebook: Notebook, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    text = "from byoc_nb import *\nfrom pydantic import Field\n" + HELPERS + TINT
    file.write_text(text)
    notebook.run(f"{SERVE} --processor {file}")
    assert notebook.error is None
    before = state(notebook)
    assert before.model.size == 3

    def versions() -> int:
        return len(bench(notebook).history.versions)

    file.write_text(text.replace("self.seen += 1", "self.seen += 1000"))
    until(lambda: versions() == 2)
    assert state(notebook) is before
    until(lambda: before.seen > 1000)
    file.write_text(text.replace("SIZE = 3", "SIZE = 4"))
    until(lambda: versions() == 3)
    assert state(notebook).model.size == 4
    file.write_text("this is no Python")
    file.write_text(text)
    until(lambda: versions() == 4)
    assert "comes from a file" in notebook.refused("%byoc rollback")
    notebook.run(cell(TINT.replace("widen(Net(SIZE))", "1")))
    file.write_text(text + "\n")
    assert not bench(notebook)._watch, "a cell took over"
    notebook.run("%byoc stop")
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("byoc-watch")]
