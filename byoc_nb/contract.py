"""What can be told of a processor before it is built: can its hooks be called, is its `Params` valid?"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from byoc_nb import params as params_
from byoc_nb.dialects import NEEDED, NotAProcessor, hook_name
from byoc_nb.params import ParamsError

# what each hook is called with, besides `self`
_ARGUMENTS = {"video": 1, "audio": 1, "param_updater": 1, "stream_start": 1, "stream_stop": 0, "model_loader": 0}
_NAMED = {"load_model": 0, "initialize": 0, "shutdown": 0}
_WORDS = {0: "without arguments", 1: "with one argument"}


def check(target: Any) -> None:
    """Raise NotAProcessor or ParamsError, one line with the cell's own line number, where `target` can't work."""
    if not inspect.isclass(target):
        return
    if not hook_name(target, "video"):
        raise NotAProcessor(f"{target.__name__} has no method that takes a frame", hint=f"give it {NEEDED}")
    _callable(target, "__init__", 0)
    hooks = {hook_name(target, kind): count for kind, count in _ARGUMENTS.items()} | _NAMED
    for name, count in hooks.items():
        if name:
            _callable(target, name, count)
    _check_params(getattr(target, "Params", None))


def _callable(target: Any, name: str, count: int) -> None:
    static = inspect.getattr_static(target, name, None)
    function = getattr(static, "__func__", static)
    if not inspect.isfunction(function):
        return
    bound = not isinstance(static, staticmethod)
    try:
        inspect.signature(function, follow_wrapped=False).bind(*[None] * (count + bound))
    except TypeError as error:
        written = inspect.unwrap(function)
        raise NotAProcessor(
            f"{_place(written)}: {name}{inspect.signature(written)} can't be called {_WORDS[count]}: {error}",
            hint="change its arguments and run the cell again",
        ) from None


def _place(function: Callable[..., Any]) -> str:
    code = getattr(function, "__code__", None)
    return f"line {code.co_firstlineno}" if code else "the class"


def _check_params(model: Any) -> None:
    if not (inspect.isclass(model) and issubclass(model, BaseModel)):
        return
    try:
        values = params_.initial(model)
    except ParamsError:
        raise
    except Exception as error:  # a default factory's own
        hint = "give every field of Params a valid default"
        raise ParamsError({"Params": f"{type(error).__name__}: {error}"}, hint=hint) from None
    try:
        params_.as_dict(values)
        model.model_json_schema()
    except Exception as error:  # pydantic's own errors for what JSON can't say are of many kinds
        hint = "use numbers, strings, booleans, lists, Literal or Enum"
        raise ParamsError({"Params": f"can't be written as JSON: {' '.join(str(error).split())}"}, hint=hint) from None
