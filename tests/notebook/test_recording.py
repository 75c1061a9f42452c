"""The record of what the kernel ran, through IPython's own events."""

from __future__ import annotations

from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from notebook_kit import Notebook

from byoc_nb.notebook import extension
from byoc_nb.notebook.cells import as_python
from byoc_nb.source import Notebook as Record

PLAIN = "class Plain(FrameProcessor):\n    def process_video(self, frame):\n        return frame\n"


def record(notebook: Notebook) -> Record:
    found: Record = notebook.bench.notebook
    return found


def where(notebook: Notebook, name: str) -> tuple[int, int] | None:
    """The cell and the line that defined a name."""
    found = record(notebook).definition(name)
    return (found.cell.number, found.line) if found else None


def kinds(notebook: Notebook, name: str) -> list[str]:
    return [event.kind for event in record(notebook).history(name)]


def test_every_cell_is_recorded_with_its_number_and_its_lines(notebook: Notebook) -> None:
    notebook.run("a = 1")
    notebook.run("\n\n# two blank lines\n%matplotlib --list\nb = 2")
    notebook.run("%%byoc\n" + PLAIN)
    notebook.run("%%time\nc = 3\nd = 4")
    notebook.run("%%capture said\ne = 5")
    assert (where(notebook, "a"), where(notebook, "b"), where(notebook, "Plain")) == ((1, 1), (2, 5), (3, 2))
    assert (where(notebook, "c"), where(notebook, "d"), where(notebook, "e")) == ((4, 2), (4, 3), (5, 2))


def test_what_was_run_before_the_extension_came_is_recorded(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = Notebook(shell, capsys)
    for text in ("a = 1\nitems = []", "items.append(1)", "a = (", "b = 1 / 0", "%load_ext byoc_nb", "c = 3"):
        notebook.run(text)
    assert (where(notebook, "a"), where(notebook, "c")) == ((1, 1), (6, 1))
    assert kinds(notebook, "items") == ["changed", "bound"]
    assert kinds(notebook, "b") == ["deleted elsewhere"]  # it never came to be


def test_the_cell_that_loads_the_extension_counts_once(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    notebook = Notebook(shell, capsys)
    notebook.run("items = []")
    notebook.run("%load_ext byoc_nb\nitems.append(1)")
    assert kinds(notebook, "items") == ["changed", "bound"]


def test_of_a_cell_that_failed_what_ran_is_recorded(notebook: Notebook) -> None:
    notebook.run("\na = 1\nb = [\n    1 / 0]\nc = 1")
    notebook.run("%%time\nd = 1\ne = 1 / 0")
    notebook.run("%%byoc\nf = 1\ng = 1 / 0")
    notebook.run("h = (")
    assert [name for name in "abcdefgh" if where(notebook, name)] == ["a", "d", "f"]


def test_a_cell_that_failed_in_a_function_ran_up_to_its_call(notebook: Notebook) -> None:
    notebook.run("def fail():\n    x = 1\n    return x / 0\na = 1\nfail()\nb = 2")
    assert (where(notebook, "a"), where(notebook, "b")) == ((1, 4), None)


def test_what_a_magic_or_other_code_sets_is_noted(notebook: Notebook) -> None:
    notebook.run("a = b = 1")
    notebook.run("%time a = []")
    notebook.shell.user_ns["b"] = []
    notebook.run("c = 1")
    notebook.run("exec('c = []')")
    notebook.run("%xdel c")
    assert (kinds(notebook, "a"), kinds(notebook, "b")) == (["set elsewhere"], ["set elsewhere"])
    assert kinds(notebook, "c") == ["deleted elsewhere"]


def test_whether_a_value_was_shown_is_known(notebook: Notebook) -> None:
    notebook.run("class Box:\n    def twist(self): return 5\n    def turn(self): pass\nbox = Box()")
    notebook.run("box.twist()")
    assert kinds(notebook, "box") == ["bound"]
    notebook.run("box.turn()")
    assert kinds(notebook, "box") == ["changed", "bound"]


def test_postponed_annotations_stay_in_force_as_in_the_kernel(notebook: Notebook) -> None:
    notebook.run("from __future__ import annotations")
    notebook.run("def f(x: unheard_of): ...")
    assert notebook.error is None
    found = record(notebook).definition("f")
    assert found is not None
    assert "unheard_of" in found.names.hints


def test_a_record_that_fails_disturbs_nobody(
    notebook: Notebook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(Record, "ran", lambda *args, **kwargs: 1 / 0)
    assert notebook.run("a = 1") == ""
    assert "is ready" in notebook.run("%%byoc\n" + PLAIN)
    assert "cell [1] was not recorded" in caplog.text


def test_an_unloaded_extension_records_nothing(notebook: Notebook, shell: InteractiveShell) -> None:
    found = record(notebook)
    shell.run_line_magic("unload_ext", "byoc_nb")
    notebook.run("a = 1")
    assert found.definition("a") is None
    assert not [callback for callback in shell.events.callbacks["post_run_cell"] if "Recorder" in repr(callback)]
    extension.unload(shell)


def test_a_cell_as_typed_keeps_its_lines() -> None:
    assert as_python("\n\n%%byoc --name P\nx = 1\n", str) == "\n\n# %%byoc\nx = 1\n"
    assert as_python("\n%%time\n\nx = 1\n", str.lstrip) == "\n\n\nx = 1\n"
    assert as_python("  \n x = 1", str.lstrip) == "\nx = 1"
    assert as_python("%%byoc", str) == "# %%byoc\n"


def test_a_processor_spread_over_cells_is_exported(notebook: Notebook, tmp_path: Path) -> None:
    notebook.run("import numpy as np\nimport json\nLEVEL = 7\n")
    notebook.run("class Base(BaseModel):\n    strength: float = 0.5\n")
    notebook.run("# makes it brighter\ndef lift(pixels):\n    return np.clip(pixels.astype(int) + LEVEL, 0, 255)\n")
    notebook.run(
        "%%byoc\nclass Lift(FrameProcessor):\n    class Params(Base): ...\n"
        "    def process_video(self, frame):\n        return frame.replace_array(lift(frame.array).astype('uint8'))\n"
    )
    notebook.run("LEVEL = 9")
    notebook.run(f"%byoc export {tmp_path / 'x'}")
    text = (tmp_path / "x" / "processor.py").read_text()
    assert "import numpy as np\n" in text
    assert "json" not in text.partition("# ---- the container")[0]
    assert "LEVEL = 9" in text
    assert "LEVEL = 7" not in text
    order = [text.index(f"# from cell [{number}]") for number in (2, 3, 5, 4)]
    assert order == sorted(order)
