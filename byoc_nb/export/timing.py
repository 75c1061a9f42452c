"""Which of a program's code runs when: for every frame, or while the processor loads."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from byoc_nb.export.opened import OpenedFile, opened
from byoc_nb.export.program import Program
from byoc_nb.source import Part, code, definition_in

FRAME_METHODS = ("process_video_async", "process_video", "process", "process_audio_async", "process_audio")
LOAD_METHODS = ("__init__", "load_model", "initialize")
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def frame_code(program: Program) -> list[Part]:
    """The functions that run for every frame: the processor's methods, or itself, and what they reach."""
    entries = [*FRAME_METHODS, *_handlers(program, "video_handler", "audio_handler")]
    found = code(program.notebook, program.name, entries)
    return [part for part in found if isinstance(part.node, ast.FunctionDef | ast.AsyncFunctionDef)]


def loading_code(program: Program) -> list[Part]:
    """What runs while the processor loads, the top level included."""
    entries = [*LOAD_METHODS, *_handlers(program, "model_loader")]
    methods: list[Part] = []
    if isinstance(program.definition(program.name), ast.ClassDef):
        methods = code(program.notebook, program.name, entries, also={"params": "Params"})
    seen = {id(part.node) for part in methods}
    top = [one for one in program.statements if id(one.node) not in seen and not isinstance(one.node, _DEFINITIONS)]
    return [*methods, *(Part(", ".join(sorted(one.names.binds)), one.node, one) for one in top)]


def opened_files(program: Program) -> Iterator[OpenedFile]:
    """The files that it opens while it loads."""
    parts = loading_code(program)
    values: dict[str, ast.expr] = {}
    for node in [part.node for part in parts]:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            values |= {target.id: node.value for target in targets if isinstance(target, ast.Name)}
    for part in parts:
        yield from opened([part.node], values.get, cell=part.statement.cell.number)


def _handlers(program: Program, *decorators: str) -> list[str]:
    """The methods under decorators of these names."""
    found: list[str] = []
    for one in program.statements:
        for node in filter(None, (definition_in(one.node, name) for name in one.names.binds)):
            for method in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
                    marks = [ast.unparse(mark).partition("(")[0] for mark in method.decorator_list]
                    found += [method.name for mark in marks if mark.rpartition(".")[2] in decorators]
    return found
