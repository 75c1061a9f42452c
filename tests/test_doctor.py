"""`byoc-nb doctor`: what it finds on this machine, and on machines where something is missing."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from byoc_nb.cli import main
from byoc_nb.commands import kernelspec
from byoc_nb.commands.checks import CHECKS, Finding, images, jupyter, machine, media, tensors
from byoc_nb.commands.checks.finding import numbers

LIMIT = 4.0  # seconds of processor time, which other programs don't lengthen; torch takes half of it


def program(folder: Path, name: str, text: str) -> None:
    """A shell script in the place of a program."""
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


@pytest.fixture
def without(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Hide a package."""

    def hide(name: str) -> None:
        def find(wanted: str, *rest: Any) -> Any:
            return None if wanted == name else find_spec(wanted, *rest)

        for module in (jupyter, tensors):
            monkeypatch.setattr(module, "find_spec", find)

    return hide


def test_this_machine_can_run_the_main_job_and_is_told_so_soon() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "byoc_nb", "doctor"], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < LIMIT
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    lines = [line.split()[1] for line in done.stdout.splitlines() if line.startswith(("good", "note"))]
    assert lines == [check().id for check in CHECKS]
    assert done.stdout.endswith("\nReady.\n")


def test_json_has_every_finding_and_what_is_not_good_has_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is True
    assert len({one["id"] for one in found["findings"]}) == len(CHECKS)
    for one in found["findings"]:
        assert one.keys() == {"id", "level", "message", "fix"}
        assert one["message"] and (one["level"] == "good") == (not one["fix"])


def test_an_error_is_exit_status_1_with_its_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BYOC_PORT", "eighty")
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    said = "error   port          BYOC_PORT: 'eighty' isn't a port (0 to 65535)"
    assert f"{said}\n{' ' * 22}unset BYOC_PORT\n" in out
    assert out.endswith("The main job can't run before this is mended: port.\n")
    assert main(["doctor", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


def test_a_taken_port_is_told_with_a_free_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        monkeypatch.setenv("BYOC_PORT", str(number))
        found = machine.port()
    assert (found.level, found.message) == ("note", f"{number} is taken")
    offered = int(found.fix.removeprefix("%byoc serve --port "))
    assert offered != number
    with socket.create_server(("127.0.0.1", offered)):
        pass


@pytest.mark.parametrize(
    "check, level, says, fix",
    [
        (machine.cores, "note", "one: ", "%byoc serve --size 640x360"),
        (machine.memory, "note", "0.5 of 1.0 GiB", "ps "),
        (machine.disk, "error", "0.0 GiB are free", " -m pip cache purge"),
    ],
)
def test_a_small_machine(
    check: Callable[[], Finding], level: str, says: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 1048576 kB\nMemFree: 1 kB\nMemAvailable: 524288 kB\nHugePages: 0\n")
    monkeypatch.setattr(machine, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3})
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1 << 20))
    found = check()
    assert found.level == level
    assert says in found.message and fix in found.fix


def test_a_system_that_tells_no_memory_is_no_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_MEMINFO", tmp_path / "none")
    assert machine.memory().level == "good"


def test_a_pyav_without_libx264_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(media, "ENCODERS", ("libx264", "no_such_codec"))
    found = media.pyav()
    assert found.level == "error" and "without no_such_codec" in found.message
    assert found.fix.startswith(shlex.quote(sys.executable)) and found.fix.endswith("--only-binary av av")


def test_nvenc_is_tried_where_there_is_a_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BYOC_ENCODER", raising=False)
    monkeypatch.setattr("byoc_nb.media.h264.NVIDIA_DEVICE", str(tmp_path / "none"))
    assert media.nvenc() == Finding("nvenc", "good", "no NVIDIA device here: libx264 encodes")
    monkeypatch.setattr("byoc_nb.media.h264.NVIDIA_DEVICE", str(tmp_path))
    monkeypatch.setattr("byoc_nb.media.h264.NVENC", media.h264.NVENC._replace(name="no_such_encoder"))
    found = media.nvenc()
    assert found.level == "note" and "libx264 does" in found.message
    assert found.fix == "export BYOC_ENCODER=libx264" or "compute,utility,video" in found.fix
    monkeypatch.setenv("BYOC_ENCODER", "vp9")
    assert media.nvenc().fix == "unset BYOC_ENCODER"
    monkeypatch.setenv("BYOC_ENCODER", "libx264")
    assert media.nvenc().level == "good"


def test_without_torch_there_is_the_command_to_get_it(without: Callable[[str], None]) -> None:
    without("torch")
    found = tensors.torch()
    assert found.level == "note" and found.fix.endswith(" install torch")


def test_a_torch_that_cannot_be_imported_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('libcudart.so.13: cannot open shared object file')\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    found = tensors.torch()
    assert found.level == "error" and "can't be imported" in found.message and "--force-reinstall torch" in found.fix


@pytest.mark.parametrize(
    "driver, version, built, available, level, says, fix",
    [
        ("580.82.07", "2.13.0", "13.0", True, "good", "torch built for CUDA 13.0", ""),
        ("580.82.07", "2.13.0+cpu", None, False, "note", "a build without CUDA", "torch==2.13.* --index-url .*/cu130"),
        ("550.90.07", "2.13.0", "13.0", False, "note", "needs driver 580.65.06", "torch==2.10.* --index-url .*/cu128"),
        ("580.82.07", "2.8.0", "12.8", False, "note", "finds no device", "nvidia-smi"),
        ("470.1", "2.8.0+cpu", None, False, "note", "a build without CUDA", "install --force-reinstall"),
    ],
)
def test_torchs_cuda_is_held_against_the_driver(
    driver: str, version: str, built: str | None, available: bool, level: str, says: str, fix: str,
    path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    program(path, "nvidia-smi", f"echo '{driver}, NVIDIA L4'")
    torch = SimpleNamespace(
        __version__=version,
        version=SimpleNamespace(cuda=built),
        cuda=SimpleNamespace(is_available=lambda: available),
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    found = tensors.cuda()
    assert (found.level, found.message.startswith(f"NVIDIA L4, driver {driver}")) == (level, True)
    assert says in found.message
    assert re.search(fix, found.fix), found.fix


@pytest.mark.parametrize("text", ["exit 9", "echo", "echo 'NVIDIA-SMI has failed'", None])
def test_a_driver_that_does_not_answer_is_no_gpu(text: str | None, path: Path) -> None:
    if text:
        program(path, "nvidia-smi", text)
    assert tensors.gpu() == ("", "")
    assert tensors.cuda().level == "good"


def test_spinning_threads_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    assert tensors.openmp().fix == "export OMP_WAIT_POLICY=PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "passive")
    assert tensors.openmp().level == "good"


@pytest.mark.usefixtures("path")
def test_no_jupyterlab_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jupyter, "version", lambda package: "")
    found = jupyter.jupyterlab()
    assert found.level == "error" and found.fix.endswith("install 'byoc_nb[lab]'")


def test_a_jupyterlab_elsewhere_is_one_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jupyter, "version", lambda package: "")
    program(path, "jupyter-lab", "exit 0")
    assert jupyter.jupyterlab().message == f"another environment's, {path / 'jupyter-lab'}"
    monkeypatch.setattr(jupyter, "version", lambda package: "4.1.8")
    assert jupyter.jupyterlab().fix.endswith("install --upgrade 'jupyterlab>=4.2'")


def test_a_package_that_the_magics_need_is_named(without: Callable[[str], None]) -> None:
    assert jupyter.notebook().level == "good"
    without("anywidget")
    found = jupyter.notebook()
    assert (found.level, found.message) == ("error", "not installed: anywidget")
    assert found.fix.endswith("pip install 'byoc_nb[lab]'")


def test_the_kernels_fix_mends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SYSTEM_JUPYTER_PATH", "ENV_JUPYTER_PATH"):
        monkeypatch.setattr(f"jupyter_core.paths.{name}", [])
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    missing = jupyter.kernelspec()
    assert missing.level == "note" and missing.fix.endswith("-m byoc_nb kernelspec install")
    made = kernelspec.install(tmp_path / "kernels")
    assert jupyter.kernelspec() == Finding("kernelspec", "good", f"BYOC (Python) in {made}")
    spec = json.loads((made / "kernel.json").read_text())
    spec["argv"][0] = "/gone/bin/python"
    (made / "kernel.json").write_text(json.dumps(spec))
    assert jupyter.kernelspec().message == "BYOC (Python) starts /gone/bin/python, which isn't there"


def test_the_proxy_is_told_with_what_it_means(without: Callable[[str], None]) -> None:
    without("jupyter_server_proxy")
    found = jupyter.server_proxy()
    assert "browser on another machine" in found.message and found.fix.endswith("install jupyter-server-proxy")


def test_the_pytrickle_that_a_program_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jupyter, "version", lambda package: "0.1.6")
    assert jupyter.pytrickle().message == "import pytrickle is pytrickle 0.1.6 itself"
    monkeypatch.setattr(jupyter, "version", lambda package: "")
    assert jupyter.pytrickle().message.startswith("import pytrickle is byoc_nb, in ")


def test_the_first_builder_that_works_is_named(path: Path) -> None:
    found = images.builder()
    assert found.level == "note" and "docker: not installed; podman: not installed; buildah" in found.message
    assert found.fix.endswith("apt-get install --yes buildah")
    assert found.fix.startswith("sudo ") == (os.geteuid() != 0)
    program(path, "docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    assert "docker: Cannot connect to the Docker daemon;" in images.builder().message
    program(path, "buildah", "exit 0")
    assert images.builder().message == "buildah builds images; docker can't be used here"
    program(path, "docker", '[ "$1" = info ]')
    assert images.builder().message.startswith("buildah"), "docker without buildx"
    program(path, "docker", "exit 0")
    assert images.builder().message == "docker builds images"


def test_versions_are_compared_as_numbers() -> None:
    assert numbers("4.10.0rc1") == (4, 10, 0) and numbers("580.65.06") == (580, 65, 6) and numbers("x") == ()
    assert numbers("4.10") > numbers("4.9.9")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("raise RuntimeError('built for another NumPy')", "built for another NumPy"),
        (None, "no attribute '__version__'"),
    ],
    ids=["one that doesn't import", "a folder that was left"],
)
def test_what_is_left_of_a_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, why: str) -> None:
    (tmp_path / "torch").mkdir()
    if text is not None:
        (tmp_path / "torch" / "__init__.py").write_text(text)
    monkeypatch.setattr(tensors, "gpu", lambda: ("580.1", "a GPU"))
    monkeypatch.setitem(sys.modules, "torch", None)  # so that what is imported here is taken out again
    for name in [name for name in sys.modules if name.partition(".")[0] == "torch"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    found = tensors.torch()
    assert found.level == "error" and why in found.message and "--force-reinstall" in found.fix
    assert "no torch to use it" in tensors.cuda().message


def test_programs_that_say_what_is_no_text(path: Path) -> None:
    for name in ("docker", "podman", "buildah"):
        program(path, name, "printf '\\377 broken\\n' >&2; exit 1")
    program(path, "nvidia-smi", "printf '\\377, GPU\\n'")
    assert "docker: \ufffd broken" in images.builder().message
    assert tensors.gpu() == ("\ufffd", "GPU")


@pytest.mark.parametrize("text", ["[]", '{"argv": [], "display_name": "x"}', '{"argv": 5}', "{"])
def test_a_kernel_whose_file_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    (tmp_path / "kernels" / "byoc").mkdir(parents=True)
    (tmp_path / "kernels" / "byoc" / "kernel.json").write_text(text)
    assert jupyter.kernelspec().level == "note"


def test_a_working_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert machine.disk().level == "error"
    monkeypatch.chdir(tmp_path)
