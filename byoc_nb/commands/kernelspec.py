"""`byoc-nb kernelspec install|remove`: the kernel "BYOC (Python)" in Jupyter's launcher.

The wheel brings it along; an environment apart from Jupyter's own needs it registered there, with its own python.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

import byoc_nb
from byoc_nb.commands.arguments import Command
from byoc_nb.errors import ByocError

NAME, DISPLAY_NAME = "byoc", "BYOC (Python)"
WHEELS = Path(byoc_nb.__file__).parent / "kernel"
SOURCE = WHEELS if WHEELS.is_dir() else WHEELS.parents[1] / "kernels" / NAME  # the latter in a checkout


class KernelspecError(ByocError, OSError):
    """The kernel can't be installed or removed there."""


def add_commands(command: Command) -> None:
    """Add it."""
    made = command("kernelspec", _kernelspec, "install or remove the kernel BYOC (Python)")
    made.add_argument("action", choices=("install", "remove"), help="with this environment's python")
    places = made.add_mutually_exclusive_group()
    places.add_argument("--user", action="store_true", help="for every Jupyter of this user")
    places.add_argument("--sys-prefix", action="store_true", help="for this environment's Jupyter (if none is given)")
    places.add_argument("--prefix", metavar="DIR", type=Path, help="for the environment in DIR")


def install(folder: Path) -> Path:
    """Write the kernel, run by this python, into a folder of kernels; returns its own. Raises KernelspecError."""
    spec = json.loads((SOURCE / "kernel.json").read_text())
    spec["argv"][0] = sys.executable
    target = folder / NAME
    _refuse_others(target)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".byoc-") as temporary:
            made = Path(temporary) / NAME
            shutil.copytree(SOURCE, made)
            (made / "kernel.json").write_text(json.dumps(spec, indent=2) + "\n")
            _clear(target)
            made.rename(target)
    except OSError as error:
        why = error.strerror or error
        raise KernelspecError(f"{target} can't be written: {why}", hint="byoc-nb kernelspec install --user") from None
    return target


def remove(folder: Path) -> Path:
    """Take the kernel out of a folder of kernels; returns where it was. Raises KernelspecError."""
    target = folder / NAME
    if not (target / "kernel.json").is_file():
        raise KernelspecError(f"there is no {target}", hint="jupyter kernelspec list shows where it is")
    _refuse_others(target)
    try:
        _clear(target)
    except OSError as error:
        raise KernelspecError(f"{target} can't be removed: {error.strerror or error}") from None
    return target


def _refuse_others(target: Path) -> None:
    """Raise KernelspecError for a folder that is there and isn't our kernel; a link to one is not its files."""
    if target.is_symlink() or not target.is_dir():
        return
    try:
        ours = json.loads((target / "kernel.json").read_text())["display_name"] == DISPLAY_NAME
    except (OSError, ValueError, TypeError, KeyError):
        ours = False
    if not ours:
        raise KernelspecError(f"{target} isn't {DISPLAY_NAME}", hint="move it elsewhere first")


def _clear(target: Path) -> None:
    if target.is_symlink():
        target.unlink()
    elif target.is_dir():
        shutil.rmtree(target)


def _folder(options: argparse.Namespace) -> Path:
    """Where the Jupyter that is meant looks for kernels."""
    if options.user:
        try:
            from jupyter_core.paths import jupyter_data_dir
        except ModuleNotFoundError:
            raise KernelspecError("this environment has no Jupyter", hint="pip install 'byoc_nb[lab]'") from None
        return Path(jupyter_data_dir()) / "kernels"
    return Path(options.prefix or sys.prefix) / "share" / "jupyter" / "kernels"


def _kernelspec(options: argparse.Namespace) -> None:
    if options.action == "install":
        print(f"installed {install(_folder(options))}")  # noqa: T201
    else:
        print(f"removed {remove(_folder(options))}")  # noqa: T201
