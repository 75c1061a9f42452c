"""Which processor a file holds, and what is said when it holds none."""

from __future__ import annotations

import dataclasses
import pickle
import sys

import pytest

from byoc_nb.errors import ByocError
from byoc_nb.runtime.load import MODULE, LoadError, load_processor

PROCESSOR = "class {0}:\n    def process(self, frame: bytes) -> bytes:\n        return frame\n"


@pytest.fixture(autouse=True)
def as_before(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    sys.modules.pop(MODULE, None)


@pytest.fixture
def write(tmp_path):
    def make(code, name="processor.py"):
        path = tmp_path / name
        path.write_bytes(code if isinstance(code, bytes) else code.encode())
        return str(path)

    return make


def refused(spec):
    before, module = [*sys.path], sys.modules.get(MODULE)
    with pytest.raises(ByocError) as caught:
        load_processor(spec)
    assert sys.path == before and sys.modules.get(MODULE) is module, "nothing is left of it, all of the one before"
    line = caught.value.one_line()
    assert "\n" not in line
    return line


def test_the_only_processor_of_a_file(write):
    assert load_processor(write(PROCESSOR.format("Mine"))).__name__ == "Mine"


def test_a_function_is_one_too(write):
    assert load_processor(write("def process_video(frame): return frame\n")).__name__ == "process_video"


def test_the_named_one_of_several(write):
    path = write(PROCESSOR.format("A") + PROCESSOR.format("B"))
    assert load_processor(f"{path}:B").__name__ == "B"
    assert "holds 2 processors, A and B: choose:" in refused(path)
    assert f"choose: {path}:A" in refused(path)


def test_a_path_with_a_colon(write):
    path = write(PROCESSOR.format("A"), "take:2.py")
    assert load_processor(path).__name__ == "A"
    assert load_processor(f"{path}:A").__name__ == "A"


def test_the_files_own_main_block_does_not_run(write):
    code = PROCESSOR.format("Mine") + "if __name__ == '__main__':\n    raise SystemExit('main ran')\n"
    assert load_processor(write(code)).__name__ == "Mine"


def test_what_lies_beside_the_file_can_be_imported(write):
    write("LEVEL = 7\n", "beside_the_processor.py")
    code = "from beside_the_processor import LEVEL\n" + PROCESSOR.format("Mine")
    assert load_processor(write(code)).__name__ == "Mine"
    assert sys.modules.pop("beside_the_processor").LEVEL == 7


def test_dataclasses_and_pickle_find_its_classes(write):
    code = (
        "from __future__ import annotations\nimport dataclasses\n@dataclasses.dataclass\nclass Box:\n    x: int = 1\n"
    )
    load_processor(write(code + PROCESSOR.format("Mine")))
    box = sys.modules[MODULE].Box(3)
    assert dataclasses.astuple(pickle.loads(pickle.dumps(box))) == (3,)


@pytest.mark.parametrize(
    "head", [b"\xef\xbb\xbf", b"# -*- coding: latin-1 -*-\nNAME = '\xe9'\n"], ids=["bom", "latin-1"]
)
def test_files_in_other_encodings(write, head):
    assert load_processor(write(head + PROCESSOR.format("Mine").encode())).__name__ == "Mine"


@pytest.mark.parametrize(
    "code, says",
    [
        (
            "x = 1\n\nweights = x / 0\n",
            "raised ZeroDivisionError: division by zero (line 3 of <module>: weights = x / 0)",
        ),
        ("import no_such_module\n", "raised ModuleNotFoundError: No module named 'no_such_module' (line 1"),
        ("x = 1\nclass :\n", "isn't Python: invalid syntax in line 2"),
        ("x = '\0'\n", "isn't Python: "),
        (b"x = '\xff'\n", "isn't Python: "),
        ("import sys\nsys.exit()\n", "raised SystemExit"),
        ("x = 1\n", "holds no processor"),
        ("", "holds no processor"),
    ],
)
def test_files_that_cannot_be_served_say_why(write, code, says):
    path = write(code)
    line = refused(path)
    assert says in line and path in line


@pytest.mark.parametrize("name, says", [("Missing", "Missing is not defined in"), ("Plain", "Plain can't take frames")])
def test_a_name_that_is_no_processor(write, name, says):
    assert says in refused(write(PROCESSOR.format("Mine") + "class Plain: ...\n") + f":{name}")


def test_no_such_file(tmp_path):
    assert refused(f"{tmp_path}/missing.py").startswith(f"no such file: {tmp_path}/missing.py")
    assert refused(f"{tmp_path}/missing.py:Mine").startswith(f"no such file: {tmp_path}/missing.py")
    assert refused(str(tmp_path)).startswith("no such file")


def test_a_file_that_is_not_python(write):
    with pytest.raises(LoadError, match="isn't a Python file"):
        load_processor(write("class A: ...\n", "notes.txt"))
