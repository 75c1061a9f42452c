"""requirements.txt: with hashes where uv finds them, and with the reason where it doesn't."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import test_folder

from byoc_nb.export import lock as lock_
from byoc_nb.export.lock import lock

PINS = [f"pydantic=={metadata.version('pydantic')}"]


def program(folder: Path, text: str) -> str:
    file = folder / "uv"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return str(file)


def test_uv_finds_everything_below_with_hashes() -> None:
    if lock_._uv() is None:
        pytest.skip("uv is not installed")
    found = lock(PINS, python="3.11")
    if found.why_not:
        pytest.skip(found.why_not)
    names = [line.partition("==")[0] for line in found.lines.splitlines() if "==" in line]
    assert {"pydantic", "pydantic-core", "annotated-types"} <= set(names)
    assert found.lines.count("--hash=sha256:") > len(names)


def test_the_local_part_of_a_version_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uv = program(tmp_path, "cat >/dev/null; printf 'torch==2.13.0+cu128 \\\\\\n    --hash=sha256:ab\\nnumpy==2.4.6\\n'")
    monkeypatch.setattr(lock_, "_uv", lambda: uv)
    found = lock(["torch==2.13.0"], python="3.11", index="https://download.pytorch.org/whl/cu128")
    assert found.lines == "torch==2.13.0 \\\n    --hash=sha256:ab\nnumpy==2.4.6"


@pytest.mark.parametrize("text", ["exit 1", "echo 'error: no network' >&2; exit 2"])
def test_where_uv_fails_the_pins_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    uv = program(tmp_path, f"cat >/dev/null; {text}")
    monkeypatch.setattr(lock_, "_uv", lambda: uv)
    found = lock(PINS, python="3.11")
    assert found.lines == PINS[0]
    assert found.why_not.startswith("uv could not find them")


def test_without_uv_the_pins_stay_and_the_file_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_, "_uv", lambda: None)
    test_folder.write(tmp_path / "x", hashes=True)
    text = (tmp_path / "x" / "requirements.txt").read_text()
    assert "Versions without hashes, and only those of requirements.in: uv was not there" in text
    assert "--hash" not in text


def test_pip_takes_a_locked_file_with_the_wheel_beside_it(tmp_path: Path) -> None:
    test_folder.write(tmp_path / "x", hashes=True)
    text = (tmp_path / "x" / "requirements.txt").read_text()
    if "--hash" not in text:
        pytest.skip(text.splitlines()[2])
    assert f"./{test_folder.WHEEL} --hash=sha256:" in text
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed", "--target", "t"]
    done = subprocess.run(
        [*command, "-r", "requirements.txt"],
        cwd=tmp_path / "x",
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_an_index_that_cannot_be_reached_leaves_honest_pins_and_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if lock_._uv() is None:
        pytest.skip("uv is not installed")
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # where nothing listens
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    done = test_folder.write(tmp_path / "x", test_folder.WITH_TENSOR, "Tint", cuda="12.6", hashes=True)
    lines = (tmp_path / "x" / "requirements.txt").read_text().splitlines()
    assert lines[2].startswith("# Versions without hashes, and only those of requirements.in: uv could not find them: ")
    assert "--extra-index-url https://download.pytorch.org/whl/cu126" in lines
    assert [line for line in lines if line.startswith("torch==")] == [
        f"torch=={metadata.version('torch').split('+')[0]}"
    ]
    assert "--hash" not in "".join(lines)
    (told,) = [warning for warning in done.warnings if warning.id == "lock"]
    assert str(told).startswith("warning [lock] requirements.txt has versions without hashes: uv could not find them: ")
