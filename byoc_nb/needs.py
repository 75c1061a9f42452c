"""What a processor's code asks for, as far as its compiled functions tell."""

from __future__ import annotations

import inspect
import types
from typing import Any

TENSORS = frozenset({"tensor", "tensor_uint8", "replace_tensor", "torch"})


def uses_tensors(processor: Any) -> bool:
    """Whether a processor, a class's instance or a function, or what it calls in its own module names a tensor.

    A container without tensors is a third smaller and starts seconds earlier. What this overlooks (a tensor asked for
    in another module) costs the first frames the time that importing torch takes.
    """
    owner = processor if inspect.isroutine(processor) or inspect.isclass(processor) else type(processor)
    return _names(owner, getattr(owner, "__module__", None), set())


def _names(owner: Any, module: str | None, seen: set[int]) -> bool:
    """Follow functions and classes of one module through the names that their code has."""
    if id(owner) in seen or getattr(owner, "__module__", None) != module:
        return False
    seen.add(id(owner))
    if inspect.isclass(owner):
        parts = [part for cls in owner.__mro__ for part in vars(cls).values()]
        return any(_names(getattr(part, "__func__", part), module, seen) for part in parts)
    function = inspect.unwrap(owner)
    if not isinstance(function, types.FunctionType):
        return False
    names = set(_code_names(function.__code__))
    called = (function.__globals__.get(name) for name in names)
    return bool(names & TENSORS) or any(
        _names(part, module, seen) for part in called if isinstance(part, types.FunctionType | type)
    )


def _code_names(code: types.CodeType) -> list[str]:
    inner = [name for const in code.co_consts if isinstance(const, types.CodeType) for name in _code_names(const)]
    return [*code.co_names, *inner]
