"""What an export has to say about the code: errors that stop it, and warnings.

`# byoc: ignore[id]` on a finding's line silences it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

_IGNORE = re.compile(r"#\s*byoc:\s*ignore\[([\w\-, ]+)\]")


@dataclass(frozen=True)
class Finding:
    """One line about one line: what is wrong there and what to do, without any secret in it.

    `cell` is the number in brackets; 0 where `file`, a module beside the notebook, holds the line, and where the line
    is 0 as well: then it is about the whole, such as the parameters.
    """

    id: str
    level: Literal["error", "warning"]
    message: str
    fix: str
    line: int = 0
    cell: int = 0
    file: str = ""

    @property
    def place(self) -> str:
        """`cell [3] line 4`, `mylib.py line 4`, or nothing."""
        if not self.line:
            return self.file
        return f"{self.file or f'cell [{self.cell}]'} line {self.line}"

    def __str__(self) -> str:
        place = f"{self.place}: " if self.place else ""
        return f"{self.level} [{self.id}] {place}{' '.join(self.message.split())} · {self.fix}"


def is_ignored(finding: Finding, lines: Sequence[str]) -> bool:
    """Whether a comment on the finding's line silences it; `lines` are those of its cell or file."""
    if not 0 < finding.line <= len(lines):
        return False
    found = _IGNORE.search(lines[finding.line - 1])
    return found is not None and finding.id in re.split(r"[,\s]+", found[1])
