"""What is shipped: the wheel and the source archive hold what is needed and nothing else, and work bare."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path, PurePosixPath

import pytest

import byoc_nb

ROOT = Path(__file__).parents[1]
PACKAGE = Path(byoc_nb.__file__).parent
KERNEL = ROOT / "kernels" / "byoc"
UV = Path(sys.executable).with_name("uv")
KINDS = {".py", ".typed", ".pth", ".ts", ".j2", ".js", ".css", ".ipynb", ".json", ".png", ".svg"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

pytestmark = pytest.mark.skipif(not UV.is_file(), reason="uv is not installed")


def run(*command: object, cwd: Path) -> str:
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both archives; the wheel is built from the source archive, which must suffice for it."""
    folder = tmp_path_factory.mktemp("dist")
    run(UV, "build", "--quiet", "--out-dir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that has the wheel and what it requires, without any extra."""
    folder = tmp_path_factory.mktemp("bare")
    run(UV, "venv", "--quiet", "--python", sys.executable, folder / "venv", cwd=folder)
    python = folder / "venv" / "bin" / "python"
    run(UV, "pip", "install", "--quiet", "--python", python, "-c", ROOT / "constraints.txt", wheel, cwd=folder)
    return folder / "venv"


def sources() -> set[str]:
    """The package's files in the checkout, as git would have them."""
    found = [path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {str(path.relative_to(ROOT)) for path in found if ".ipynb_checkpoints" not in path.parts}


def test_the_wheel_holds_the_package_the_kernel_and_the_alias(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    info, data = (f"byoc_nb-{byoc_nb.__version__}.{kind}" for kind in ("dist-info", "data"))
    places = (f"{data}/data/share/jupyter/kernels/byoc", "byoc_nb/kernel")
    kernel = {f"{place}/{path.name}" for path in KERNEL.iterdir() for place in places}
    assert len(kernel) == 8
    beside = {"byoc_nb_pytrickle.py", "byoc_nb_pytrickle.pth"}
    wanted = sources() | kernel | beside
    assert {name for name in names if not name.startswith(info)} == wanted
    assert {PurePosixPath(name).suffix for name in wanted} == KINDS
    assert f"{info}/licenses/LICENSE" in names
    for needed in ("py.typed", "export/clip.ts", "dashboard/static/dashboard.js", "commands/templates/video.ipynb"):
        assert f"byoc_nb/{needed}" in names


def test_the_source_archive_holds_what_a_build_needs(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    beside = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "hatch_build.py", "PKG-INFO", ".gitignore"}
    assert names == sources() | {f"kernels/byoc/{path.name}" for path in KERNEL.iterdir()} | beside


def test_the_bare_wheel_has_its_command_and_neither_torch_nor_jupyter(bare: Path, tmp_path: Path) -> None:
    assert run(bare / "bin" / "byoc-nb", "--version", cwd=tmp_path) == f"byoc-nb {byoc_nb.__version__}\n"
    spec = json.loads((bare / "share" / "jupyter" / "kernels" / "byoc" / "kernel.json").read_text())
    assert spec["display_name"] == "BYOC (Python)"
    code = """
import importlib.util, sys
assert not any(importlib.util.find_spec(name) for name in ("torch", "IPython", "jinja2", "PIL", "jupyter_core"))
assert "byoc_nb" not in sys.modules
import pytrickle, byoc_nb
assert pytrickle.VideoFrame is byoc_nb.VideoFrame
assert byoc_nb.__file__.startswith(sys.prefix)
import byoc_nb.cli, byoc_nb.runtime.server, byoc_nb.network.source
from byoc_nb.export.wheel import write_wheel
from pathlib import Path
print(write_wheel(Path(".")).name)
"""
    again = run(bare / "bin" / "python", "-c", code, cwd=tmp_path).strip()
    with zipfile.ZipFile(tmp_path / again) as archive:  # what an export carries along, made from an installed wheel
        assert {"byoc_nb/pytrickle_names.py", "byoc_nb_pytrickle.pth"} <= set(archive.namelist())


def test_what_needs_an_extra_says_so_in_one_line(bare: Path, tmp_path: Path) -> None:
    for command in (["completion", "bash"], ["kernelspec", "install", "--user"]):
        done = subprocess.run(
            [bare / "bin" / "byoc-nb", *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1 and "pip install 'byoc_nb[lab]'" in done.stderr
    done = subprocess.run(
        [bare / "bin" / "byoc-nb", "doctor", "--json"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    levels = {one["id"]: one["level"] for one in json.loads(done.stdout)["findings"]}
    assert (done.returncode, levels["notebook"], levels["torch"], levels["pyav"]) == (1, "error", "note", "good")


def test_a_processor_is_served_without_any_extra(bare: Path, tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text("def negative(frame):\n    return frame.replace_array(255 - frame.array)\n")
    assert "nothing stands in the way" in run(bare / "bin" / "byoc-nb", "check", "p.py", cwd=tmp_path)


def test_every_requirement_has_a_bound_and_every_pin_satisfies_it() -> None:
    from packaging.requirements import Requirement

    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    pins = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    extras = PROJECT["optional-dependencies"]
    for text in [*PROJECT["dependencies"], *(one for extra in extras.values() for one in extra)]:
        requirement = Requirement(text)
        if requirement.name == "byoc_nb":
            continue
        assert ">=" in str(requirement.specifier), text
        assert requirement.specifier.contains(pins[requirement.name.lower()]), text
    assert extras.keys() == {"torch", "lab", "dev", "docs"}


def test_the_version_is_told_once_and_the_same_everywhere() -> None:
    assert PROJECT["version"] == byoc_nb.__version__ == metadata.version("byoc_nb")
