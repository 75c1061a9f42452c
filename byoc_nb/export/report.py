"""What an export wrote, as it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byoc_nb.export.findings import Finding


@dataclass(frozen=True, repr=False)
class Export:
    """What was written where. `changes` is a diff to the export that was there; `proof` as byoc.json has it.

    `weights` says what becomes of the files that loading opens, in a line; empty without any.
    """

    folder: Path
    name: str
    files: tuple[str, ...]
    warnings: tuple[Finding, ...] = ()
    proof: Mapping[str, Any] | None = None
    changes: str = ""
    weights: str = ""

    def __str__(self) -> str:
        lines = [*map(str, self.warnings), *([self.changes] if self.changes else [])]
        lines.append(f"exported {self.name} to {self.folder}: {_listed(self.files)}")
        lines.append(f"proof:    {self._proven()}")
        if self.weights:
            lines.append(f"weights:  {self.weights}")
        lines.append(f"run it:   cd {self.folder} && pip install -r requirements.txt && python processor.py")
        lines.append(f"build it: docker build -t {self.name} {self.folder}")
        return "\n".join(lines)

    __repr__ = __str__

    def _proven(self) -> str:
        found = self.proof or {}
        if "frames" not in found:
            return f"skipped ({found.get('skipped', '--no-prove')})"
        how = "bit-equal" if found["equal"] else f"within {found['difference']} of 255"
        where = f" in {found['runtime']}" if "runtime" in found else ""
        return f"{found['frames']} frames of the {found['clip']} are {how} to the notebook's{where}"


def _listed(files: tuple[str, ...], most: int = 20) -> str:
    more = len(files) - most
    return ", ".join(files[:most]) + (f" and {more} more" if more > 0 else "")
