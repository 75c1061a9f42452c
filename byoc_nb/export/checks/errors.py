"""What stops an export."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from byoc_nb.export import secrets
from byoc_nb.export.calls import drawn_from, full_name, seeded_by
from byoc_nb.export.constants import is_model
from byoc_nb.export.findings import Finding
from byoc_nb.export.program import Piece, Program
from byoc_nb.export.running import at_import
from byoc_nb.source.scopes import executed

_JUPYTERS = ("IPython", "ipywidgets", "ipykernel", "anywidget", "google.colab", "tqdm.notebook", "tqdm.autonotebook")
_SHOWS = re.compile(r"(matplotlib\.(pyplot|pylab)|plt|pylab|pyplot)\.show")
_ASKS_CUDA = re.compile(r"torch\.cuda\.(is_available|device_count|is_initialized|is_bf16_supported)|torch\.device")
_LOADS = re.compile(r"load_state_dict|from_pretrained|\bload\(|hub\.load|manual_seed|pretrained=|weights=")


def notebook_only(program: Program) -> Iterator[Finding]:
    """`display`, `get_ipython`, `!`, `%`, `input`, `plt.show` and what only Jupyter brings."""
    fix = "take it out of the processor"
    for piece in program.pieces():
        for node in ast.walk(piece.node):
            if what := _of_notebooks(program, node):
                yield _error(piece, node, "notebook-only", f"{what} works in a notebook only", fix)
    for name in [line.split()[-1] for line in program.imports if _is_jupyters(line.split()[1])]:
        for piece in program.pieces():
            used = piece.statement.names if piece.statement else None
            if used and (line := used.now.get(name) or used.later.get(name)):
                message = f"{name} works in a notebook only"
                yield Finding("notebook-only", "error", message, fix, line, piece.cell)


def _of_notebooks(program: Program, node: ast.AST) -> str:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")))):
            return _as_typed(node)
        case ast.Call(func=ast.Name(id="input")) if program.notebook.definition("input") is None:
            return "input()"
        case ast.Call() if _SHOWS.fullmatch(full_name(program.notebook, node)):
            return f"{ast.unparse(node.func)}()"
        case ast.Import(names=aliases):
            return next((f"import {alias.name}" for alias in aliases if _is_jupyters(alias.name)), "")
        case ast.ImportFrom(module=str(module)) if _is_jupyters(module):
            return f"from {module} import"
    return ""


def star_import(program: Program) -> Iterator[Finding]:
    """`from x import *` in the processor's cell; from other cells the names that are used come one by one."""
    for piece in program.pieces():
        for node in ast.walk(piece.node):
            if isinstance(node, ast.ImportFrom) and node.names[0].name == "*" and piece.cell == program.root.number:
                what = f"from {node.module} import * hides what is used"
                yield _error(piece, node, "star-import", what, "import by name")


def relative_import(program: Program) -> Iterator[Finding]:
    """A program that stands alone is in no package; modules beside it may be."""
    for piece in program.pieces():
        for node in ast.walk(piece.node):
            if isinstance(node, ast.ImportFrom) and node.level and not piece.file:
                yield _error(
                    piece, node, "relative-import", "relative imports have no package here", "import absolutely"
                )


def top_level_await(program: Program) -> Iterator[Finding]:
    """Only a notebook awaits outside of functions."""
    for piece in program.pieces():
        for node in executed([piece.node]):
            awaits = isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith)
            if awaits or (isinstance(node, ast.comprehension) and node.is_async):
                yield _error(
                    piece, node, "top-level-await", "this awaits outside of functions", "move it into load_model"
                )


def gpu_at_import(program: Program) -> Iterator[Finding]:
    """Work on the GPU belongs on the processor's own thread, and who only looks at the file may have no GPU."""
    for piece in program.pieces():
        for node, line in at_import(program.notebook, piece.statement) if piece.statement else ():
            if isinstance(node, ast.Call) and (what := _gpu_work(program, node)):
                message = f"{what} works on the GPU when the file is imported"
                yield Finding("gpu-at-import", "error", message, "move it into load_model", line, piece.cell)


def irreproducible(program: Program) -> Iterator[Finding]:
    """Values that running their text again would not give: drawn at random, or trained.

    In the processor's own cell chance is the processor's business, see `unseeded_random`.
    """
    seeded = set[str]()
    for one in program.reached:
        calls = [node for node, _ in at_import(program.notebook, one) if isinstance(node, ast.Call)]
        names = [full_name(program.notebook, node) for node in calls]
        seeded |= set(map(seeded_by, names))
        made = one.names.binds and isinstance(one.node, ast.Assign | ast.AnnAssign | ast.AugAssign)
        if not made or one.cell is program.root or one not in program.statements:
            continue
        name = min(one.names.binds)
        chances = ((name, drawn_from(name, node)) for name, node in zip(names, calls, strict=True))
        drawn = next((name for name, generator in chances if generator and generator not in seeded), "")
        if drawn:
            message = f"no text makes {name} again: {drawn} gives something else every time"
            fix = "write its value, or make it in load_model"
        elif _is_trained(program, name):
            message = f"no text makes {name} again: it holds weights that its text doesn't load"
            fix = f"torch.save({name}.state_dict(), 'weights.pt') and load that in load_model"
        else:
            continue
        yield Finding("irreproducible", "error", message, fix, one.line, one.cell.number)


def secret(program: Program) -> Iterator[Finding]:
    """Tokens, keys and passwords."""
    fix = "take it out and read it from the environment: os.environ[…]"
    for piece in program.pieces():
        for line, kind in secrets.in_code(piece.node, piece.lines):
            yield Finding("secret", "error", f"this looks like a secret ({kind})", fix, line, piece.cell, piece.file)


# ---- what they look for


def _error(piece: Piece, node: ast.AST, id: str, message: str, fix: str) -> Finding:
    line = getattr(node, "lineno", piece.node.lineno)
    return Finding(id, "error", message, fix, line, piece.cell, piece.file)


def _is_jupyters(module: str) -> bool:
    return any(module == one or module.startswith(f"{one}.") for one in _JUPYTERS)


def _as_typed(call: ast.Call) -> str:
    """The first word of what IPython made the call of: `%matplotlib …`, `!pip …`, `P?`; the rest may hold a secret."""
    assert isinstance(call.func, ast.Attribute)
    texts = [str(one.value) for one in call.args if isinstance(one, ast.Constant)]
    words = " ".join(texts).split() or [""]
    more = " …" if len(words) > 1 else ""
    match call.func.attr:
        case "run_line_magic" if words[0] in ("pinfo", "pinfo2"):
            return f"{words[-1]}?"
        case "run_line_magic":
            return f"%{words[0]}{more}"
        case "run_cell_magic":
            return f"%%{words[0]}{more}"
        case "system" | "getoutput":
            return f"!{words[0]}{more}"
    return "get_ipython()"


def _gpu_work(program: Program, call: ast.Call) -> str:
    name = full_name(program.notebook, call)
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    if _ASKS_CUDA.fullmatch(name):
        return ""
    if name.startswith("torch.cuda.") or method == "cuda":
        return f"{name if name.startswith('torch.') else method}()"
    devices = [keyword.value for keyword in call.keywords if keyword.arg == "device"]
    devices += call.args[:1] if method in ("to", "set_default_device") else []
    return f"{method or name}(…) for CUDA" if any(_is_cuda(program, device) for device in devices) else ""


def _is_cuda(program: Program, node: ast.expr, depth: int = 5) -> bool:
    """Whether an expression, or what its names stand for, spells out a CUDA device."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and part.value.startswith("cuda"):
            return True
        if isinstance(part, ast.Name) and depth and (statement := program.notebook.definition(part.id)):
            value = getattr(statement.node, "value", None)
            if isinstance(value, ast.expr) and _is_cuda(program, value, depth - 1):
                return True
    return False


def _is_trained(program: Program, name: str) -> bool:
    """Whether it is a torch module with parameters that nothing in the text loads, seeds or trains."""
    value: Any = program.namespace.get(name)
    if not is_model(value):
        return False
    text = "\n".join(one.text for one in program.reached)
    trained = any(one.grad is not None for one in value.parameters())
    return (trained and "backward(" not in text) or not _LOADS.search(text)
