"""The rooms of the package: what may import what, and what must stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import byoc_nb

PACKAGE = Path(byoc_nb.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

FRAMES = {"params", "frames", "errors", "_openmp"}
PROCESSOR = {"processor", "dialects", "decorators", "find", "needs", "takeover", "contract"}
MEDIA = {"media", "trickle"} | PROCESSOR | FRAMES
# room: the rooms that it may import, besides itself
MAY_IMPORT = {
    **dict.fromkeys(FRAMES, FRAMES),
    **dict.fromkeys(PROCESSOR, PROCESSOR | FRAMES),
    "trickle": {"errors"},
    "media": FRAMES,
    "runtime": {""} | MEDIA,  # the package itself for its version
    "network": {"runtime"} | MEDIA,
    "source": {"errors"},
    "export": {"", "network", "runtime", "source"} | MEDIA,
    "dashboard": {"network", "runtime"} | MEDIA,
    "replay": {"network", "runtime"} | MEDIA,
    "notebook": {"", "dashboard", "export", "network", "replay", "runtime", "pytrickle_names", "source"} | MEDIA,
    "bench": {"", "network", "runtime"} | MEDIA,
    "commands": {"", "cli", "export", "network", "runtime"} | MEDIA,
    "cli": {"", "bench", "commands", "export", "pytrickle_names"} | MEDIA,
    "__main__": {"cli"},
    "pytrickle_names": set(),
    "": {"runtime", "notebook"} | PROCESSOR | FRAMES,  # the package itself, which gives out the public names
}
NOTEBOOK_ONLY = {"IPython", "ipywidgets", "matplotlib", "anywidget", "traitlets", "ipykernel"}
HEAVY = ("torch", "IPython", "jinja2", "PIL", "ipywidgets", "matplotlib")


def room(module: str) -> str:
    """The room of a dotted module name: `byoc_nb.media.encode` is in `media`, the package itself in ''."""
    return [*module.split("."), ""][1]


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import in a module, also of those in functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            here = ".".join(path.relative_to(PACKAGE.parent).parts[: -node.level]) + "." if node.level else ""
            module = (here + (node.module or "")).rstrip(".")
            for alias in node.names:
                is_module = module == "byoc_nb" and any(
                    (PACKAGE / alias.name).with_suffix(suffix).exists() for suffix in (".py", "")
                )
                yield node.lineno, f"{module}.{alias.name}" if is_module else module


def test_importing_the_package_brings_nothing_heavy() -> None:
    code = f"import sys, byoc_nb; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    own = room(name_of(path))
    assert own in MAY_IMPORT, f"{own} is a new room: say here what it may import"
    for line, name in imports(path):
        if name.partition(".")[0] == "byoc_nb":
            assert room(name) in MAY_IMPORT[own] | {own}, f"{path}:{line} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_only_the_notebook_knows_jupyter(path: Path) -> None:
    own = room(name_of(path))
    if own in ("notebook", "dashboard"):
        return
    forbidden = NOTEBOOK_ONLY - ({"matplotlib"} if own == "bench" else set())
    tree = ast.parse(path.read_text())
    for_checkers_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in for_checkers_only:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            assert not {name.partition(".")[0] for name in names} & forbidden, f"{path}:{node.lineno}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_module_is_longer_than_a_reader(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400


def test_the_arrows_have_something_to_hold() -> None:
    """Were the walk over the sources broken, everything above would pass on nothing."""
    found = {room(name) for path in MODULES for _, name in imports(path) if name.startswith("byoc_nb")}
    assert {"frames", "params", "errors", "runtime", "trickle", "media", "export", "notebook"} <= found
    assert len(MODULES) > 50
