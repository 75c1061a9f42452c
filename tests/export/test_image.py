"""The command lines for docker, podman and buildah: told to stand-ins that write down what they are called with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from byoc_nb.export import image
from byoc_nb.export.image import Builder, ImageError

DIGEST = "sha256:" + "ab" * 32
OTHER = "sha256:" + "cd" * 32
PROGRAM = """#!/bin/sh
printf '%s\\n' "$*" >> "{calls}"
case "$*" in
  info) exit {info} ;;
  "push "*--digestfile*) while [ "$1" != --digestfile ]; do shift; done; printf {digest} > "$2" ;;
  "push "*) echo "layer: {other}"; echo "1: digest: {digest} size: 1234"; echo "see {other}" ;;
esac
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What `build` and the others read of an export."""
    made = tmp_path / "tint"
    made.mkdir()
    manifest = {"name": "tint", "image": {"cuda": "12.8"}, "weights": [{"path": "net.pt", "how": "mount"}]}
    (made / "byoc.json").write_text(json.dumps(manifest))
    return made


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing but a shell on it."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "printf", "echo"):
        (programs / name).symlink_to(shutil.which(name) or name)
    monkeypatch.setenv("PATH", str(programs))
    return programs


def stand_in(path: Path, name: str, *, works: bool = True) -> None:
    file = path / name
    values: dict[str, Any] = {"calls": path.parent / "calls", "info": int(not works), "digest": DIGEST, "other": OTHER}
    file.write_text(PROGRAM.format(**values))
    file.chmod(0o755)


def calls(path: Path) -> list[str]:
    return [line for line in (path.parent / "calls").read_text().splitlines() if line != "info"]


@pytest.mark.parametrize(
    "manifest",
    [{}, {"name": 5}, {"name": "x", "image": None}, {"name": "x", "weights": [5]}, {"name": "x", "weights": 5}],
)
def test_a_folder_whose_manifest_is_no_exports_is_told(folder: Path, path: Path, manifest: dict[str, Any]) -> None:
    stand_in(path, "docker")
    (folder / "byoc.json").write_text(json.dumps(manifest))
    for work in (image.build, image.run):
        with pytest.raises(ImageError, match="holds no export"):
            work(folder, say=print)


def test_what_a_builder_says_need_not_be_text(folder: Path, path: Path) -> None:
    (path / "docker").write_text("#!/bin/sh\nprintf '\\377 said\\n'\n[ $1 = info ] || exit 1\n")
    (path / "docker").chmod(0o755)
    said: list[str] = []
    with pytest.raises(ImageError, match="\ufffd said"):
        image.build(folder, say=said.append)
    assert said[-1] == "\ufffd said"
    (path / "docker").write_text("#!/bin/sh\nprintf '\\377 no daemon\\n' >&2; exit 1\n")
    with pytest.raises(ImageError, match="docker: \ufffd no daemon"):
        image.build(folder, say=said.append)


BUILT = {
    "docker": "buildx build --load --tag tint:latest",
    "podman": "build --format docker --tag tint:latest",
    "buildah": "build --layers --format docker --tag tint:latest",
}


@pytest.mark.parametrize("name", BUILT)
def test_an_image_is_built_for_a_platform_with_a_secret(folder: Path, path: Path, name: str) -> None:
    stand_in(path, name)
    said: list[str] = []
    secrets = ["id=weights_token,env=HF_TOKEN"]
    assert image.build(folder, say=said.append, platform="linux/arm64", secrets=secrets) == "tint:latest"
    expected = f"{BUILT[name]} --platform linux/arm64 --secret {secrets[0]} {folder}"
    assert calls(path) == [expected]
    assert said[0] == f"$ {name} {expected}"


PUSHED = {
    "docker": ["tag tint:latest r.example/tint:1", "push r.example/tint:1"],
    "podman": ["push --digestfile FILE tint:latest docker://r.example/tint:1"],
    "buildah": ["push --digestfile FILE tint:latest docker://r.example/tint:1"],
}


@pytest.mark.parametrize("name", PUSHED)
def test_a_pushed_image_leaves_its_digest_in_the_manifest(folder: Path, path: Path, name: str) -> None:
    stand_in(path, name)
    assert image.push(folder, "r.example/tint:1", say=lambda line: None) == DIGEST
    made = [" ".join("FILE" if "byoc-push-" in word else word for word in call.split()) for call in calls(path)]
    assert made == PUSHED[name]
    pushed = json.loads((folder / "byoc.json").read_text())["pushed"]
    assert pushed == {"image": "r.example/tint:1", "digest": DIGEST}


@pytest.mark.parametrize(("name", "gpu"), [("docker", "--gpus all"), ("podman", "--device nvidia.com/gpu=all")])
def test_an_image_runs_with_the_gpu_and_its_volume(folder: Path, path: Path, name: str, gpu: str) -> None:
    stand_in(path, name)
    image.run(folder, say=lambda line: None, port=9000)
    stand_in(path, "nvidia-smi")
    image.run(folder, say=lambda line: None, port=9000)
    where = "--network host --env HOST=127.0.0.1 --env PORT=9000 tint:latest"
    volume = f"--volume {folder}/models:/models:ro {where}"
    assert calls(path) == [f"run --rm {volume}", f"run --rm {gpu} {volume}"]


def test_the_first_that_works_is_taken(folder: Path, path: Path) -> None:
    stand_in(path, "docker", works=False)
    stand_in(path, "podman")
    said: list[str] = []
    image.build(folder, say=said.append)
    assert said[0].startswith("$ podman build ")


def test_an_image_is_not_run_by_buildah(folder: Path, path: Path) -> None:
    stand_in(path, "buildah")
    with pytest.raises(ImageError, match="docker is not installed; podman is not installed") as caught:
        image.run(folder, say=print)
    assert caught.value.commands[0].startswith("docker run --rm ")


def test_a_registry_of_this_machine_needs_no_tls() -> None:
    for target in ("localhost/x:1", "127.0.0.1:5000/x:1"):
        assert "--tls-verify=false" in Builder("podman").push("x", target, "d")[0]
    assert "--tls-verify=false" not in Builder("podman").push("x", "localhost.example/x:1", "d")[0]
