"""The record of what was run."""

from __future__ import annotations

import types

import pytest
from source_kit import notebook

from byoc_nb.source import Notebook, Statement


def kinds(made: Notebook, name: str, before: int | None = None) -> list[str]:
    return [event.kind for event in made.history(name, before)]


def definition(made: Notebook, name: str) -> Statement:
    found = made.definition(name)
    assert found is not None
    return found


def test_a_name_is_what_bound_it_last() -> None:
    made = notebook("x = 1", "x = 2\ny = 1")
    assert definition(made, "x").text == "x = 2"
    assert definition(made, "x").cell.number == 2
    assert [event.statement.text for event in made.history("x", 1) if event.statement] == ["x = 1"]
    assert made.definition("z") is None


def test_the_history_goes_back_to_what_surely_bound_the_name() -> None:
    made = notebook("x = 0", "x = []", "x.append(1)", "if x: x = [2]", "x.append(3)")
    assert kinds(made, "x") == ["changed", "perhaps bound", "changed", "bound"]


def test_a_deleted_name_is_gone_until_it_is_bound_again() -> None:
    made = notebook("x = 1", "del x")
    assert kinds(made, "x") == ["deleted"]
    assert made.definition("x") is None
    made.ran("x = 2", 3)
    assert kinds(made, "x") == ["bound"]


def test_a_text_that_is_no_python_was_not_run() -> None:
    made = Notebook()
    assert made.ran("x = (", 1) is None
    assert made.ran("x = '\0'", 1) is None
    assert made.cells == []


def test_of_a_failed_cell_counts_what_came_before() -> None:
    made = Notebook()
    made.ran("x = 1\ny = [\n    1 / 0]\nz = 1", 1, failed_line=3)
    assert made.definition("x") is not None
    assert made.definition("y") is made.definition("z") is None


# ---- what no text explains


def test_a_name_that_something_else_sets_is_noted() -> None:
    made, space = Notebook(), dict[str, object](x=1, given=5)
    made.ran("x = 1", 1, namespace=space)
    space["x"] = object()
    made.ran("y = 1", 2, namespace=space | {"y": 1})
    assert kinds(made, "x") == ["set elsewhere"]
    assert kinds(made, "y") == ["bound"]
    assert kinds(made, "given") == []  # it was there before the record began


def test_a_name_that_something_else_deletes_is_noted() -> None:
    made = Notebook()
    made.ran("x = 1\ny = 2", 1, namespace={"x": 1, "y": 2})
    made.ran("if y: del y", 2, namespace={})
    assert kinds(made, "x") == kinds(made, "y") == ["deleted elsewhere"]


def test_what_a_function_sets_through_global_is_explained() -> None:
    made = Notebook()
    made.ran("x = 1\ndef f():\n    global x\n    x = []", 1, namespace={"x": 1, "f": len})
    made.ran("f()", 2, namespace={"x": [], "f": len})
    assert kinds(made, "x") == ["bound"]


def test_ipythons_own_names_are_not_looked_at() -> None:
    made = Notebook()
    made.ran("1", 1, namespace={"_": 1, "Out": {}})
    made.ran("2", 2, namespace={"_": 2, "_1": 1, "_i": "1", "_ii": "", "_i1": "1", "_ih": [], "__": 1, "In": []})
    assert not any(kinds(made, name) for name in ("_", "_1", "_i", "_ih", "__"))


def test_looking_between_cells_finds_what_happened_since() -> None:
    made = Notebook()
    made.ran("x = 1", 1, namespace={"x": 1})
    made.look({"x": 2})
    assert kinds(made, "x") == ["set elsewhere"]


def test_a_star_import_binds_what_the_module_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("stars")
    vars(module).update(a=1, _b=2)
    monkeypatch.setitem(__import__("sys").modules, "stars", module)
    made = notebook("from stars import *")
    assert kinds(made, "a") == ["bound"]
    assert kinds(made, "_b") == []


# ---- text


def test_a_statements_text_has_its_own_comments() -> None:
    made = notebook(
        """
        # of the cell

        # of x
        # and more
        x = 1; y = "é"; z = 3  # behind
        @staticmethod
        # inner
        def f(a,
              b):  # first
            return a  # last
        # tail
        text = '''
        # not a comment'''
        w = 1
        """
    )
    texts = [statement.text for statement in made.statements]
    assert texts[:3] == ["# of x\n# and more\nx = 1", 'y = "é"', "z = 3  # behind"]
    assert texts[3].startswith("@staticmethod\n# inner\ndef f")
    assert texts[3].endswith("return a  # last")
    assert texts[4].startswith("# tail\ntext = ")
    assert texts[5] == "w = 1"


def test_a_statement_knows_its_lines() -> None:
    made = notebook("# a\n@f(\n 1)\ndef g():\n    pass\n")
    statement = made.statements[0]
    assert (statement.first, statement.line, statement.end) == (1, 2, 5)
    assert "[1]:2" in repr(statement)


def test_a_first_look_finds_what_is_not_there() -> None:
    made = notebook("x = 1\ny = 2", "z = 1")
    made.look({"x": 1, "z": 1})
    assert (kinds(made, "x"), kinds(made, "y")) == (["bound"], ["deleted elsewhere"])


def test_imports_of_submodules_add_up() -> None:
    made = notebook("import xml.dom", "import xml.sax\nimport os", "import os")
    assert kinds(made, "xml") == ["perhaps bound", "bound"]
    assert kinds(made, "os") == ["bound"]


def test_postponed_annotations_stay_in_force_as_in_ipython() -> None:
    made = notebook("def f(x: a): ...", "from __future__ import annotations", "def g(x: a): ...")
    assert "a" in made.statements[0].names.now
    assert "a" in made.statements[2].names.hints
    assert [cell.future for cell in made.cells] == [frozenset(), {"annotations"}, {"annotations"}]


def test_what_the_compiler_warns_of_is_not_told_again() -> None:
    notebook("pattern = '\\d'\nx = 5 is 5\ny = 1()")  # warnings are errors in these tests
