"""pytrickle's handler decorators: they mark a function as one of a processor's hooks.

The marked function is returned as it is; `byoc_nb.dialects` finds it by the mark. Handlers may be sync or async.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

MARK = "_trickle_handler_type"  # pytrickle's own attribute, so that its handlers are recognised too


def _decorator(kind: str) -> Any:
    def mark(func: Any = None, **options: Any) -> Any:
        def apply(target: F) -> F:
            setattr(getattr(target, "__func__", target), MARK, kind)  # what a classmethod or staticmethod holds
            return target

        return apply if func is None else apply(func)

    mark.__name__ = f"{kind}_handler"
    mark.__doc__ = f"Mark a function as the {kind.replace('_', ' ')} hook; usable with or without parentheses."
    return mark


video_handler = _decorator("video")
audio_handler = _decorator("audio")
model_loader = _decorator("model_loader")
param_updater = _decorator("param_updater")
on_stream_start = _decorator("stream_start")
on_stream_stop = _decorator("stream_stop")
