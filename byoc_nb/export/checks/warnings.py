"""What an export warns of."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from byoc_nb.export.calls import drawn_from, full_name, seeded_by
from byoc_nb.export.findings import Finding
from byoc_nb.export.program import Piece, Program
from byoc_nb.export.timing import LOAD_METHODS, frame_code, opened_files
from byoc_nb.source.scopes import own

_PATH = re.compile(
    r"/(home|Users|root|mnt|media|data|content|workspace|tmp|opt|srv|var|kaggle|notebooks|work)/\S+|"
    r"/[\w.\-]+(/[\w.\-]+)*\.\w{1,12}|~/\S+|[A-Za-z]:[\\/][^\n]+"
)
_BLOCKING = re.compile(
    r"time\.sleep|(requests|httpx)\.(get|post|put|delete|head|patch|request)|"
    r"(urllib\.request\.)?(urlopen|urlretrieve)|subprocess\.(run|call|check_call|check_output)|os\.(system|popen)|"
    r"socket\.create_connection"
)


def absolute_path(program: Program) -> Iterator[Finding]:
    """A path of this machine is not there in the container, but for the weights that go along."""
    along = {one.path for one in opened_files(program) if one.found}
    for piece in program.pieces():
        for line, text in _strings(piece.node):
            if _PATH.fullmatch(text) and text not in along:
                message = f"{text} is a path of this machine"
                yield _warning(piece, line, "absolute-path", message, "use one beside the notebook")


def missing_file(program: Program) -> Iterator[Finding]:
    """What loading opens must be there to be carried along."""
    for one in opened_files(program):
        if one.found is None:
            message = f"{one.path} isn't there, so the container won't have it"
            fix = "put it there, or --weights download=URL or --weights mount"
            yield Finding("missing-file", "warning", message, fix, one.line, one.cell, one.file)


def cuda_index(program: Program) -> Iterator[Finding]:
    """The container numbers the GPUs that it was given by itself."""
    for piece in program.pieces():
        for line, text in _strings(piece.node):
            if re.fullmatch(r"cuda:\d+", text):
                yield _warning(piece, line, "cuda-index", f'"{text}" is one certain GPU', 'say "cuda"')


def blocking_call(program: Program) -> Iterator[Finding]:
    """What waits without `await` in an async hook holds up every frame behind it; loading hooks may."""
    for piece in program.pieces():
        functions = (node for node in ast.walk(piece.node) if isinstance(node, ast.AsyncFunctionDef))
        for function in (function for function in functions if function.name not in LOAD_METHODS):
            for node in own(function.body):
                if isinstance(node, ast.Call) and _BLOCKING.fullmatch(name := full_name(program.notebook, node)):
                    fix = "await asyncio.sleep(…)" if name == "time.sleep" else f"await asyncio.to_thread({name}, …)"
                    message = f"{name} waits in {function.name} and holds up every frame"
                    yield _warning(piece, node.lineno, "blocking-call", message, fix)


def unseeded_random(program: Program) -> Iterator[Finding]:
    """Two runs of the container give different pictures."""
    calls = [(piece, node) for piece in program.pieces() for node in ast.walk(piece.node) if isinstance(node, ast.Call)]
    named = [(piece, node, full_name(program.notebook, node)) for piece, node in calls]
    seeded = {seeded_by(name) for _, _, name in named}
    for piece, node, name in named:
        if (generator := drawn_from(name, node)) and generator not in seeded:
            message = f"{name} gives something else every time"
            yield _warning(piece, node.lineno, "unseeded-random", message, "seed it in load_model")


def print_per_frame(program: Program) -> Iterator[Finding]:
    """Thirty lines a second in the container's log."""
    for part in frame_code(program):
        for node in ast.walk(part.node):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                piece = Piece(part.statement.node, (), part.statement.cell.number)
                message = f"{part.key} prints for every frame"
                yield _warning(piece, node.lineno, "print-per-frame", message, "take it out, or log it now and then")


def _warning(piece: Piece, line: int, id: str, message: str, fix: str) -> Finding:
    return Finding(id, "warning", message, fix, line, piece.cell, piece.file)


def _strings(node: ast.AST) -> Iterator[tuple[int, str]]:
    """The string constants in code and their lines, docstrings aside."""
    bare = {id(part.value) for part in ast.walk(node) if isinstance(part, ast.Expr)}
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and id(part) not in bare:
            yield part.lineno, part.value
