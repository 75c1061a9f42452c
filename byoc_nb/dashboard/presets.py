"""Parameters under a name: a small JSON file beside the notebook, `.byoc/presets.json`, by processor and by name.

It outlives server, kernel and page. Values of `SecretStr` fields are not written.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import stat
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from byoc_nb.dashboard.subject import Controls
from byoc_nb.errors import ByocError

FILE = Path(".byoc") / "presets.json"
PRESETS = 100  # of a processor
NAME_LENGTH = 60
MOST_BYTES = 4 << 20  # of the file

_changing = threading.Lock()  # a kernel's thread and the hub's may both save


class PresetError(ByocError, ValueError):
    """There is no such preset, or it can't be kept."""


class Presets:
    """The presets in `path`, by default of the folder that the kernel works in. The file is read when it has changed,
    so that several objects may use it; a file that is no JSON raises PresetError and is left as it is."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or Path.cwd() / FILE
        self._stamp: Any = None
        self._presets: dict[str, dict[str, dict[str, Any]]] = {}

    def of(self, processor: str) -> dict[str, dict[str, Any]]:
        """The presets of a processor: name -> values, in order of their making."""
        return dict(self._read().get(processor, {}))

    def get(self, processor: str, name: str) -> dict[str, Any]:
        """The values of one; raises PresetError."""
        presets = self.of(processor)
        if name not in presets:
            near = difflib.get_close_matches(name, presets, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(presets) or 'none'}"
            raise PresetError(f"{processor} has no preset {name!r}", hint=hint)
        return presets[name]

    def save(self, processor: str, name: str, values: Mapping[str, Any]) -> None:
        """Keep JSON-able values under a name, in place of what it held; raises PresetError."""
        name = name.strip()
        if not 0 < len(name) <= NAME_LENGTH or not name.isprintable():
            raise PresetError(f"a preset's name has 1 to {NAME_LENGTH} characters on one line")
        with _changing:
            presets = self._read()
            own = presets.setdefault(processor, {})
            if name not in own and len(own) >= PRESETS:
                raise PresetError(f"{processor} has {PRESETS} presets already", hint="delete one first")
            own[name] = dict(values)
            self._write(presets)

    def delete(self, processor: str, name: str) -> None:
        """Forget one; raises PresetError."""
        with _changing:
            self.get(processor, name)
            presets = self._read()
            del presets[processor][name]
            self._write(presets)

    def _read(self) -> dict[str, dict[str, dict[str, Any]]]:
        try:
            found = self.path.stat()
            stamp = found.st_mtime_ns, found.st_size, found.st_ino
            if stamp != self._stamp:
                if not stat.S_ISREG(found.st_mode) or found.st_size > MOST_BYTES:
                    raise ValueError(f"it isn't a file of at most {MOST_BYTES >> 20} MiB")
                presets = json.loads(self.path.read_text(encoding="utf-8"))
                if not _has_form(presets):
                    raise ValueError("it has another form")
                self._presets, self._stamp = presets, stamp
        except FileNotFoundError:
            self._presets, self._stamp = {}, None
        except (OSError, ValueError, RecursionError) as error:
            raise PresetError(f"{self.path} can't be read: {error}", hint="mend or delete it") from None
        return {processor: dict(own) for processor, own in self._presets.items()}

    def _write(self, presets: dict[str, dict[str, dict[str, Any]]]) -> None:
        target = Path(os.path.realpath(self.path))  # a link stays one
        part = target.with_suffix(f".{os.getpid()}.part")
        try:
            data = (json.dumps(presets, indent=2, ensure_ascii=False) + "\n").encode()
            if len(data) > MOST_BYTES:
                raise PresetError(f"{self.path} would get too large", hint="delete a preset first")
            target.parent.mkdir(exist_ok=True)
            part.write_bytes(data)
            os.replace(part, target)
        except (OSError, TypeError, UnicodeEncodeError, RecursionError) as error:
            with contextlib.suppress(OSError):
                part.unlink()
            raise PresetError(f"the preset can't be written to {self.path}: {error}") from None


def saveable(controls: Controls) -> dict[str, Any]:
    """The values now, without secret ones."""
    message = controls.all()
    secret = {field["name"] for field in message["fields"] or () if field["secret"]}
    return {name: value for name, value in message["values"].items() if name not in secret}


async def load(controls: Controls, values: Mapping[str, Any]) -> dict[str, str]:
    """Set the values; those that are refused are left out. Why, by name."""
    refused: dict[str, str] = {}
    while left := {name: value for name, value in values.items() if name not in refused}:
        errors = (await controls.change(0, left))["errors"]
        found = {field.partition(".")[0]: why for field, why in errors.items()}
        if not errors:
            break
        if not found.keys() & left.keys():  # of all of them together
            return refused | dict.fromkeys(left, "; ".join(errors.values()))
        refused |= {name: why for name, why in found.items() if name in left}
    return refused


def _has_form(presets: Any) -> bool:
    return isinstance(presets, dict) and all(
        isinstance(own, dict) and all(isinstance(values, dict) for values in own.values()) for own in presets.values()
    )
