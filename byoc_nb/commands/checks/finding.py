"""What a check finds, and the commands that mend it."""

from __future__ import annotations

import shlex
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from typing import Literal

Level = Literal["good", "note", "error"]


@dataclass(frozen=True)
class Finding:
    """`id` names the check. `level`: "good"; "note", something is slower or missing; "error", the main job can't run.

    `fix` is the command to type, empty only where all is good.
    """

    id: str
    level: Level
    message: str
    fix: str = ""


def good(id: str, message: str) -> Finding:
    """All is well."""
    return Finding(id, "good", message)


def note(id: str, message: str, fix: str) -> Finding:
    """It works; `fix` makes it better."""
    return Finding(id, "note", message, fix)


def error(id: str, message: str, fix: str) -> Finding:
    """The main job can't run before `fix`."""
    return Finding(id, "error", message, fix)


def pip_install(*what: str) -> str:
    """The command that installs packages into this very environment."""
    python = shlex.quote(sys.executable)
    if find_spec("pip") is None and shutil.which("uv"):
        return shlex.join(["uv", "pip", "install", "--python", sys.executable, *what])
    return f"{python} -m pip install {shlex.join(what)}"


def version(package: str) -> str:
    """A package's installed version, empty where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def numbers(text: str) -> tuple[int, ...]:
    """The numbers that a version begins with: (4, 6) for 4.6rc1."""
    found: list[int] = []
    for part in text.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        found.append(int(digits))
        if digits != part:
            break
    return tuple(found)
