"""torch, the CUDA that it was built for, the driver, and how OpenMP's threads wait."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

from byoc_nb.commands.checks.finding import Finding, error, good, note, numbers, pip_install, version
from byoc_nb.export import cuda as table

_ANSWER_SECONDS = 2.0


def torch() -> Finding:
    """Whether it can be imported; a processor without tensors does without it."""
    if find_spec("torch") is None:
        return note("torch", "not installed: frames have arrays, no tensors", pip_install("torch"))
    try:
        import torch

        return good("torch", f"{torch.__version__}, {torch.get_num_threads()} threads")
    except Exception as problem:  # whatever half of an installation raises
        fix = pip_install("--force-reinstall", "torch")
        return error("torch", f"{version('torch')} can't be imported: {problem}".lstrip(), fix)


def cuda() -> Finding:
    """The driver, and whether torch's build fits it."""
    driver, name = gpu()
    if not driver:
        return good("cuda", "no NVIDIA GPU here: torch works on the CPU")
    said = f"{name}, driver {driver}"
    loaded: Any = sys.modules.get("torch")
    if not hasattr(loaded, "version"):  # without it, or with what is left of one
        return note("cuda", f"{said}, and no torch to use it", pip_install(*fitting("", driver)))
    built = loaded.version.cuda
    fix = pip_install("--force-reinstall", *fitting(loaded.__version__, driver))
    if not built:
        return note("cuda", f"{said}, but torch {loaded.__version__} is a build without CUDA", fix)
    if loaded.cuda.is_available():
        return good("cuda", f"{said}, torch built for CUDA {built}")
    if numbers(driver) < numbers(lowest(built)):
        return note("cuda", f"{said}, but torch's CUDA {built} needs driver {lowest(built)} or newer", fix)
    return note("cuda", f"{said}, torch built for CUDA {built}, which finds no device", "nvidia-smi")


def openmp() -> Finding:
    """Spinning threads take the time that the codecs need."""
    setting = os.environ.get("OMP_WAIT_POLICY", "")
    if setting.upper() == "PASSIVE":
        return good("openmp", "OMP_WAIT_POLICY is PASSIVE: idle threads of torch sleep")
    said = f"OMP_WAIT_POLICY is {setting!r}: idle threads of torch spin and slow the codecs down"
    return note("openmp", said, "export OMP_WAIT_POLICY=PASSIVE")


def gpu() -> tuple[str, str]:
    """The driver's version and the first GPU's name, empty where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return "", ""
    query = [program, "--query-gpu=driver_version,name", "--format=csv,noheader"]
    try:
        done = subprocess.run(
            query, capture_output=True, text=True, errors="replace", timeout=_ANSWER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return "", ""
    driver, comma, name = done.stdout.partition("\n")[0].partition(",")
    return (driver.strip(), name.strip()) if comma and not done.returncode else ("", "")


def lowest(cuda: str) -> str:
    """The lowest driver for a CUDA, which all of its major version share."""
    major = cuda.partition(".")[0]
    return next((driver for name, (_, driver) in table.CUDA.items() if name.partition(".")[0] == major), "0")


def fitting(installed: str, driver: str) -> list[str]:
    """What to tell pip for a torch that works with a driver: the installed version if it has such a build."""
    own = ".".join(installed.split(".")[:2])
    for release in (own, *reversed(table.TORCH)):
        for cuda in reversed(table.TORCH.get(release, ("", ()))[1]):
            if numbers(driver) >= numbers(lowest(cuda)):
                return [
                    f"torch=={release}.*",
                    "--index-url",
                    f"https://download.pytorch.org/whl/cu{cuda.replace('.', '')}",
                ]
    return ["torch"]
