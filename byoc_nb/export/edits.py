"""An export folder that is there already: which of its files somebody edited, and what a new export changes."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from byoc_nb.export import manifest

MAX_LINES = 40
_BINARY = (".whl", ".ts", ".safetensors")


def digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def edited(folder: Path, written: Iterable[str]) -> list[str]:
    """The files among `written`, and those of the export before, that are not as an export left them."""
    known = _recorded(folder)
    return [
        file
        for file in sorted({*written, *known})
        if (folder / file).is_file() and known.get(file) != digest(folder / file)
    ]


def untouched(folder: Path) -> set[str]:
    """The files of the export that is there, as far as they are as it left them."""
    known = _recorded(folder)
    return {file for file in known if (folder / file).is_file() and known[file] == digest(folder / file)}


def _recorded(folder: Path) -> dict[str, str]:
    recorded = manifest.read(folder).get("files")
    return {file: mark for file, mark in recorded.items() if _is_within(file)} if isinstance(recorded, dict) else {}


def _is_within(file: str) -> bool:
    """Whether a manifest names a file of its own folder: it may have come from anywhere."""
    path = PurePosixPath(file)
    return not path.is_absolute() and ".." not in path.parts and file.isprintable()


def changes(folder: Path, stage: Path, files: Iterable[str]) -> str:
    """What the staged files change of the folder's, as a unified diff of at most `MAX_LINES` lines."""
    lines = [line for file in files for line in _diff(folder / file, stage / file, file)]
    more = len(lines) - MAX_LINES
    return "\n".join([*lines[:MAX_LINES], *([f"… {more} more lines"] if more > 0 else [])])


def _diff(old: Path, new: Path, name: str) -> Iterator[str]:
    if old.suffix in _BINARY or not old.is_file() or not new.is_file():
        return
    before, after = (path.read_text("utf-8", "replace").splitlines() for path in (old, new))
    for line in difflib.unified_diff(before, after, f"{name} (there)", f"{name} (exported)", lineterm="", n=1):
        yield line if len(line) <= 200 else f"{line[:199]}…"
