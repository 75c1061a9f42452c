"""What lies beside a frozen program: modules of the notebook's folder, arrays, files that it opens."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from freeze_kit import kernel, module_of, write

from byoc_nb.export import constants
from byoc_nb.export.freeze import FreezeError
from byoc_nb.export.local import local_code
from byoc_nb.export.opened import opened

PROCESSOR = "class P(FrameProcessor):\n    def process_video(self, frame): return {}\n"

# ---- modules


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for modules, which a kernel in it finds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def put(folder: Path, **files: str) -> None:
    for name, text in files.items():
        target = folder / name.replace("__", "/")
        target = target.with_suffix(".py")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)


def test_a_module_brings_what_it_imports_from_beside_it(beside: Path) -> None:
    put(beside, byoc_a="import byoc_b, numpy\nfrom os import path", byoc_b="import byoc_a", byoc_unused="")
    found = local_code(["byoc_a", "json"])
    assert found.files == {"byoc_a.py": beside / "byoc_a.py", "byoc_b.py": beside / "byoc_b.py"}
    assert found.outside == {"json", "numpy", "os"}


def test_a_package_goes_as_a_whole_with_its_data(beside: Path) -> None:
    (beside / "byoc_pack" / "__pycache__").mkdir(parents=True)
    (beside / "byoc_pack" / "__pycache__" / "x.pyc").write_bytes(b"")
    (beside / "byoc_pack" / ".hidden").write_text("")
    (beside / "byoc_pack" / "__init__.py").write_text("from .part import X")
    (beside / "byoc_pack" / "part.py").write_text("import yaml\nX = 1")
    (beside / "byoc_pack" / "table.csv").write_text("1")
    found = local_code(["byoc_pack.part"])
    assert sorted(found.files) == ["byoc_pack/__init__.py", "byoc_pack/part.py", "byoc_pack/table.csv"]
    assert found.outside == {"yaml"}


def test_a_folder_without_init_is_a_package_too(beside: Path) -> None:
    put(beside, byoc_space__part="X = 1")
    assert sorted(local_code(["byoc_space.part"]).files) == ["byoc_space/part.py"]


def test_what_is_installed_or_python_s_own_stays(beside: Path) -> None:
    put(beside, byoc_c="import json, numpy, byoc_nb, pytrickle, no_such_thing")
    found = local_code(["byoc_c"])
    assert list(found.files) == ["byoc_c.py"]
    assert "no_such_thing" in found.outside


def test_a_secret_in_a_module_stops_the_export_with_its_file(beside: Path) -> None:
    put(beside, byoc_d="X = 1\nTOKEN = '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'")
    made = kernel("import byoc_d", PROCESSOR.format("byoc_d.X"))
    with pytest.raises(FreezeError, match=r"byoc_d\.py line 2: this looks like a secret"):
        made.freeze()


# ---- arrays


def test_values_come_back_as_they_were(tmp_path: Path) -> None:
    kept = {
        "a": np.arange(6, dtype=np.float16).reshape(2, 3).T,
        "b": torch.arange(6).reshape(2, 3).T,
        "c": np.array([True, False]),
        "d": torch.zeros(2, requires_grad=True),
        "e": np.array(5),
    }
    constants.write(kept, tmp_path)
    space: dict[str, object] = {"__file__": str(tmp_path / "processor.py")}
    exec(constants.lines(kept), space)
    for name, value in kept.items():
        found = space[name]
        assert type(found) is type(value)
        assert found.dtype == value.dtype  # type: ignore[attr-defined]
        assert found.shape == value.shape  # type: ignore[attr-defined]
        assert bool((found == value).all())  # type: ignore[attr-defined]
    assert space["d"].requires_grad  # type: ignore[attr-defined]


def test_numpy_alone_needs_no_torch(tmp_path: Path) -> None:
    frozen = kernel(
        "import numpy as np\nx = np.random.default_rng().random(3)", PROCESSOR.format("frame.replace_array(x)")
    ).freeze()
    write(frozen, tmp_path)
    code = "import processor, sys; print(processor.x.shape, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(3,) False"
    assert "safetensors" in frozen.modules
    assert not frozen.uses_torch


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        (np.zeros(2), True),
        (torch.zeros(2), True),
        (torch.nn.Parameter(torch.zeros(2)), False),
        (np.array(["x"]), False),
        (np.array([object()]), False),
        (np.zeros(2, complex), False),
        (torch.zeros(2).to_sparse(), False),
        (np.ma.zeros(2), False),
        ([1.0], False),
    ],
)
def test_only_plain_numbers_are_kept(value: object, is_one: bool) -> None:
    assert constants.is_array(value) is is_one


def test_text_is_better_than_a_value_where_it_gives_the_same() -> None:
    frozen = kernel("import numpy as np\nx = np.arange(3)", PROCESSOR.format("x")).freeze()
    assert frozen.constants == {}
    assert "x = np.arange(3)" in frozen.body


@pytest.mark.parametrize(
    "made",
    [
        "x = np.random.rand(3)",
        "x = np.loadtxt('x.txt')",
        "def make(): return np.random.rand(3)\nx = make()",
        "raw = np.random.rand(3)\nx = raw / raw.sum()",
        "from pathlib import Path\nx = np.array(Path('x.txt').read_text().split(), float)",
    ],
)
def test_a_value_is_better_where_text_may_give_another(made: str, beside: Path) -> None:
    (beside / "x.txt").write_text("1\n2\n3\n")
    space = kernel("import numpy as np", made, PROCESSOR.format("x"))
    frozen = space.freeze()
    assert list(frozen.constants) == ["x"]
    assert "np" not in frozen.body.split("class P")[1]
    folder = write(frozen, beside / "out")
    assert np.array_equal(module_of(frozen, folder).x, space.namespace["x"])


def test_a_value_that_was_another_when_a_cell_ran_is_refused() -> None:
    made = kernel(
        "import numpy as np\nx = np.random.rand(3)", PROCESSOR.format("x") + "    early = x\n", "x = np.random.rand(3)"
    )
    with pytest.raises(FreezeError, match=r"cell \[2\] line 3: x was another value when this ran"):
        made.freeze()


def test_the_limit_can_be_moved() -> None:
    made = kernel("import numpy as np\nx = np.random.rand(300_000)", PROCESSOR.format("x"))
    with pytest.raises(FreezeError, match=r"x has 2 MB and no text makes it again") as caught:
        made.freeze(max_constant=1_000_000)
    assert "--max-constant 3MB" in caught.value.hint
    assert list(made.freeze(max_constant=3_000_000).constants) == ["x"]


# ---- files that are opened


@pytest.mark.parametrize(
    ("call", "path"),
    [
        ("torch.load('net.pt')", "net.pt"),
        ("torch.load(PATH, map_location='cpu')", "models/net.pt"),
        ("net.load_state_dict(torch.load(f=PATH))", "models/net.pt"),
        ("open(FOLDER / 'a.txt')", "models/a.txt"),
        ("load_file(os.path.join('models', 'x.safetensors'))", "models/x.safetensors"),
        ("InferenceSession('models/x.onnx', providers=['CPU'])", "models/x.onnx"),
        ("Path('a.json').read_text()", "a.json"),
        ("(FOLDER / 'a.json').open()", "models/a.json"),
        ("cv2.imread('mask.png')", "mask.png"),
        ("YOLO('yolo11n.pt')", "yolo11n.pt"),
        ("build('models/x.engine')", "models/x.engine"),
        ("AutoModel.from_pretrained('here')", "here"),
        ("print('net.pt')", ""),
        ("torch.load('https://x/net.pt')", ""),
        ("AutoModel.from_pretrained('org/name')", ""),
        ("torch.load(f'{name}.pt')", ""),
        ("torch.load(name)", ""),
        ("'a.b'.join(x)", ""),
    ],
)
def test_which_file_a_call_opens(call: str, path: str, beside: Path) -> None:
    (beside / "here").mkdir()
    values = {"PATH": "'models/net.pt'", "FOLDER": "Path('models')", "name": "name"}
    known = {name: ast.parse(text, mode="eval").body for name, text in values.items()}
    found = {one.path for one in opened([ast.parse(call)], known.get)}
    assert found == ({path} if path else set())


def test_files_are_found_where_the_processor_loads(beside: Path) -> None:
    (beside / "net.pt").write_bytes(b"x")
    made = kernel(
        "NAME = 'net.pt'\nimport json\ndef read(path): return path",
        "LABELS = read('data/labels.txt') if False else None\ndef weights(): return read(NAME)",
        """
class P(FrameProcessor):
    FOLDER = "tables"
    def load_model(self):
        self.net = self.more(weights())
    def more(self, net):
        return open(self.FOLDER + "/ramp.csv"), net
    def process_video(self, frame):
        return read("never.pt") and LABELS
""",
    )
    found = {(one.path, one.cell, one.line, one.found is not None) for one in made.freeze().opened}
    assert found == {("net.pt", 2, 2, True), ("tables/ramp.csv", 3, 7, False), ("data/labels.txt", 2, 1, False)}
    assert os.path.exists("net.pt")
