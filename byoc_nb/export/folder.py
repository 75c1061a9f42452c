"""An export folder: written as a whole, never over files that somebody edited."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pprint
import re
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import byoc_nb
from byoc_nb.dialects import default_name
from byoc_nb.errors import ByocError
from byoc_nb.export import constants
from byoc_nb.export.findings import Finding
from byoc_nb.export.freeze import MAX_CONSTANT, Frozen, freeze
from byoc_nb.export.requirements import requirements
from byoc_nb.export.wheel import write_wheel
from byoc_nb.source import Notebook

MANIFEST = "byoc.json"
_TEMPLATES = Path(__file__).parent / "templates"
_RENDERED = {
    "processor.py": "processor.py.j2",
    "Dockerfile": "Dockerfile.j2",
    "requirements.txt": "requirements.txt.j2",
    ".dockerignore": "dockerignore.j2",
    "README.md": "README.md.j2",
}
_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")  # what an image may be called


class ExportError(ByocError, RuntimeError):
    """The folder can't be written as asked."""


@dataclass(frozen=True, repr=False)
class Export:
    """What was written where."""

    folder: Path
    name: str
    files: tuple[str, ...]
    warnings: tuple[Finding, ...] = ()

    def __str__(self) -> str:
        return "".join(f"{warning}\n" for warning in self.warnings) + (
            f"exported {self.name} to {self.folder}: {', '.join(self.files)}\n"
            f"run it:   cd {self.folder} && pip install -r requirements.txt && python processor.py\n"
            f"build it: docker build -t {self.name} {self.folder}"
        )

    __repr__ = __str__


def export(
    folder: Path,
    notebook: Notebook,
    target_name: str,
    namespace: Mapping[str, Any],
    *,
    name: str = "",
    cpu: bool = False,
    force: bool = False,
    params: Mapping[str, Any] | None = None,
    max_constant: int = MAX_CONSTANT,
) -> Export:
    """Freeze the processor `target_name` of the notebook into `folder`.

    `namespace` is the notebook's, `name` the capability's, `cpu` writes an image without CUDA. `params` are what the
    processor starts with, `max_constant` is how many bytes of an array may go along as they are. Raises FreezeError,
    RequirementsError, or ExportError when files there were edited since they were exported (unless `force`) or when
    the disk does not take them; the folder is then as it was.
    """
    if target_name not in namespace:
        raise ExportError(f"{target_name} is gone from the notebook", hint="run its cell again")
    capability = name or default_name(namespace[target_name])
    if not _NAME.fullmatch(capability):
        raise ExportError(
            f"{capability!r} can't name a capability and its image",
            hint="use small letters, digits and -: --name my-name",
        )
    frozen = freeze(notebook, target_name, namespace, params=params, max_constant=max_constant)
    needed = requirements(frozen.modules, torch=frozen.uses_torch)
    if not force:
        _refuse_edited(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".byoc-", dir=folder.resolve().parent) as staging:
            stage = Path(staging)
            wheel = write_wheel(stage)
            beside = _write_beside(stage, frozen)
            _render(
                stage,
                beside=beside,
                capability=capability,
                cpu=cpu,
                frozen=frozen,
                params=pprint.pformat(frozen.params, width=110, sort_dicts=False),
                python=f"{sys.version_info.major}.{sys.version_info.minor}",
                requirements=needed,
                version=byoc_nb.__version__,
                wheel=wheel.name,
            )
            files = [*_RENDERED, wheel.name, *beside]
            manifest = {
                "name": capability,
                "processor": target_name,
                "byoc_nb": byoc_nb.__version__,
                "files": {file: _digest(stage / file) for file in files},
            }
            (stage / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
            _install(stage, folder, [*files, MANIFEST])
    except metadata.PackageNotFoundError:
        raise ExportError(
            "byoc_nb runs from a folder that was never installed, so there is no package to carry along",
            hint="pip install byoc_nb, or pip install -e in its checkout",
        ) from None
    except ImportError as error:
        raise ExportError(f"export needs {error.name}", hint="pip install 'byoc_nb[lab]'") from None
    except FileExistsError as error:
        raise ExportError(f"{error.filename or folder} is a file, not a folder", hint="export elsewhere") from None
    except OSError as error:
        raise ExportError(f"{folder} can't be written: {error.strerror or error}") from None
    return Export(folder, capability, (*files, MANIFEST), tuple(frozen.warnings))


def _write_beside(stage: Path, frozen: Frozen) -> list[str]:
    """Put what `processor.py` needs beside it there: modules, and arrays that are kept as values."""
    for file, source in frozen.local_modules.items():
        (stage / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, stage / file)
    if frozen.constants:
        constants.write(frozen.constants, stage)
    return [*frozen.local_modules, *([constants.FILE] if frozen.constants else [])]


def _render(stage: Path, **values: Any) -> None:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for file, template in _RENDERED.items():
        (stage / file).write_text(environment.get_template(template).render(values), encoding="utf-8")


def _refuse_edited(folder: Path) -> None:
    """Raise ExportError for files in the folder that are not as an export left them."""
    try:
        recorded: dict[str, str] = dict(json.loads((folder / MANIFEST).read_text())["files"])
    except (OSError, ValueError, KeyError, TypeError):
        recorded = {}
    edited = [
        file
        for file in sorted({*_RENDERED, *recorded})
        if (folder / file).is_file() and recorded.get(file) != _digest(folder / file)
    ]
    if edited:
        raise ExportError(
            f"{', '.join(edited)} in {folder} {'was' if len(edited) == 1 else 'were'} edited or made by somebody else",
            hint="--force overwrites, another folder keeps both",
        )


def _install(stage: Path, folder: Path, files: list[str]) -> None:
    """Move the staged files in; on the same file system, so that none is ever half there."""
    folder.mkdir(exist_ok=True)
    for file in files:
        if (folder / file).is_dir():  # found before the first one is replaced
            raise IsADirectoryError(errno.EISDIR, f"{file} is a folder there")
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        os.replace(stage / file, folder / file)
    for old in folder.glob("byoc_nb-*.whl"):
        if old.name not in files:
            old.unlink()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
