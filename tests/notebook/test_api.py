"""`byoc_nb.workbench`: the same verbs without magics, in a notebook and in a program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from notebook_kit import Notebook

from byoc_nb.notebook.cells import CellError
from byoc_nb.notebook.workbench import Workbench, WorkbenchError

PROGRAM = """
import time
from byoc_nb import BaseModel, Field, FrameProcessor, workbench

GAIN = 2

class Dim(FrameProcessor):
    class Params(BaseModel):
        level: float = Field(0.5, ge=0, le=1)

    def process_video_async(self, frame):
        return frame.replace_array(frame.array // GAIN)

if __name__ == "__main__":
    workbench.use(Dim)
    print(workbench.serve(port=0, size=(96, 64), fps=10))
    while workbench.status()["frames_out"] < 5:
        time.sleep(0.01)
    print(workbench.params({"level": 0.75}), len(workbench.preview()) > 500)
    workbench.export("out", prove=False, cpu=True)
    print("GAIN = 2" in open("out/processor.py").read())
    print(workbench.stop(), workbench.serving)
"""


def test_a_program_uses_it_as_the_magics_do(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("serving Dim at http://127.0.0.1:")
    assert lines[1:] == ["{'level': 0.75} True", "True", "True False"]


def test_in_a_notebook_it_is_the_one_of_the_magics(notebook: Notebook) -> None:
    notebook.run("from byoc_nb import workbench as bench")
    notebook.run("class Plain:\n    def process_video_async(self, frame):\n        return frame")
    notebook.run("bench.use(Plain)")
    assert "Plain" in notebook.run("%byoc status\nprint(bench.cell.name)")
    bench = notebook.shell.user_ns["bench"]
    assert bench.cell.text.startswith("class Plain:")
    bench.run_cell("class Other:\n    def process_video_async(self, frame):\n        return frame")
    assert bench.cell.name == "Other" and notebook.shell.user_ns["Other"] is bench.cell.target


def test_what_needs_a_notebook_says_so() -> None:
    bench = Workbench()
    with pytest.raises(CellError, match="only a notebook runs cells"):
        bench.run_cell("class A: ...")
    with pytest.raises(WorkbenchError, match="only a notebook shows"):
        bench.show()
    local = type("Made", (), {"process_video_async": lambda self, frame: frame})
    with pytest.raises(CellError, match="the text of Made isn't known"):
        bench.use(local)
    assert repr(bench) == "<byoc_nb workbench: no processor yet, not serving>"
