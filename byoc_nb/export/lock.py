"""A requirements.txt from pins: with hashes of everything below them, where uv is there to find those."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LOCK_SECONDS = 60.0
_LOCAL_VERSION = re.compile(r"^([\w.\-]+==[^\s;+]+)\+[\w.]+", re.MULTILINE)


@dataclass(frozen=True)
class Lock:
    """Lines of a requirements.txt. `why_not` says why there are no hashes; it is empty where there are."""

    lines: str
    why_not: str = ""


def lock(pins: Sequence[str], *, python: str, index: str = "", hashes: bool = True) -> Lock:
    """The pins and all that they need, with hashes, for Python from the version `python` on.

    `index` is where torch comes from instead of PyPI. Without uv, or where it fails, the pins as they are.
    """
    plain = "\n".join(pins)
    if not hashes:
        return Lock(plain, "none were asked for")
    uv = _uv()
    if uv is None:
        return Lock(plain, "uv was not there to find them (pip install uv)")
    command = [uv, "pip", "compile", "-", "--quiet", "--no-header", "--no-annotate", "--generate-hashes"]
    command += ["--universal", "--python-version", python]
    if index:
        command += ["--torch-backend", index.rpartition("/")[2]]
    # The system's certificates, as pip takes them: an index behind a company's own is common
    environment = {"UV_SYSTEM_CERTS": "1", **os.environ, "UV_HTTP_RETRIES": "0", "NO_COLOR": "1"}
    try:
        done = subprocess.run(
            command, input=plain, env=environment, capture_output=True, text=True, timeout=LOCK_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return Lock(plain, f"uv did not find them in {LOCK_SECONDS:.0f} s")
    if done.returncode:
        said = " ".join(done.stderr.split()).removeprefix("error: ").partition(" cause: ")[0]
        return Lock(plain, f"uv could not find them: {said:.200}")
    return Lock(_LOCAL_VERSION.sub(r"\1", done.stdout.strip()))


def of_file(path: Path) -> str:
    """The option that holds pip to this very file."""
    return f"--hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def _uv() -> str | None:
    beside = Path(sys.executable).with_name("uv")
    return str(beside) if beside.is_file() else shutil.which("uv")
