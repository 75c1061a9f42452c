"""Files that a processor opens while it loads, such as weights: found in the text, for whoever packs the folder.

A file is a literal path (also by the name of a constant, joined with `/`, `Path(…)` or `os.path.join`) that goes into
a call in loading code: `load_model`, `initialize`, `__init__`, a `@model_loader`, what they reach, and the top level.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_SUFFIXES = re.compile(
    r"\.(pt|pth|ckpt|safetensors|onnx|bin|npy|npz|pkl|pickle|joblib|h5|hdf5|engine|trt|plan|tflite|pb|gguf|ggml|"
    r"caffemodel|prototxt|xml|model|torchscript|jit|json|ya?ml|toml|txt|csv|cube|png|jpe?g|webp|ttf|otf|wav)$",
    re.IGNORECASE,
)
_OF_THE_SYSTEM = re.compile(r"/(proc|sys|dev)/")
_WRITES = re.compile(r"(save|write|dump|to_(csv|json|parquet|pickle))\w*|mkdir|makedirs|touch|unlink|remove|rename")
_OPENS = re.compile(
    r"open|read_\w+|imread|load\w*|from_file|from_pretrained|safe_open|InferenceSession|YOLO|fromfile|ImageFont"
)


@dataclass(frozen=True)
class OpenedFile:
    """A path as the text has it, the call that gets it, and where; `found` is the file here, if it is there."""

    path: str
    call: str
    line: int
    cell: int
    file: str = ""
    found: Path | None = None

    @property
    def place(self) -> str:
        """As a finding tells it."""
        return f"{self.file or f'cell [{self.cell}]'} line {self.line}"


def opened(
    nodes: Iterable[ast.AST], constant: Callable[[str], ast.expr | None], *, cell: int = 0, file: str = ""
) -> Iterator[OpenedFile]:
    """The files that this code opens; `constant` gives the expression behind a name."""
    for node in nodes:
        for call in (part for part in ast.walk(node) if isinstance(part, ast.Call)):
            name = ast.unparse(call.func)
            if _writes(call, name.rpartition(".")[2]):
                continue
            arguments = [*call.args, *(keyword.value for keyword in call.keywords)]
            if isinstance(call.func, ast.Attribute):  # Path("x").read_bytes()
                arguments.append(call.func.value)
            for path in filter(None, (_path(argument, constant) for argument in arguments)):
                if name.rpartition(".")[2] not in ("Path", "join") and _is_file(path, name.rpartition(".")[2]):
                    here = Path(path).expanduser()
                    yield OpenedFile(path, name, call.lineno, cell, file, here if here.exists() else None)


def _writes(call: ast.Call, name: str) -> bool:
    """Whether a call makes the file that it names, or does away with it."""
    values = [*call.args, *(keyword.value for keyword in call.keywords)] if name == "open" else []
    texts = [value.value for value in values if isinstance(value, ast.Constant) and isinstance(value.value, str)]
    return bool(_WRITES.fullmatch(name)) or any(re.fullmatch(r"[wax]b?t?\+?b?", text) for text in texts)


def _is_file(path: str, call: str) -> bool:
    if "\n" in path or "://" in path or len(path) > 1000 or _OF_THE_SYSTEM.match(path):
        return False
    if Path.cwd().is_relative_to(Path(path).expanduser().resolve()):  # no file, and no folder of weights either
        return False
    opens, is_there = bool(_OPENS.fullmatch(call)), Path(path).expanduser().exists()
    return (opens and is_there) or (bool(_SUFFIXES.search(path)) and (opens or is_there or "/" in path))


def _path(node: ast.expr, constant: Callable[[str], ast.expr | None], depth: int = 8) -> str:
    """The path that an expression spells out, an empty string if it doesn't."""
    if not depth:
        return ""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name) | ast.Attribute(attr=name):
            behind = constant(name)
            return _path(behind, constant, depth - 1) if behind is not None else ""
        case ast.BinOp(left=left, op=ast.Div() | ast.Add(), right=right):
            parts = [_path(left, constant, depth - 1), _path(right, constant, depth - 1)]
            if not all(parts):
                return ""
            return str(PurePosixPath(*parts)) if isinstance(node.op, ast.Div) else "".join(parts)
        case ast.Call(func=ast.Name(id="Path" | "str") | ast.Attribute(attr="Path" | "join"), args=arguments):
            parts = [_path(one, constant, depth - 1) for one in arguments]
            return str(PurePosixPath(*parts)) if parts and all(parts) else ""
        case ast.Call(func=ast.Attribute(value=value, attr="open" | "expanduser" | "resolve" | "as_posix")):
            return _path(value, constant, depth - 1)
    return ""
