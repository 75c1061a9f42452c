"""Notebooks as text: run here as a kernel runs them, frozen, and run again in a clean process.

A file in `tests/fixtures/freeze` begins with what is expected of it, one line each:

    # expect: ok                          the frozen processor gives the same pictures
    # expect: error ID cell [2] line 3    freezing stops there
    # has: TEXT    # lacks: TEXT          what the frozen text must and must not contain
    # warns: ID                           a warning that it must bring

then its cells, each after a line `# %%`. `# %% file NAME` is a file beside the notebook, `# %% elsewhere` is code that
changes the namespace without being a cell's text, as a widget does. The last cell holds the processor, `P`.
"""

from __future__ import annotations

import asyncio
import codeop
import hashlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import byoc_nb
from byoc_nb.dialects import Processor
from byoc_nb.export import folder as folder_
from byoc_nb.export import weights
from byoc_nb.export.freeze import Frozen, freeze
from byoc_nb.frames import VideoFrame
from byoc_nb.source import Notebook

FOLDER = Path(__file__).parents[1] / "fixtures" / "freeze"
GIVEN = ("FrameProcessor", "VideoFrame", "AudioFrame", "BaseModel", "Field")  # by the extension


@dataclass
class Fixture:
    """A notebook's text."""

    name: str
    expected: dict[str, list[str]] = field(default_factory=dict)
    cells: list[tuple[str, str]] = field(default_factory=list)  # ("", "elsewhere" or "file NAME", text)


def read(path: Path) -> Fixture:
    head, *rest = re.split(r"^# %%", path.read_text(), flags=re.MULTILINE)
    found = Fixture(path.name.removesuffix(".py.txt"))
    for kind, what in re.findall(r"^# (expect|has|lacks|warns): (.*)$", head, flags=re.MULTILINE):
        found.expected.setdefault(kind, []).append(what)
    for part in rest:
        title, _, text = part.partition("\n")
        found.cells.append((title.strip(), text))
    return found


FIXTURES = [read(path) for path in sorted(FOLDER.glob("*.py.txt"))]


class Kernel:
    """A notebook that was run: its record and its namespace."""

    def __init__(self) -> None:
        self.notebook = Notebook()
        self.main = ModuleType("__main__")
        self.namespace: dict[str, Any] = vars(self.main)
        self.namespace |= {name: getattr(byoc_nb, name) for name in GIVEN}
        self._compile = codeop.Compile()  # keeps `from __future__` in force, as a kernel does
        self._number = 0

    def run(self, text: str) -> Any:
        """Run a cell; what its last line is worth."""
        self._number += 1
        exec(self._compile(text, f"<cell {self._number}>", "exec"), self.namespace)
        self.notebook.ran(text, self._number, namespace=self.namespace)

    def elsewhere(self, text: str) -> None:
        """Change the namespace behind the record's back."""
        exec(text, self.namespace)
        self.notebook.look(self.namespace)

    def freeze(self, name: str = "P", **options: Any) -> Frozen:
        return freeze(self.notebook, name, self.namespace, **options)


def kernel(*cells: str, **namespace: Any) -> Kernel:
    """A kernel that ran these cells."""
    made = Kernel()
    made.namespace |= namespace
    made.notebook.look(made.namespace)
    for text in cells:
        made.run(text)
    return made


@contextmanager
def run_fixture(fixture: Fixture, folder: Path) -> Iterator[Kernel]:
    """The fixture as a kernel ran it in `folder`, where its files are."""
    made, before, modules, main = Kernel(), os.getcwd(), set(sys.modules), sys.modules["__main__"]
    made.notebook.look(made.namespace)
    sys.modules["__main__"] = made.main  # where pydantic looks names up
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        for title, text in fixture.cells:
            if title.startswith("file "):
                target = folder / title.removeprefix("file ")
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text)
            elif title == "elsewhere":
                made.elsewhere(text)
            else:
                made.run(text)
        yield made
    finally:
        sys.modules["__main__"] = main
        sys.path.remove(str(folder))
        os.chdir(before)
        for name in set(sys.modules) - modules:
            if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


def text_of(frozen: Frozen) -> str:
    return "\n".join([*frozen.future, *frozen.imports, frozen.body])


def write(frozen: Frozen, folder: Path) -> Path:
    """The program and what lies beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "processor.py").write_text(text_of(frozen), encoding="utf-8")
    folder_._write_beside(folder, frozen)
    weights.copy(weights.plan(frozen.opened), folder)
    return folder


def module_of(frozen: Frozen, folder: Path | None = None) -> ModuleType:
    """The text as a module of its own, as `python processor.py` has it."""
    module = ModuleType("frozen")
    module.__file__ = str((folder or Path()) / "processor.py")
    sys.modules["frozen"] = module
    try:
        exec(compile(text_of(frozen), module.__file__, "exec", dont_inherit=True), vars(module))
    finally:
        del sys.modules["frozen"]
    return module


def pictures(target: Any) -> list[str]:
    """What a processor makes of numbered frames, and its parameters, as text to compare."""

    async def run() -> list[str]:
        processor = Processor(target)
        await processor.load()
        found = [repr(processor.values)]
        for number in range(3):
            pixels = (np.arange(4 * 6 * 3).reshape(4, 6, 3) * 3 + number * 7) % 256
            made = await processor.video(VideoFrame(pixels.astype(np.uint8)))
            found.append("None" if made is None else hashlib.sha256(made.array.tobytes()).hexdigest()[:12])
        assert len(set(found)) == 4, "a test that can't tell one picture from another"
        return found

    return asyncio.run(run())


CLEAN = """
import importlib.util, json, os, sys
sys.path.insert(0, sys.argv[1])
from freeze_kit import pictures
import torch
results = {}
for folder in sys.argv[2:]:
    reader, writer = os.pipe()
    if os.fork() == 0:  # a process of its own, which finds torch imported
        os.chdir(folder)
        sys.path[0] = folder
        try:
            spec = importlib.util.spec_from_file_location("processor", folder + "/processor.py")
            module = sys.modules["processor"] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            said = pictures(module.P)
        except BaseException as error:
            said = [f"{type(error).__name__}: {error}"]
        os.write(writer, json.dumps(said).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        results[folder] = json.loads(pipe.read())
    os.wait()
print(json.dumps(results))
"""
