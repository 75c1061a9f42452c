"""`--runtime pytrickle`: the same processor on Livepeer's own runtime, as far as that can do what the notebook does.

What it can't do is refused with its line. What it only asks for and the notebook's class lacks (`load_model`, sound,
`update_params`) is added around the class by the exported program.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata

from byoc_nb.export.findings import Finding
from byoc_nb.export.program import Piece, Program

RUNTIMES = ("byoc_nb", "pytrickle")
VERSION = "0.1.6"
PINS = (f"pytrickle=={VERSION}", "av==14.2.0")  # of the PyAVs that it takes the newest with wheels
VARIABLE = "BYOC_PYTRICKLE_PYTHON"

_HANDLERS = {
    "video_handler": "process_video_async",
    "audio_handler": "process_audio_async",
    "model_loader": "load_model",
    "param_updater": "update_params",
    "on_stream_start": "on_stream_start",
    "on_stream_stop": "on_stream_stop",
}
_ADDED = ("load_model", "process_audio_async", "update_params")  # pytrickle's class is abstract without them
_NEVER_CALLED = {
    "process": "write async def process_video_async(self, frame), with frame.tensor for the bytes",
    "process_video": "write async def process_video_async(self, frame)",
    "process_audio": "write async def process_audio_async(self, frame)",
    "initialize": "call it load_model",
    "shutdown": "call it on_stream_stop",
}
_EXPORTS = frozenset({"AudioFrame", "FrameProcessor", "StreamServer", "VideoFrame", "VideoProcessingResult"})
_PYDANTIC = frozenset({"BaseModel", "Field"})
_FRAME = frozenset({"timestamp", "time_base", "log_timestamps", "side_data"})
_VIDEO = _FRAME | {"tensor", "replace_tensor", "from_tensor", "to_av_frame"}
_SOUND = {"samples", "nb_samples", "format", "rate", "layout", "replace_samples", "from_audio_frame", "to_av_frame"}
_OURS_ALONE = frozenset({"tensor_uint8", "replace_array", "publish_data"})
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Upstream:
    """What the exported program does around the class: which of pytrickle's ways to serve, and the hooks to add."""

    handlers: bool
    added: tuple[str, ...]


@dataclass(frozen=True)
class _Member:
    node: ast.stmt
    cell: int


def way(program: Program) -> Upstream:
    """How the processor of a program without findings is served."""
    members = _members(program)
    return Upstream("video_handler" in _marked(members), tuple(name for name in _ADDED if name not in members))


def check(program: Program) -> Iterator[Finding]:
    """What pytrickle can't do of what the program does."""
    definition = program.definition(program.name)
    if not isinstance(definition, ast.ClassDef):
        line = getattr(definition, "lineno", program.root.statements[0].line)
        fix = "write a class with async def process_video_async(self, frame)"
        yield _finding("pytrickle serves no functions", fix, line, program.root.number)
        return
    members = _members(program)
    marked = _marked(members)
    yield from _hooks(members, marked)
    if not {"process_video_async", "process_video", "process"} & members.keys() and "video_handler" not in marked:
        message, fix = "pytrickle finds no method for frames here", "write async def process_video_async(self, frame)"
        yield _finding(message, fix, definition.lineno, program.root.number)
    if params := members.get("Params"):
        fix = "take them from the dict in async def update_params(self, params)"
        yield _finding("pytrickle knows no Params", fix, params.node.lineno, params.cell)
    yield from _no_params_of_self(members)
    yield from _frames(members, marked)
    for piece in program.pieces():
        yield from _text(program, piece)
    for line in program.imports:
        for module, name in _names(line):
            if module.partition(".")[0] == "byoc_nb" and name not in _EXPORTS | _PYDANTIC:
                yield _finding(f"pytrickle has no {name}", "take it out of the processor", 0, 0)


def imports(lines: Iterable[str]) -> list[str]:
    """The import lines of a program, with pytrickle's names from pytrickle and pydantic's from pydantic."""
    found: list[str] = []
    for line in lines:
        names = _names(line)
        if not names or names[0][0] != "byoc_nb":
            found.append(line)
            continue
        for module, homes in (("pydantic", _PYDANTIC), ("pytrickle", _EXPORTS)):
            if mine := [name for _, name in names if name.partition(" ")[0] in homes]:
                found.append(f"from {module} import {', '.join(mine)}")
    return found


def python() -> str:
    """A Python that has pytrickle, to prove an export with; empty without one."""
    if named := os.environ.get(VARIABLE):
        return named
    try:
        return sys.executable if metadata.version("pytrickle") == VERSION else ""
    except metadata.PackageNotFoundError:
        return ""


# ---- the class


def _members(program: Program) -> dict[str, _Member]:
    """What the class and its bases in the notebook define, by name; the nearest goes first."""
    found: dict[str, _Member] = {}
    waiting, seen = [program.name], set[str]()
    while waiting:
        name = waiting.pop(0)
        statement, definition = program.notebook.definition(name), program.definition(name)
        if name in seen or statement is None or not isinstance(definition, ast.ClassDef):
            continue
        seen.add(name)
        waiting += [base.id for base in definition.bases if isinstance(base, ast.Name)]
        for node in definition.body:
            names = [node.name] if isinstance(node, _Function | ast.ClassDef) else []
            if isinstance(node, ast.Assign):
                names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            for one in names:
                found.setdefault(one, _Member(node, statement.cell.number))
    return found


def _marked(members: dict[str, _Member]) -> dict[str, str]:
    """The methods under pytrickle's decorators, by decorator."""
    found: dict[str, str] = {}
    for name, member in members.items():
        if isinstance(member.node, _Function):
            for mark in member.node.decorator_list:
                last = ast.unparse(mark).partition("(")[0].rpartition(".")[2]
                if last in _HANDLERS:
                    found[last] = name
    return found


def _hooks(members: dict[str, _Member], marked: dict[str, str]) -> Iterator[Finding]:
    """Methods that pytrickle doesn't call, or that it awaits although nothing is to be awaited."""
    by_marks = "video_handler" in marked
    for name, member in members.items():
        if not isinstance(member.node, _Function):
            continue
        here = member.node.lineno, member.cell
        mark = next((mark for mark, method in _HANDLERS.items() if method == name), "")
        if name in marked.values() or (mark and not by_marks):
            if isinstance(member.node, ast.FunctionDef):
                yield _finding(f"pytrickle awaits {name}", f"write async def {name}", *here)
        elif mark:
            yield _finding(f"beside @video_handler pytrickle doesn't call {name}", f"put @{mark} above it", *here)
        elif name in _NEVER_CALLED:
            yield _finding(f"pytrickle never calls {name}", _NEVER_CALLED[name], *here)


def _no_params_of_self(members: dict[str, _Member]) -> Iterator[Finding]:
    """`self.params` is the class's own there."""
    uses = [
        (node, member.cell)
        for member in members.values()
        for node in ast.walk(member.node)
        if isinstance(node, ast.Attribute) and node.attr == "params" and ast.unparse(node.value) == "self"
    ]
    if uses and not any(isinstance(node.ctx, ast.Store) for node, _ in uses):
        node, cell = uses[0]
        fix = "set it in __init__ and in async def update_params(self, params)"
        yield _finding("pytrickle sets no self.params", fix, node.lineno, cell)


def _frames(members: dict[str, _Member], marked: dict[str, str]) -> Iterator[Finding]:
    """What a frame has only here, in the methods that take one."""
    for mark, has in (("video_handler", _VIDEO), ("audio_handler", _FRAME | _SOUND)):
        member = members.get(marked.get(mark, _HANDLERS[mark]))
        if member is None or not isinstance(member.node, _Function) or len(member.node.args.args) < 2:
            continue
        frame = member.node.args.args[1].arg
        for node in ast.walk(member.node):
            if not (isinstance(node, ast.Attribute) and ast.unparse(node.value) == frame):
                continue
            if node.attr not in has | _OURS_ALONE:
                fix = f"there are {', '.join(sorted(has))}"
                yield _finding(f"pytrickle's frames have no {node.attr}", fix, node.lineno, member.cell)


def _text(program: Program, piece: Piece) -> Iterator[Finding]:
    """Names of byoc_nb's own."""
    in_front = piece.statement is not None and piece.statement not in program.statements  # and rewritten there
    for node in ast.walk(piece.node):
        if isinstance(node, ast.Attribute) and node.attr in _OURS_ALONE:
            fix = "use frame.tensor and frame.replace_tensor" if node.attr != "publish_data" else "take it out"
            yield _finding(f"pytrickle has no {node.attr}", fix, node.lineno, piece.cell, piece.file)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            for module, name in _names(ast.unparse(node)):
                if module.partition(".")[0] == "byoc_nb" and not in_front:
                    fix = "import from pytrickle and pydantic, which works in the notebook, too"
                    yield _finding("byoc_nb isn't there with pytrickle", fix, node.lineno, piece.cell, piece.file)
                elif module == "pytrickle" and name in ("run_processor", *_PYDANTIC):
                    yield _finding(f"pytrickle has no {name}", "take it out", node.lineno, piece.cell, piece.file)


def _names(line: str) -> list[tuple[str, str]]:
    """Modules and names of an import line."""
    (node,) = ast.parse(line).body
    if isinstance(node, ast.ImportFrom):
        return [(node.module or "", ast.unparse(alias)) for alias in node.names]
    return [(alias.name, alias.name) for alias in node.names] if isinstance(node, ast.Import) else []


def _finding(message: str, fix: str, line: int, cell: int, file: str = "") -> Finding:
    return Finding("pytrickle", "error", message, fix, line, cell, file)
