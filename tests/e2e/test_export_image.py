"""The image of an export: built, run and pushed by buildah, without a daemon and from a base that is made here."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import image_kit
import psutil
import pytest
from e2e_kit import clean_variables
from test_export_program import NEGATIVE, byoc_nb

from byoc_nb.export import image
from byoc_nb.export.image import Builder, ImageError
from byoc_nb.runtime.ports import free_port

LEVELLED = NEGATIVE.replace('note("load")', 'self.level = int(Path("level.txt").read_text())').replace(
    "self.params.level -", "self.level * self.params.level // 255 -"
)


def inspected(name: str) -> dict[str, Any]:
    done = subprocess.run(["buildah", "inspect", "--type", "image", name], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout)["Docker"]["config"])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file's processor that opens another file, exported for a base image that is there."""
    here = tmp_path_factory.mktemp("image")
    (here / "negative.py").write_text(LEVELLED)
    (here / "level.txt").write_text("255")
    done = byoc_nb("export", "negative.py", "out", "--cpu", "--base", image_kit.BASE, "--weights", "bake", cwd=here)
    assert done.returncode == 0, done.stderr
    return here / "out"


@pytest.fixture(scope="module")
def buildah() -> Iterator[None]:
    """buildah alone, with a storage of its own."""
    if shutil.which("buildah") is None or os.geteuid() != 0:
        pytest.skip("buildah is not installed, or this is not root")
    with image_kit.storage() as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        patch.setattr(image, "BUILDERS", (Builder("buildah"),))
        yield


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[str]:
    """The address of an empty registry."""
    program = shutil.which("docker-registry") or shutil.which("registry")
    if program is None:
        pytest.skip("there is no docker-registry")
    port = free_port("127.0.0.1")
    config = tmp_path / "registry.yml"
    config.write_text(
        f"version: 0.1\nhttp: {{addr: '127.0.0.1:{port}'}}\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/r}}}}\n"
    )
    with (tmp_path / "registry.log").open("wb") as log:
        process = subprocess.Popen([program, "serve", str(config)], stdout=log, stderr=log)
    try:
        until_answered(f"http://127.0.0.1:{port}/v2/", process)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


def until_answered(url: str, process: subprocess.Popen[Any], seconds: float = 30.0) -> bytes:
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                return bytes(answer.read())
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, url
            time.sleep(0.02)


@pytest.mark.timeout(420)
@pytest.mark.usefixtures("buildah")
def test_the_image_is_built_changes_video_ends_when_told_and_is_pushed(
    folder: Path, registry: str, tmp_path: Path
) -> None:
    image_kit.make_base(tmp_path)
    said: list[str] = []
    assert image.build(folder, say=said.append) == "negative:latest"
    assert said[0] == f"$ buildah build --layers --format docker --tag negative:latest {folder}"
    assert_the_weights_have_a_layer_before_the_code()

    config, manifest = inspected("negative:latest"), json.loads((folder / "byoc.json").read_text())
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["python", "processor.py"]
    assert config["StopSignal"] == "SIGTERM"
    assert config["Healthcheck"]["Test"][:3] == ["CMD", "python", "-c"]
    assert json.loads(config["Labels"]["io.byoc.params.schema"]) == manifest["schema"]
    assert manifest["schema"]["description"] == 'What can be "set", in $.'

    run_and_end(folder)

    target = f"{registry}/team/negative:1"
    digest = image.push(folder, target, say=said.append)
    request = urllib.request.Request(f"http://{registry}/v2/team/negative/manifests/1")
    request.add_header("Accept", "application/vnd.docker.distribution.manifest.v2+json")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.headers["Docker-Content-Digest"] == digest
    assert json.loads((folder / "byoc.json").read_text()) == manifest | {"pushed": {"image": target, "digest": digest}}
    assert_it_comes_back(target, digest)


def assert_the_weights_have_a_layer_before_the_code() -> None:
    done = subprocess.run(["buildah", "inspect", "--type", "image", "negative:latest"], capture_output=True, check=True)
    steps = [one["created_by"] for one in json.loads(done.stdout)["Docker"]["history"] if not one.get("empty_layer")]
    (weights,) = [number for number, step in enumerate(steps) if "level.txt" in step]
    code = [number for number, step in enumerate(steps) if "COPY" in step and step.strip().endswith(" ./")]
    assert code and weights < code[0], steps


def assert_it_comes_back(target: str, digest: str) -> None:
    """From the registry, by its tag, with the digest that was told."""
    subprocess.run(["buildah", "rmi", "--force", "negative:latest"], check=True, capture_output=True)
    pulled = ["buildah", "pull", "--quiet", "--tls-verify=false", target]
    name = subprocess.run(pulled, check=True, capture_output=True, text=True).stdout.strip()
    command = ["buildah", "images", "--format", "{{.Digest}}", name]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == digest


def run_and_end(folder: Path) -> None:
    """The program in its image, as its user: healthy, smoke-tested, and gone after SIGTERM."""
    container = subprocess.run(["buildah", "from", "negative:latest"], capture_output=True, text=True, check=True)
    port = free_port("127.0.0.1")
    command = ["buildah", "run", "--env", f"PORT={port}", container.stdout.strip(), "--", "python", "processor.py"]
    process = subprocess.Popen(command)  # pytest keeps what it says for a failure
    try:
        until_answered(f"http://127.0.0.1:{port}/health", process)
        smoke = [sys.executable, "smoke_test.py", f"http://127.0.0.1:{port}"]
        done = subprocess.run(smoke, cwd=folder, env=clean_variables(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        within = psutil.Process(process.pid).children(recursive=True)
        (program,) = [one for one in within if one.cmdline()[1:] == ["processor.py"]]
        assert program.uids().real == 10001
        program.send_signal(signal.SIGTERM)
        assert process.wait(5) == 0
    finally:
        for one in [*psutil.Process().children(recursive=True)]:
            if "processor.py" in " ".join(one.cmdline()):
                one.kill()
        process.wait(10)


@pytest.mark.usefixtures("buildah")
def test_the_tools_own_error_is_told(folder: Path) -> None:
    with pytest.raises(ImageError, match="buildah push failed with exit status") as caught:
        image.push(folder, "127.0.0.1:9/x:1", say=lambda line: None, tag="no-such-image:1")
    assert "no-such-image" in caught.value.one_line()
    assert "\n" not in caught.value.one_line()


def test_where_nothing_works_the_commands_for_elsewhere_are_told(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image, "BUILDERS", tuple(map(Builder, ("docker", "podman", "buildah"))))
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho 'Cannot connect to the Docker daemon' >&2\nexit 1\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}")
    with pytest.raises(ImageError) as caught:
        image.build(folder, say=print)
    assert "docker: Cannot connect to the Docker daemon; podman is not installed; buildah is not" in str(caught.value)
    assert caught.value.commands == (f"docker buildx build --load --tag negative:latest {folder}",)
    with pytest.raises(ImageError) as caught:
        image.push(folder, "r.example/x:1", say=print)
    assert caught.value.commands == ("docker tag negative:latest r.example/x:1", "docker push r.example/x:1")


def test_a_folder_without_an_export_is_told(tmp_path: Path) -> None:
    done = byoc_nb("build", tmp_path, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"byoc-nb: {tmp_path} holds no export: ")
