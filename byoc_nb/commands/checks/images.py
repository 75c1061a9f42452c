"""What builds an export's image, and what pins its requirements."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from byoc_nb.commands.checks.finding import Finding, good, note, pip_install
from byoc_nb.export.image import BUILDERS

_ANSWER_SECONDS = 1.0
_PROBES = {"docker": ("docker", "buildx", "ls"), "podman": ("podman", "info"), "buildah": ("buildah", "info")}


def builder() -> Finding:
    """The first of docker, podman and buildah that works."""
    reasons = []
    for name in (builder.name for builder in BUILDERS):
        why = _why_not(name)
        if not why:
            return good(
                "builder", f"{name} builds images" + ("" if name == "docker" else "; docker can't be used here")
            )
        reasons.append(f"{name}: {why}")
    said = f"none here ({'; '.join(reasons)}): %byoc build works elsewhere only"
    return note("builder", said, ("" if os.geteuid() == 0 else "sudo ") + "apt-get install --yes buildah")


def lock() -> Finding:
    """uv finds the hashes of all that an export requires."""
    if Path(sys.executable).with_name("uv").is_file() or shutil.which("uv"):
        return good("lock", "uv locks an export's requirements with hashes")
    return note("lock", "no uv: an export's requirements have versions and no hashes", pip_install("uv"))


def _why_not(name: str) -> str:
    if shutil.which(name) is None:
        return "not installed"
    if name == "docker" and (why := _fails(("docker", "info"))):
        return why
    return _fails(_PROBES[name])


def _fails(command: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_ANSWER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        return str(problem)
    if not done.returncode:
        return ""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit status {done.returncode}"
