"""`byoc-nb new NAME`: a notebook to begin with, written from a template, never over another file.

The templates are notebooks themselves, whose processor is called `my-processor` and `MyProcessor`.
"""

from __future__ import annotations

import argparse
import json
import keyword
import re
import shlex
from pathlib import Path
from typing import Any

from byoc_nb.commands.arguments import Command
from byoc_nb.errors import ByocError

FOLDER = Path(__file__).parent / "templates"
TEMPLATES = {
    "video": "pictures as NumPy arrays",
    "torch": "a PyTorch model",
    "audio": "sound, and a picture of it",
}
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_TAKEN = {"AudioFrame", "BaseModel", "Field", "FrameProcessor", "VideoFrame"}  # what the notebook has already
_MAX_NAME = 63  # a capability's name becomes that of an image and of a Kubernetes service


class NewError(ByocError, ValueError):
    """No notebook can be written under this name."""


def add_commands(command: Command) -> None:
    """Add it."""
    made = command("new", _new, "write a notebook with a processor to begin with")
    made.add_argument("name", help="of the processor and its notebook, such as my-processor")
    said = "; ".join(f"{name}: {text}" for name, text in TEMPLATES.items())
    made.add_argument("--template", choices=tuple(TEMPLATES), default="video", help=f"{said} (video)")


def write(name: str, template: str, folder: Path) -> Path:
    """Write `NAME.ipynb` into the folder and return its path. Raises NewError."""
    class_name = "".join(word.capitalize() for word in name.split("-"))
    if not _NAME.fullmatch(name) or len(name) > _MAX_NAME:
        raise NewError(f"{name!r} isn't a name", hint="small letters, digits and hyphens, such as my-processor")
    if keyword.iskeyword(class_name) or class_name in _TAKEN:
        raise NewError(f"a class can't be called {class_name}", hint=f"take another name, such as my-{name}")
    notebook: dict[str, Any] = json.loads((FOLDER / f"{template}.ipynb").read_text(encoding="utf-8"))
    for cell in notebook["cells"]:
        cell["source"] = [
            line.replace("my-processor", name).replace("MyProcessor", class_name) for line in cell["source"]
        ]
    path = folder / f"{name}.ipynb"
    try:
        with path.open("x", encoding="utf-8") as file:
            json.dump(notebook, file, indent=1, ensure_ascii=False)
            file.write("\n")
    except FileExistsError:
        raise NewError(f"{path} is there already", hint="take another name, or remove it") from None
    return path


def _new(options: argparse.Namespace) -> None:
    path = write(options.name, options.template, Path())
    print(f"written: {path}\nopen it: jupyter lab {shlex.quote(str(path))}", flush=True)  # noqa: T201
