"""Which definition of a cell or a file is the processor."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

from byoc_nb.dialects import NEEDED, WANTED, is_processor
from byoc_nb.errors import ByocError
from byoc_nb.processor import FrameProcessor


class FindError(ByocError, ValueError):
    """There is no processor, or more than one."""


def find_processor(
    code: str,
    namespace: Mapping[str, Any],
    wanted: str = "",
    *,
    place: str = "this cell",
    choose: str = "%%byoc --name {}",
) -> tuple[str, Any]:
    """The processor among the definitions of `code`, Python source that was run in `namespace`: (name, object).

    Subclasses of FrameProcessor go before other classes, those before functions; a class that another candidate
    derives from is a base, not a candidate. Raises FindError, which speaks of the `place` and of
    how to `choose`, when there is none or more than one, unless `wanted` names one.
    """
    defined = {name: namespace[name] for name in _definitions(ast.parse(code)) if name in namespace}
    if wanted:
        if wanted in defined and is_processor(defined[wanted]):
            return wanted, defined[wanted]
        what = "can't take frames" if wanted in defined else f"is not defined in {place}"
        raise FindError(f"{wanted} {what}", hint=f"a processor has {NEEDED}" if wanted in defined else "")
    candidates = {name: target for name, target in defined.items() if is_processor(target)}
    for preferred in (_is_frame_processor, lambda target: isinstance(target, type)):
        if any(preferred(target) for target in candidates.values()):
            candidates = {name: target for name, target in candidates.items() if preferred(target)}
            break
    if not any(isinstance(target, type) for target in candidates.values()):
        _check_functions(ast.parse(code), defined)
    leaves = {
        name: target
        for name, target in candidates.items()
        if not any(_derives(other, target) for other in candidates.values())
    }
    if not leaves:
        raise FindError(f"{place} holds no processor", hint=f"it needs {WANTED}")
    if len(leaves) > 1:
        names = list(leaves)
        raise FindError(
            f"{place} holds {len(names)} processors, {' and '.join(names)}", hint=f"choose: {choose.format(names[0])}"
        )
    return next(iter(leaves.items()))


def _check_functions(tree: ast.Module, defined: Mapping[str, Any]) -> None:
    """Raise FindError where pytrickle's StreamProcessor is made of functions: only one of them would be found."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] == "StreamProcessor":
            given = [*node.args, *(keyword.value for keyword in node.keywords)]
            names = [value.id for value in given if isinstance(value, ast.Name)]
            functions = [name for name in names if inspect.isfunction(defined.get(name))]
            if len(functions) > 1:
                raise FindError(
                    f"StreamProcessor is given the functions {', '.join(functions)}; a processor here is one class",
                    hint="make them methods of a class, each under its decorator: @video_handler, @param_updater, …",
                )


def _definitions(tree: ast.Module) -> Iterator[str]:
    """Names of classes and functions at the top level, also under `if`, `try` and `with`."""
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.If | ast.Try | ast.TryStar | ast.With | ast.ExceptHandler):
            waiting.extend(ast.iter_child_nodes(node))


def _is_frame_processor(target: Any) -> bool:
    return isinstance(target, type) and issubclass(target, FrameProcessor)


def _derives(other: Any, base: Any) -> bool:
    return other is not base and isinstance(other, type) and isinstance(base, type) and issubclass(other, base)
