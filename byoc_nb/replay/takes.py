"""A take: a folder with what a stream's input channel carried, what came out, and the parameters frame by frame.

`input.ts` and `output.ts` are the channels' bytes, as they were; `params.json` is described by `Take`. Times are 90 kHz
ticks modulo 2^33, as MPEG-TS carries them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from byoc_nb.errors import ByocError

CLOCK, WRAP = 90_000, 1 << 33
FORMAT = 1
INPUT, OUTPUT, PARAMS = "input.ts", "output.ts", "params.json"


class TakeError(ByocError, OSError):
    """There is no such take, or its folder can't be read or written."""


@dataclass(frozen=True)
class Version:
    """A processor of the take: its name, its number in the session's history (0: not there) and its cell's text."""

    name: str
    number: int = 0
    text: str = ""
    sha256: str = ""  # of the text

    @staticmethod
    def of(name: str, number: int = 0, text: str = "") -> Version:
        """A version with its hash; without a text there is none."""
        return Version(name, number, text, hashlib.sha256(text.encode()).hexdigest() if text else "")


@dataclass(frozen=True)
class Entry:
    """From the frame with this `pts` on, `values` hold and the processor is number `version` of the take's."""

    pts: int
    version: int
    values: dict[str, Any]


@dataclass(frozen=True)
class Take:
    """A take as its folder holds it.

    `first` and `last` are the input's picture times. `ended` tells why it is shorter than was asked for, else empty.
    `schema` is the JSON schema of the parameters, None without declared ones. The first entry of `timeline` holds from
    the first frame on. `software` maps names to versions.
    """

    folder: Path
    first: int
    last: int
    ended: str
    frames: int  # pictures that came to the processor, without those that were dropped
    timeline: tuple[Entry, ...]
    versions: tuple[Version, ...]
    schema: dict[str, Any] | None = None
    software: dict[str, str] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """From the first picture to the last."""
        return since(self.first, self.last) / CLOCK

    def save(self) -> None:
        """Write `params.json`."""
        data = {"format": FORMAT, **asdict(self)}
        del data["folder"]
        text = json.dumps(data, indent=1, ensure_ascii=False, default=str)
        (self.folder / PARAMS).write_text(text + "\n", encoding="utf-8")

    @staticmethod
    def load(folder: Path) -> Take:
        """The take in a folder; raises TakeError."""
        if not (folder / PARAMS).is_file() or not (folder / INPUT).is_file():
            raise TakeError(f"{folder} holds no take", hint=f"%byoc record {folder}/ makes one")
        try:
            data = json.loads((folder / PARAMS).read_text(encoding="utf-8"))
            if data.pop("format") != FORMAT:
                raise TakeError(f"{folder} was made by another version of byoc_nb", hint="record it again")
            take = TypeAdapter(Take).validate_python({**data, "folder": folder})
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            why = str(error)
        else:
            if take.versions and take.timeline and all(0 <= one.version < len(take.versions) for one in take.timeline):
                return take
            why = "it has no timeline or no versions"
        raise TakeError(f"{folder / PARAMS} is damaged: {why}", hint="record it again")

    def __str__(self) -> str:
        changes = len(self.timeline) - 1
        parts = [f"{self.folder}: {self.seconds:.1f} s", f"{self.frames} frames", _count(changes, "change")]
        return " · ".join([*parts, self.ended] if self.ended else parts)

    __repr__ = __str__


def since(earlier: int, later: int) -> int:
    """The ticks from one time to another, the shorter way round the 33 bits of their clock."""
    return (later - earlier + WRAP // 2) % WRAP - WRAP // 2


def check_folder(folder: Path) -> None:
    """Raise TakeError where a take could not be written: better now than after it was made."""
    if not folder.parent.is_dir():
        raise TakeError(f"there is no folder {folder.parent}")
    if folder.exists() and not folder.is_dir():
        raise TakeError(f"{folder} is a file", hint="give the take a folder of its own")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / PARAMS).is_file():
        raise TakeError(f"{folder} holds other files", hint="give the take a folder of its own")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
