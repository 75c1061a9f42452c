"""What of a cell is run."""

from __future__ import annotations

from pathlib import Path

from byoc_nb.notebook.cells import runnable

QUICKSTART = Path(__file__).parents[1] / "fixtures" / "livepeer_docs" / "quickstart.py.txt"


def test_the_magics_line_becomes_a_comment_so_that_lines_are_those_of_the_notebook() -> None:
    assert runnable("a = 1\n", str) == "# %%byoc\na = 1\n"


def test_the_quickstarts_own_start_is_left_out() -> None:
    text = QUICKSTART.read_text()
    left = runnable(text, str)
    assert "__main__" not in left
    assert left.count("\n") == text.count("\n") + 1
    compile(left, "cell", "exec")


def test_the_main_block_is_left_out_of_a_cell_with_ipythons_syntax_too() -> None:
    def transform(text: str) -> str:
        return text.replace("!pip", "pip = 1 #")

    left = runnable('!pip install x\nif __name__ == "__main__":\n    start()\n', transform)
    assert "start" not in left


def test_a_text_with_a_syntax_error_is_run_as_it_is() -> None:
    assert runnable("def (:\n", str) == "# %%byoc\ndef (:\n"
