"""Modules that no package index has: files beside the notebook, which are copied along."""

from __future__ import annotations

import importlib.util
import re
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from byoc_nb.export.imports import modules
from byoc_nb.source.text import parse

_OURS = ("byoc_nb", "pytrickle")  # the wheel that travels along serves both names


@dataclass
class LocalCode:
    """What is copied: source files by their path in the export's folder, and what they import from elsewhere."""

    files: dict[str, Path] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)  # of the Python files
    outside: set[str] = field(default_factory=set)  # top-level packages
    broken: dict[str, str] = field(default_factory=dict)  # files that are no Python, and why


def local_code(imported: Iterable[str]) -> LocalCode:
    """The local ones among these dotted modules with all that they import, recursively; packages as a whole."""
    found, waiting, seen = LocalCode(), sorted({name.partition(".")[0] for name in imported}), set[str]()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        sources = {} if name in sys.stdlib_module_names or name in _OURS else _sources(name)
        if not sources or name in metadata.packages_distributions():  # the second takes long
            sources = {}
            found.outside.add(name)
        for target, path in sources.items():
            found.files[target] = path
            if path.suffix != ".py":
                continue
            try:
                text = path.read_text(encoding="utf-8")
                tree = parse(text)
            except (OSError, ValueError, SyntaxError) as error:
                found.broken[target] = str(error)
                continue
            found.texts[target] = text
            waiting += {module.partition(".")[0] for module in modules([tree])}
    return found


def _sources(name: str) -> dict[str, Path]:
    """The files of a top-level module that no distribution holds, by their path in the folder."""
    module = sys.modules.get(name)
    try:
        spec = module.__spec__ if module is not None else importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return {}
    if spec is None:
        return {}
    if spec.submodule_search_locations:
        folders = [Path(folder) for folder in spec.submodule_search_locations if not _is_installed(Path(folder))]
        return {f"{name}/{path.relative_to(folder).as_posix()}": path for folder in folders for path in _files(folder)}
    path = Path(spec.origin or "")
    return {} if path.suffix != ".py" or _is_installed(path) else {path.name: path}


def _is_installed(path: Path) -> bool:
    paths = {Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib", "stdlib")}
    return any(path.resolve().is_relative_to(installed) for installed in paths)


def _files(folder: Path) -> list[Path]:
    """The files of a package, but for what is hidden or made by running it."""
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return [path for path in paths if not re.search(r"/(\.|__pycache__)", f"/{path.relative_to(folder).as_posix()}")]
