"""The wheel that travels with an export."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import byoc_nb
from byoc_nb.export.wheel import write_wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_wheel(tmp_path_factory.mktemp("wheel"))


def test_its_name_says_version_and_that_it_runs_everywhere(wheel: Path) -> None:
    assert wheel.name == f"byoc_nb-{byoc_nb.__version__}-py3-none-any.whl"


def test_it_holds_the_package_and_nothing_of_the_workshop(wheel: Path) -> None:
    files = zipfile.ZipFile(wheel).namelist()
    assert {"byoc_nb/__init__.py", "byoc_nb/export/templates/Dockerfile.j2", "byoc_nb/py.typed"} <= set(files)
    assert {"byoc_nb_pytrickle.py", "byoc_nb_pytrickle.pth"} <= set(files)
    assert not [file for file in files if "__pycache__" in file or "/." in file or file.startswith("tests")]
    assert len(files) == len(set(files))


def test_the_record_matches_the_files(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    record = f"byoc_nb-{byoc_nb.__version__}.dist-info/RECORD"
    rows = [line.split(",") for line in archive.read(record).decode().splitlines()]
    assert {row[0] for row in rows} == set(archive.namelist())
    for name, digest, size in rows:
        if name != record:
            data = archive.read(name)
            assert int(size) == len(data)
            expected = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert digest == f"sha256={expected}"


def test_equal_files_give_equal_bytes(wheel: Path, tmp_path: Path) -> None:
    assert write_wheel(tmp_path).read_bytes() == wheel.read_bytes()


def test_pip_installs_it_into_a_fresh_environment_and_pytrickle_resolves_there(wheel: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    fresh = venv / "bin" / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", fresh, "install", "--no-deps", "--no-index", "-q", wheel],
        check=True,
        capture_output=True,
    )
    # Its dependencies are those of this environment, after its own packages; .pth files are not followed there.
    here = next(path for path in sys.path if path.endswith("site-packages"))
    code = f"""
import sys
assert "byoc_nb" not in sys.modules
sys.path.append({here!r})
import byoc_nb, pytrickle
from pytrickle.frames import VideoFrame
assert byoc_nb.__file__.startswith({str(venv)!r}), byoc_nb.__file__
assert VideoFrame is byoc_nb.VideoFrame
from importlib.metadata import version
print(version("byoc_nb"))
"""
    done = subprocess.run([fresh, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == byoc_nb.__version__
