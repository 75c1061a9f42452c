"""`byoc-nb new`: notebooks to begin with, each of which runs as it is written."""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from byoc_nb.cli import main
from byoc_nb.commands import kernelspec
from byoc_nb.commands.new import TEMPLATES


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def byoc_kernel(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel that the notebooks name, with this python, and a free port for it."""
    folder = tmp_path_factory.mktemp("jupyter")
    kernelspec.install(folder / "kernels")
    monkeypatch.setenv("JUPYTER_PATH", str(folder))
    monkeypatch.setenv("BYOC_PORT", "0")


@pytest.mark.usefixtures("byoc_kernel")
@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_runs_and_is_exported(template: str, here: Path) -> None:
    assert main(["new", "glass-eye", "--template", template]) == 0
    notebook = nbformat.read(here / "glass-eye.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.kernelspec.name == "byoc"
    assert "my-processor" not in json.dumps(notebook) and "MyProcessor" not in json.dumps(notebook)
    (export,) = [cell for cell in notebook.cells if cell.source.startswith("%byoc export")]
    export.source += " --no-prove"  # tests/export proves; here it is that every line is right
    (preview,) = [index for index, cell in enumerate(notebook.cells) if cell.source == "%byoc preview"]
    notebook.cells.insert(preview + 1, nbformat.v4.new_code_cell("now = %byoc status\nassert not now['errors'], now"))

    NotebookClient(notebook, timeout=90, resources={"metadata": {"path": str(here)}}).execute()

    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    said = "".join(output.get("text", "") for output in outputs)
    assert "Error" not in said, said
    assert any("image/png" in output.get("data", {}) or "image/jpeg" in output.get("data", {}) for output in outputs)
    assert "class GlassEye" in (here / "glass-eye" / "processor.py").read_text()
    dockerfile = (here / "glass-eye" / "Dockerfile").read_text()
    assert ("nvidia/cuda" in dockerfile) == (template == "torch")


def test_the_next_command_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "my-processor"]) == 0
    assert capsys.readouterr().out == "written: my-processor.ipynb\nopen it: jupyter lab my-processor.ipynb\n"


def test_no_file_is_overwritten(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "mine.ipynb").write_text("precious")
    assert main(["new", "mine"]) == 1
    assert "mine.ipynb is there already" in capsys.readouterr().err
    assert (here / "mine.ipynb").read_text() == "precious"
    (here / "dangling.ipynb").symlink_to(here / "elsewhere")
    assert main(["new", "dangling"]) == 1
    assert not (here / "elsewhere").exists()


@pytest.mark.parametrize("name", ["", "Upper", "1st", "a_b", "a--b", "a-", "../a", "a/b", "a.b", "a b", "ä", "a" * 64])
def test_a_name_that_no_image_could_have_is_refused(name: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", name]) == 1
    assert "isn't a name: small letters, digits and hyphens" in capsys.readouterr().err
    assert not list(here.iterdir())


@pytest.mark.parametrize("name", ["none", "true", "frame-processor", "field"])
def test_a_name_that_no_class_could_have_is_refused(name: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", name]) == 1
    assert f"take another name, such as my-{name}" in capsys.readouterr().err
    assert not list(here.iterdir())
