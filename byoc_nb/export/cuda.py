"""Which CUDA an image needs: torch's builds by version, their indexes, drivers and base images.

The table is of 2026-11-22. torch's own CUDA is that of the wheel on PyPI (found by resolving each version there); the
others are on PyTorch's indexes. A driver is NVIDIA's minimum for the major version (minor version compatibility).
Wheels bring CUDA's libraries along, so a `base` image is enough.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from byoc_nb.errors import ByocError

TABLE_OF = "2026-11-22"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# torch: the CUDA of PyPI's wheel, and all builds that are known
TORCH = {
    "2.4": ("12.1", ("11.8", "12.1", "12.4")),
    "2.5": ("12.4", ("11.8", "12.1", "12.4")),
    "2.6": ("12.4", ("11.8", "12.4", "12.6")),
    "2.7": ("12.6", ("11.8", "12.6", "12.8")),
    "2.8": ("12.8", ("12.6", "12.8", "12.9")),
    "2.9": ("12.8", ("12.6", "12.8", "13.0")),
    "2.10": ("12.8", ("12.6", "12.8", "13.0")),
    "2.11": ("13.0", ("13.0",)),
    "2.12": ("13.0", ("13.0",)),
    "2.13": ("13.0", ("13.0",)),
}
# CUDA: the tag of nvidia/cuda's image, and the lowest driver
CUDA = {
    "12.6": ("12.6.3-base-ubuntu24.04", "525.60.13"),
    "12.8": ("12.8.1-base-ubuntu24.04", "525.60.13"),
    "12.9": ("12.9.1-base-ubuntu24.04", "525.60.13"),
    "13.0": ("13.0.1-base-ubuntu24.04", "580.65.06"),
}
DEFAULT = "12.8"  # for a processor without torch


class CudaError(ByocError, ValueError):
    """There is no such CUDA to build with."""


@dataclass(frozen=True)
class Platform:
    """What an image is built on. `cuda` is empty for the CPU, `index` where PyPI has the right wheel of torch."""

    base: str
    cuda: str = ""
    index: str = ""
    driver: str = ""
    warning: str = ""


def platform(torch: str, *, python: str, cuda: str = "", cpu: bool = False, base: str = "") -> Platform:
    """The platform for a version of torch (empty without it); what is asked for goes before what the table says.

    `python` is the notebook's version, for the CPU's image. A torch that the table doesn't know gives a warning.
    Raises CudaError for a CUDA that there is no image of, or that is asked for together with `cpu`.
    """
    if cpu and cuda:
        raise CudaError("an image is with CUDA or for the CPU", hint="give --cuda or --cpu")
    if cpu:
        return Platform(base or f"python:{python}-slim", index=CPU_INDEX if torch else "")
    if cuda and cuda not in CUDA:
        raise CudaError(f"there is no base image for CUDA {cuda} in the table of {TABLE_OF}", hint=_images(base))
    own, builds = TORCH.get(_minor(torch), ("", ()))
    warning = ""
    if torch and not own:
        warning = f"torch {torch} isn't in the table of {TABLE_OF}: CUDA {cuda or DEFAULT} is a guess"
    elif torch and cuda and cuda not in builds:
        known = ", ".join(builds)
        warning = f"the table of {TABLE_OF} knows no build of torch {torch} for CUDA {cuda}, only for {known}"
    wanted = cuda or own or DEFAULT
    # An image of a later minor version serves older wheels: they bring their own libraries.
    tag, driver = CUDA.get(wanted) or CUDA["12.6"]
    elsewhere = bool(torch and cuda and cuda != own)
    index = f"https://download.pytorch.org/whl/cu{wanted.replace('.', '')}" if elsewhere else ""
    return Platform(base or f"nvidia/cuda:{tag}", wanted, index, driver, warning)


def _images(base: str) -> str:
    return f"there are {', '.join(CUDA)}" + ("" if base else "; --base IMAGE takes any other")


def _minor(version: str) -> str:
    found = re.match(r"\d+\.\d+", version)
    return found[0] if found else ""
