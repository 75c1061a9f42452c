"""The notebooks of `notebooks/`, run for real: `python tests/e2e/notebooks_kit.py [FILE…]` writes their outputs anew.

A notebook runs in a folder of its own with nothing but the clip. What is kept of its outputs is small and the same for
every reader: no widgets, no progress lines, this machine's folders and ports replaced, pictures scaled down.
"""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from PIL import Image

ROOT = Path(__file__).parents[2]
NOTEBOOKS = ROOT / "notebooks"
CLIP = NOTEBOOKS / "bigbuckbunny.mp4"
PICTURE_WIDTH = 560  # pixels
WIDGET = "application/vnd.jupyter.widget-view+json"


def run(path: Path, folder: Path) -> nbformat.NotebookNode:
    """The notebook, executed by this Python in `folder`.

    As in JupyterLab, a cell that fails ends it, unless it is tagged `raises-exception`; `skip-execution` leaves one
    out. Raises CellExecutionError.
    """
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    if not (folder / CLIP.name).exists():
        shutil.copy(CLIP, folder)
    variables = {name: value for name, value in os.environ.items() if not name.startswith("BYOC_")}
    variables["BYOC_PORT"] = "0"
    client = NotebookClient(book, kernel_name="python3", timeout=120, resources={"metadata": {"path": str(folder)}})
    kernelspec = dict(book.metadata.kernelspec)
    client.execute(env=variables)
    book.metadata.kernelspec = kernelspec
    return book


def clean(book: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """The notebook as it is committed, changed in place."""
    book.metadata = {"kernelspec": book.metadata.kernelspec, "language_info": {"name": "python"}}
    for cell in book.cells:
        cell.metadata = {"tags": tags} if (tags := cell.metadata.get("tags")) else {}
        if cell.cell_type == "code":
            cell.outputs = [kept for output in _joined(cell.outputs) if (kept := _cleaned(output, folder))]
    return book


def printed(book: nbformat.NotebookNode) -> str:
    """Everything that the cells have printed or shown as text."""
    return "\n".join(
        output.get("text") or output.get("data", {}).get("text/plain", "")
        for cell in book.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )


def of(book: nbformat.NotebookNode, begin: str) -> list[str]:
    """What each cell whose source begins so has printed or shown as text."""
    return [
        printed(nbformat.v4.new_notebook(cells=[cell]))
        for cell in book.cells
        if cell.cell_type == "code" and cell.source.startswith(begin)
    ]


def _joined(outputs: list[Any]) -> list[Any]:
    """The outputs with what was printed in a row as one."""
    joined: list[Any] = []
    for output in outputs:
        if joined and "text" in output and joined[-1].get("name") == output.name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


def _cleaned(output: Any, folder: Path) -> Any:
    if "text" in output:
        lines = [line.rpartition("\r")[2] for line in output.text.splitlines(keepends=True)]  # the last state of a line
        output.text = _neutral("".join(lines), folder)
        return output if output.text.strip() else None
    if output.output_type == "error":
        output.traceback = [_neutral(line, folder) for line in output.traceback]
        return output
    data = output.data
    if WIDGET in data:
        return None
    for kind, value in data.items():
        if kind.startswith("image/"):
            data[kind] = base64.b64encode(_small(base64.b64decode(value), kind)).decode()
        elif isinstance(value, str):
            data[kind] = _neutral(value, folder)
    if "image/png" in data:
        data.pop("text/html", None)  # with the picture once more
    output.metadata = {}
    return output


def _neutral(text: str, folder: Path) -> str:
    for place in (folder, ROOT):
        text = text.replace(f"{place}/", "").replace(str(place), ".")
    text = re.sub(r"127\.0\.0\.1:\d+", "127.0.0.1:8000", text)
    text = re.sub(r"/trickle/[0-9a-f]{16}-", "/trickle/", text)
    text = re.sub(r"/\S+/ipykernel_\d+/\d+\.py", "<cell>", text)
    return re.sub(r"(?m)^warning \[lock\].*\n?", "", text)  # says what this machine's network doesn't reach


def _small(data: bytes, kind: str) -> bytes:
    picture = Image.open(io.BytesIO(data))
    height = max(1, picture.height * PICTURE_WIDTH // picture.width)
    if picture.width > PICTURE_WIDTH:
        picture = picture.resize((PICTURE_WIDTH, height), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    if kind == "image/jpeg":
        picture.convert("RGB").save(buffer, "JPEG", quality=70, optimize=True)
    else:
        picture.convert("RGB").quantize(64, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def main() -> None:
    for path in [Path(name) for name in sys.argv[1:]] or sorted(NOTEBOOKS.glob("0[2-9]_*.ipynb")):
        with tempfile.TemporaryDirectory(prefix="byoc-notebook-") as folder:
            book = clean(run(path, Path(folder)), Path(folder))
        nbformat.write(book, path)
        print(f"{path.name}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
