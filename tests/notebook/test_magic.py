"""The magics as a user meets them: cells, commands, and one line for every mistake."""

from __future__ import annotations

import json
import textwrap
import traceback
from pathlib import Path
from typing import Any

import pytest
from kit import CLIP, until
from notebook_kit import Notebook

QUICKSTART = Path(__file__).parents[1] / "fixtures" / "livepeer_docs" / "quickstart.py.txt"
PLAIN = "class Plain(FrameProcessor):\n    def process_video(self, frame):\n        return frame\n"
WITH_PARAMS = PLAIN + "    class Params(BaseModel):\n        strength: float = 0.5\n"
SERVE = "%byoc serve --port 0 --size 64x48 --fps 10"


def cell(body: str, line: str = "") -> str:
    return f"%%byoc {line}".rstrip() + "\n" + textwrap.dedent(body).lstrip("\n")


# ---- help


def test_the_bare_magic_prints_what_there_is(notebook: Notebook) -> None:
    printed = notebook.run("%byoc")
    for word in ("%%byoc", "%byoc serve", "%byoc params", "%byoc export", "COMMAND --help"):
        assert word in printed


@pytest.mark.parametrize("line", ["%%byoc?", "%byoc?", "?%byoc"])
def test_the_question_mark_shows_everything(notebook: Notebook, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    shown: list[str] = []
    monkeypatch.setattr("IPython.core.page.page", lambda text, **_: shown.append(str(text)))
    notebook.run(line)
    assert len(shown) == 1
    for word in ("%%byoc", "--source", "--policy", "--background", "--force", "--name"):
        assert word in shown[0]


@pytest.mark.parametrize(
    "line",
    ["%byoc --help", "%byoc serve --help", "%byoc export -h", "%%byoc --help\npass", "%%byoc -h\nx = unheard_of"],
)
def test_help_is_printed_and_nothing_is_run(notebook: Notebook, line: str) -> None:
    assert notebook.run(line).startswith("usage: %")
    assert notebook.error is None


# ---- mistakes


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("%byoc fly", "invalid choice: 'fly'"),
        ("%byoc serve", "run a cell that begins with %%byoc first"),
        ("%byoc serve --port 99999", "isn't a port"),
        ("%byoc serve --source 'x", "No closing quotation"),
        ("%byoc params strength=1", "there is no processor yet"),
        ("%byoc params strength", "'strength' isn't NAME=VALUE, such as strength=0.8"),
        ("%byoc params =1", "'=1' isn't NAME=VALUE"),
        ("%byoc params a-b=1", "'a-b=1' isn't NAME=VALUE"),
        ("%byoc preview", "%byoc serve"),
        ("%byoc record out.mp4", "%byoc serve"),
        ("%byoc export out", "run a cell that begins with %%byoc first"),
        ("%%byoc P\npass", "there is no P"),
        ("%%byoc\nx = 1", "this cell holds no processor"),
        ("%%byoc\n", "the cell body is empty"),
        ("%%byoc\n   \n", "this cell holds no processor"),
        ("%%byoc\n# nothing but a comment", "this cell holds no processor"),
        ("%%byoc --name Q\n" + PLAIN, "Q is not defined in this cell"),
        ("%%byoc\n" + PLAIN + PLAIN.replace("Plain", "Other"), "this cell holds 2 processors, Plain and Other"),
        ("%%byoc\nawait thing()\n" + PLAIN, "the cell awaits at its top level: move that into load_model"),
        ("%%byoc\nasync with thing: pass\n" + PLAIN, "the cell awaits"),
        ("%%byoc\nasync for x in y: pass\n" + PLAIN, "the cell awaits"),
        ("%%byoc\nxs = [x async for x in y]\n" + PLAIN, "the cell awaits"),
        ("%%byoc\nif True:\n    await thing()\n" + PLAIN, "the cell awaits"),
    ],
)
def test_a_mistake_is_one_line(notebook: Notebook, line: str, said: str) -> None:
    assert said in notebook.refused(line)
    assert notebook.bench.cell is None


def test_the_word_await_alone_is_no_mistake(notebook: Notebook) -> None:
    notebook.run(
        cell(
            """
            text = "await this outside of async"  # await
            class P(FrameProcessor):
                async def process_video_async(self, frame):
                    await self.wait()
                    xs = [x async for x in self.more()]
                    return frame
            """
        )
    )
    assert notebook.bench.cell.name == "P"


# ---- the cell


def test_a_cell_is_run_and_its_processor_kept(notebook: Notebook) -> None:
    printed = notebook.run(cell(PLAIN + "extra = 5\n"))
    assert printed == "Plain is ready · %byoc serve streams video through it\n"
    assert notebook.shell.user_ns["extra"] == 5
    assert notebook.bench.cell.target is notebook.shell.user_ns["Plain"]
    assert notebook.bench.cell.text == PLAIN + "extra = 5\n"


def test_the_last_expression_is_shown_as_in_any_cell(notebook: Notebook) -> None:
    assert "'seen'" in notebook.run(cell(PLAIN + "'seen'\n"))


def test_a_derived_class_is_taken_and_another_can_be_chosen(notebook: Notebook) -> None:
    notebook.run(cell(PLAIN + "class Derived(Plain): pass\n"))
    assert notebook.bench.cell.name == "Derived"
    notebook.run(cell(PLAIN + "class Derived(Plain): pass\n", "--name Plain"))
    assert notebook.bench.cell.name == "Plain"


def test_dollars_and_braces_reach_the_cell_as_they_are_and_are_variables_in_a_line(notebook: Notebook) -> None:
    notebook.shell.user_ns["x"] = "expanded"
    body = PLAIN + "price, text = '$x {x} {{x}}', f'{x} {{x}}'\n"
    notebook.run(cell(body))
    assert notebook.shell.user_ns["price"] == "$x {x} {{x}}"
    assert notebook.shell.user_ns["text"] == "expanded {x}"
    assert notebook.bench.cell.text == body
    assert "'expanded' isn't NAME=VALUE" in notebook.refused("%byoc params $x")
    assert "'expanded' isn't NAME=VALUE" in notebook.refused("%byoc params {x}")
    assert "'{unheard}' isn't NAME=VALUE" in notebook.refused("%byoc params {unheard}")


def test_the_quickstart_runs_unchanged_and_its_own_start_is_left_out(notebook: Notebook) -> None:
    assert "GreenTintProcessor is ready" in notebook.run(cell(QUICKSTART.read_text()))


def test_the_quickstart_with_an_ipython_line_on_top_runs_too(notebook: Notebook) -> None:
    assert "GreenTintProcessor is ready" in notebook.run(cell("%who_ls\n" + QUICKSTART.read_text()))


def test_ipythons_own_syntax_works_in_the_cell(notebook: Notebook) -> None:
    notebook.run(cell("names = %who_ls\nhere = !echo shell\n" + PLAIN))
    assert notebook.shell.user_ns["here"] == ["shell"]
    assert notebook.bench.cell.name == "Plain"


def test_a_raising_cell_keeps_the_old_processor_and_shows_the_users_traceback(notebook: Notebook) -> None:
    notebook.run(cell(PLAIN))
    printed = notebook.run(cell(PLAIN.replace("Plain", "New") + "1 / 0\n"))
    assert "ZeroDivisionError" in printed
    assert "UsageError: the cell raised ZeroDivisionError" in printed
    assert "byoc_nb" not in printed
    assert notebook.bench.cell.name == "Plain"


def test_a_cell_with_a_syntax_error_keeps_the_old_processor(notebook: Notebook) -> None:
    notebook.run(cell(PLAIN))
    printed = notebook.run(cell("def broken(:\n" + PLAIN))
    assert "SyntaxError" in printed
    assert "UsageError: the cell raised SyntaxError" in printed
    assert "byoc_nb" not in printed
    assert notebook.bench.cell.name == "Plain"


@pytest.mark.parametrize("error", ["SystemExit", "KeyboardInterrupt", "NameError"])
@pytest.mark.filterwarnings("ignore:To exit")
def test_whatever_a_cell_raises_the_shell_goes_on(notebook: Notebook, error: str) -> None:
    printed = notebook.run(cell(f"raise {error}('x')\n" + PLAIN))
    assert f"the cell raised {error}" in printed
    assert notebook.run("1 + 1")
    assert notebook.result == 2


def lines_of(error: BaseException) -> list[int]:
    return [frame.lineno or 0 for frame in traceback.extract_tb(error.__traceback__)]


def test_lines_of_an_error_are_those_of_the_cell_as_the_notebook_shows_it(notebook: Notebook) -> None:
    text = cell("a = 1\nb = 2\nraise ValueError('here')\n")  # the magic is line 1
    assert text.splitlines()[3].startswith("raise")
    printed = notebook.run(text)
    assert "----> 4 raise ValueError('here')" in printed
    assert "      3 b = 2" in printed
    assert f"Cell In[{notebook.results[-1].execution_count}], line 4" in printed
    notebook.run("3 + 4")
    assert notebook.results[-1].execution_count == notebook.results[-2].execution_count + 1


def test_lines_of_a_syntax_error_are_those_of_the_cell(notebook: Notebook) -> None:
    assert "line 3\n" in notebook.run(cell("a = 1\nb = = 2\n"))


def test_lines_in_a_method_that_runs_later_are_those_of_the_cell(notebook: Notebook) -> None:
    notebook.run(
        cell(
            """
            x = 1
            if __name__ == "__main__":
                x = 2

            class P(FrameProcessor):
                def process_video(self, frame):
                    raise ValueError("late")
            """
        )
    )
    assert notebook.shell.user_ns["x"] == 1
    with pytest.raises(ValueError, match="late") as caught:
        notebook.bench.cell.target().process_video(None)
    assert lines_of(caught.value)[-1] == 8


def test_a_cell_of_its_own_file_name_keeps_its_source_for_tracebacks(notebook: Notebook) -> None:
    notebook.run(cell(PLAIN + "def fails():\n    return 1 / 0  # marked\n"))
    printed = notebook.run("fails()")
    assert "# marked" in printed


# ---- commands


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("x=1", 1),
        ("x=0.5", 0.5),
        ("x=true", True),
        ("x=True", True),
        ("x=null", None),
        ("x=None", None),
        ("x=add", "add"),
        ("'x=two words'", "two words"),
        ("x=[1,2]", [1, 2]),
        ("x=", ""),
        ("x=a=b", "a=b"),
        ("x=-3", -3),
        ("""'x={"a": 1}'""", {"a": 1}),
    ],
)
def test_a_parameter_is_json_or_text(notebook: Notebook, text: str, value: Any) -> None:
    notebook.run(cell(PLAIN))
    notebook.run(SERVE)
    notebook.run(f"%byoc params {text}")
    assert notebook.result == {"x": value}
    assert json.dumps(notebook.result)


def test_status_of_nothing_and_stop_of_nothing(notebook: Notebook) -> None:
    notebook.run("%byoc status")
    assert notebook.result["state"] == "stopped"
    assert notebook.run("%byoc stop") == "nothing was running\n"


def test_a_stream_is_served_changed_previewed_and_stopped(notebook: Notebook) -> None:
    body = """
        class Tint(FrameProcessor):
            class Params(BaseModel):
                strength: float = Field(0.3, ge=0, le=1)
            def process_video(self, frame):
                return frame
        """
    notebook.run(cell(body))
    assert notebook.run(SERVE).startswith("serving Tint at http://127.0.0.1:")
    notebook.run("%byoc params strength=0.8")
    assert notebook.result == {"strength": 0.8}
    assert "strength: should be less than or equal to 1, got 2" in notebook.refused("%byoc params strength=2")
    assert "did you mean 'strength'?" in notebook.refused("%byoc params strenght=0.5")
    notebook.run("%byoc params")
    assert notebook.result == {"strength": 0.8}
    notebook.run("%byoc preview")
    assert notebook.result.data.startswith(b"\xff\xd8")

    printed = notebook.run(cell(body.replace("return frame", "return frame.replace_array(255 - frame.array)")))
    assert ": reloaded in " in printed
    assert "params kept" in printed

    printed = notebook.run(cell("raise ValueError('x')"))
    assert "the cell raised ValueError; Tint goes on serving" in printed
    assert "Tint" in notebook.refused(
        cell(
            "class Tint(FrameProcessor):\n    def __init__(self): 1 / 0\n"
            + "    def process_video(self, frame): return frame\n"
        )
    )
    notebook.run("%byoc status")
    assert notebook.result["state"] == "running"
    assert notebook.run("%byoc stop") == "stopped · %byoc serve starts again\n"


def test_export_prints_what_it_wrote_and_refuses_in_one_line(notebook: Notebook, tmp_path: Path) -> None:
    notebook.run(cell(PLAIN))
    folder = tmp_path / "out put"
    notebook.run(f"%byoc export '{folder}' --name my-tint --cpu")
    assert str(notebook.result).startswith("exported my-tint to ")
    (folder / "Dockerfile").write_text("mine")
    printed = notebook.run(f"%byoc export '{folder}'")
    assert "\n-mine\n+# syntax=docker" in printed  # what --force would change
    assert printed.splitlines()[-1].startswith(f"UsageError: Dockerfile in {folder} was edited")
    notebook.run(f"%byoc export '{folder}' --force")
    assert notebook.error is None
    assert "can't name a capability" in notebook.refused(f"%byoc export '{folder}' --name Bad_Name!")


def test_export_takes_along_what_other_cells_defined(notebook: Notebook, tmp_path: Path) -> None:
    notebook.run("def helper(): return 1")
    notebook.run(cell(PLAIN + "value = helper()\n"))
    notebook.run(f"%byoc export {tmp_path / 'x'}")
    assert "# from cell [1]\ndef helper(): return 1\n" in (tmp_path / "x" / "processor.py").read_text()


def test_export_refuses_what_no_text_gives_with_its_line(notebook: Notebook, tmp_path: Path) -> None:
    notebook.shell.user_ns["strength"] = 0.5
    notebook.run(cell(PLAIN + "value = strength\n"))
    assert notebook.refused(f"%byoc export {tmp_path / 'x'}") == (
        "cell [1] line 5: strength was set by something other than a cell's text, and no import gives it: "
        "write it in a cell: strength = …"
    )


def test_check_lists_what_it_finds_line_by_line_and_writes_nothing(notebook: Notebook, tmp_path: Path) -> None:
    assert "run a cell that begins with %%byoc first" in notebook.refused("%byoc check")
    notebook.run(cell(PLAIN))
    assert notebook.run("%byoc check") == "nothing stands in the way of an export\n"
    notebook.run(cell(PLAIN + "device = 'cuda:0'\nvalue = unheard_of if False else 1\n"))
    assert notebook.run("%byoc check").splitlines() == [
        "error [undefined] cell [4] line 6: unheard_of is not defined · define it in a cell and run that",
        'warning [cuda-index] cell [4] line 5: "cuda:0" is one certain GPU · say "cuda"',
    ]


def test_export_begins_with_the_parameters_that_were_set(notebook: Notebook, tmp_path: Path) -> None:
    notebook.run(cell(WITH_PARAMS))
    notebook.run("%byoc params strength=0.75")
    notebook.run(f"%byoc export {tmp_path / 'x'}")
    assert "{'strength': 0.75}" in (tmp_path / "x" / "processor.py").read_text()


def test_a_processor_that_was_defined_again_without_the_magic_is_not_exported(
    notebook: Notebook, tmp_path: Path
) -> None:
    notebook.run(cell(PLAIN))
    notebook.run(PLAIN)
    assert "Plain was defined again without %%byoc" in notebook.refused(f"%byoc export {tmp_path / 'x'}")


def test_a_home_folder_is_understood(notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    notebook.run(cell(PLAIN))
    notebook.run("%byoc export ~/exported")
    assert (tmp_path / "exported" / "processor.py").is_file()


def test_presets_are_kept_and_come_back(notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no processor yet" in notebook.refused("%byoc preset")
    notebook.run(
        "%%byoc\nclass Tint(FrameProcessor):\n    class Params(BaseModel):\n        level: float = Field(0.5, le=1)\n"
        "    def process_video_async(self, frame):\n        return frame"
    )
    assert "nothing is served" in notebook.refused("%byoc preset save dim")
    notebook.run("%byoc serve --port 0 --size 96x64")
    assert "which one?" in notebook.refused("%byoc preset save")
    notebook.run("%byoc params level=0.25")
    assert "saved dim" in notebook.run("%byoc preset save dim")
    notebook.run("%byoc params level=0.75")
    notebook.run("%byoc preset load dim")
    assert notebook.result == {"level": 0.25} == notebook.bench.params()
    notebook.run("%byoc preset")
    assert notebook.result == {"dim": {"level": 0.25}}
    (tmp_path / ".byoc" / "presets.json").write_text('{"Tint": {"dim": {"level": 7, "gone": 1}}}')
    said = notebook.run("%byoc preset load dim")
    assert "level of dim was left out: " in said and "gone of dim was left out: " in said
    assert "did you mean 'dim'?" in notebook.refused("%byoc preset load dimm")
    assert "deleted dim" in notebook.run("%byoc preset delete dim")
    assert notebook.bench.presets == {}
    notebook.run("%byoc stop")


def test_another_source_another_place_and_a_generator_of_the_notebook(notebook: Notebook) -> None:
    notebook.run("%%byoc\nclass Plain:\n    def process_video_async(self, frame):\n        return frame")
    assert "nothing is streamed" in notebook.refused("%byoc source testsrc")
    notebook.run("import numpy as np\ndef grey():\n    while True:\n        yield np.full((48, 64, 3), 128, np.uint8)")
    notebook.run("%byoc serve --port 0 --source grey")
    bench = notebook.bench
    until(lambda: bench.status()["frames_out"] > 3)
    assert bench.hub.desk.sources.generators() == ["grey"]
    assert "can't" in notebook.refused("%byoc source --seek 3") or "seek" in str(notebook.error)
    notebook.run(f"%byoc source {CLIP}")
    assert (notebook.result["kind"], notebook.result["seekable"]) == ("file", True)
    notebook.run("%byoc source --seek 3 --speed 0.5 --no-loop")
    assert (notebook.result["speed"], notebook.result["loop"]) == (0.5, False)
    until(lambda: (bench.source()["position"] or 0) >= 3)
    assert "no such file" in notebook.refused("%byoc source nowhere.mp4")
    assert bench.source()["kind"] == "file", "it goes on"
    notebook.run("%byoc stop")


def test_a_plot_is_a_picture(notebook: Notebook) -> None:
    assert "nothing to plot yet" in notebook.refused("%byoc plot")
    notebook.run("%%byoc\nclass Plain:\n    def process_video_async(self, frame):\n        return frame")
    notebook.run("%byoc serve --port 0 --size 96x64")
    until(lambda: len(notebook.bench.hub.samples) > 1)
    notebook.run("%byoc plot")
    assert notebook.result.data[:4] == b"\x89PNG"
    notebook.run("%byoc stop")
