"""Whether a processor's state may live on under new code: is there a difference in what built it?

A state is built by the loading methods and all that they reach (`source.members` finds that), and by the values of the
parameters that they go by. Frames, formatting and comments have no part in it.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from byoc_nb import params as params_
from byoc_nb.dialects import hook_name
from byoc_nb.source import Notebook, Part, code, fingerprint

_LOADING = ("__new__", "__init__", "__post_init__", "load_model", "initialize", "start", "ensure_model_loaded")
_SHAPE = ("__slots__", "__init_subclass__", "__setattr__", "__getattr__", "__getattribute__")
_STREAM = ("on_stream_start", "on_stream_stop", "shutdown")


@dataclass(frozen=True)
class Built:
    """What a state was built with: fingerprints of code by its name, and values of parameters."""

    code: Mapping[str, str]
    params: Mapping[str, Any]
    stream: Mapping[str, str]  # what the stream's hooks reach

    def differs(self, other: Built) -> list[str]:
        """What of `other` built something else, in words; empty where this state will do."""
        if not self.code or not other.code:
            return ["its text isn't known"]
        return [*_changed(self.code, other.code), *(f"parameter {one}" for one in _changed(self.params, other.params))]


def built(notebook: Notebook, name: str, target: Any, values: params_.Values) -> Built:
    """What the processor `target`, called `name` in the notebook, builds its state with; a function has none."""
    if not inspect.isclass(target):
        return Built({"": ""}, {}, {})
    loading = code(notebook, name, [*_LOADING, *_SHAPE, *filter(None, [hook_name(target, "model_loader")])])
    read = set(_params_read(loading))
    of_stream = [*_STREAM, *filter(None, [hook_name(target, "stream_start"), hook_name(target, "stream_stop")])]
    values_read = {key: value for key, value in params_.as_dict(values).items() if key in read}
    return Built(
        _fingerprints(loading, name),
        {**values_read, **params_.load_time(values)},
        _fingerprints(code(notebook, name, of_stream), name),
    )


def used(notebook: Notebook, name: str) -> dict[str, str]:
    """The fingerprints of everything outside of the processor that it uses at all."""
    return {key: mark for key, mark in _fingerprints(code(notebook, name), name).items() if key}


def _fingerprints(found: list[Part], name: str) -> dict[str, str]:
    """By readable name; the class's own may change without a difference."""
    grouped: dict[str, list[ast.AST]] = {}
    for part in found:
        key = "" if part.key == name else part.key.removeprefix(f"{name}.")
        grouped.setdefault(key, []).append(part.node)
    return {key: fingerprint(*nodes) for key, nodes in grouped.items()}


def _params_read(found: list[Part]) -> Iterator[str]:
    """The parameters that code reads as `….params.name`."""
    for part in found:
        for node in ast.walk(part.node):
            match node:
                case ast.Attribute(value=ast.Attribute(attr="params"), attr=name):
                    yield name


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    names = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
    return [f"{name or 'the class line'} changed" for name in names]
