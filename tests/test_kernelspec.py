"""`byoc-nb kernelspec`: the kernel in Jupyter's launcher, with the right python and logos that browsers show."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from PIL import Image

from byoc_nb.cli import main
from byoc_nb.commands.kernelspec import SOURCE


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own Jupyter folder."""
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "home"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")  # or this environment's own kernel would come first
    return tmp_path / "home"


def test_an_installed_kernel_runs_this_python_with_the_magics(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kernelspec", "install", "--user"]) == 0
    folder = home / "kernels" / "byoc"
    assert capsys.readouterr().out == f"installed {folder}\n"
    spec = KernelSpecManager().get_kernel_spec("byoc")
    assert (spec.resource_dir, spec.display_name) == (str(folder), "BYOC (Python)")
    assert spec.argv[0] == sys.executable
    assert sorted(path.name for path in folder.iterdir()) == sorted(path.name for path in SOURCE.iterdir())

    cell = nbformat.v4.new_code_cell("import sys\nprint(sys.executable, FrameProcessor.__module__)\n%byoc --help")
    NotebookClient(nbformat.v4.new_notebook(cells=[cell]), kernel_name="byoc", timeout=60).execute()
    said = "".join(output.get("text", "") + output.get("data", {}).get("text/plain", "") for output in cell.outputs)
    assert f"{sys.executable} byoc_nb.processor" in said and "usage: %byoc" in said


def test_installing_again_replaces_it_and_remove_takes_it_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "share" / "jupyter" / "kernels" / "byoc"
    assert main(["kernelspec", "install", "--prefix", str(tmp_path)]) == 0
    (folder / "left-over").touch()
    assert main(["kernelspec", "install", "--prefix", str(tmp_path)]) == 0
    assert not (folder / "left-over").exists() and json.loads((folder / "kernel.json").read_text())
    assert main(["kernelspec", "remove", "--prefix", str(tmp_path)]) == 0
    assert list(folder.parent.iterdir()) == []
    assert main(["kernelspec", "remove", "--prefix", str(tmp_path)]) == 1
    assert f"byoc-nb: there is no {folder}: jupyter kernelspec list" in capsys.readouterr().err


def test_a_link_is_replaced_and_what_it_points_to_is_kept(tmp_path: Path) -> None:
    kernels = tmp_path / "share" / "jupyter" / "kernels"
    kernels.mkdir(parents=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "kernel.json").write_text("{}")
    (kernels / "byoc").symlink_to(tmp_path / "mine")
    assert main(["kernelspec", "install", "--prefix", str(tmp_path)]) == 0
    assert not (kernels / "byoc").is_symlink()
    assert (tmp_path / "mine" / "kernel.json").read_text() == "{}"
    assert main(["kernelspec", "remove", "--prefix", str(tmp_path)]) == 0
    (kernels / "byoc").symlink_to(tmp_path / "mine")
    assert main(["kernelspec", "remove", "--prefix", str(tmp_path)]) == 0
    assert list(kernels.iterdir()) == [] and (tmp_path / "mine" / "kernel.json").exists()


@pytest.mark.parametrize("text", ['{"display_name": "Mine"}', "[]", "{", None])
def test_another_kernel_of_this_name_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None
) -> None:
    folder = tmp_path / "share" / "jupyter" / "kernels" / "byoc"
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("precious")
    if text is not None:
        (folder / "kernel.json").write_text(text)
    assert main(["kernelspec", "install", "--prefix", str(tmp_path)]) == 1
    assert f"{folder} isn't BYOC (Python): move it elsewhere first" in capsys.readouterr().err
    assert main(["kernelspec", "remove", "--prefix", str(tmp_path)]) == 1
    assert (folder / "notes.txt").exists() and [path.name for path in folder.parent.iterdir()] == ["byoc"]


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "share").write_text("no folder")
    assert main(["kernelspec", "install", "--prefix", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "can't be written" in error and "--user" in error and len(error.splitlines()) == 1


@pytest.mark.parametrize("size", [32, 64])
def test_the_logos_are_pictures_of_their_size(size: int) -> None:
    with Image.open(SOURCE / f"logo-{size}x{size}.png") as logo:
        logo.load()
        assert (logo.format, logo.size, logo.mode) == ("PNG", (size, size), "RGBA")
        assert logo.getchannel("A").getextrema() == (0, 255)  # a shape on a transparent ground


def test_the_drawing_scales() -> None:
    drawing = ElementTree.parse(SOURCE / "logo-svg.svg").getroot()
    assert drawing.tag == "{http://www.w3.org/2000/svg}svg"
    assert drawing.get("viewBox") == "0 0 64 64" and drawing.get("width") is None
