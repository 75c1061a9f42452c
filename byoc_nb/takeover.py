"""New code for a processor that lives on: its state stays where it is, its class becomes another."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from byoc_nb import params as params_
from byoc_nb.dialects import Processor
from byoc_nb.errors import ByocError


class StateDoesNotFit(ByocError, TypeError):
    """The old processor's state can't belong to the new class."""


def take_over(old: Processor, target: Any) -> tuple[Processor, dict[str, str], Callable[[], None]]:
    """The processor `old` with the code of the class or function `target`; between two frames, on its own thread.

    Returns it, what became of parameters that couldn't stay (see `params.carry_over`), and a function that takes
    everything back: class, attributes (not what is inside of them) and parameters. Raises StateDoesNotFit
    (`__slots__`, a base in C), and whatever `target` is wrong about; then nothing has changed.
    """
    held = params_.chosen(old.values)
    instance = old.instance
    if instance is None or not inspect.isclass(target):
        if instance is not None or inspect.isclass(target):
            raise StateDoesNotFit("a function has no state that a class could take over, nor the other way round")
        new, undo = Processor(target), _nothing
    else:
        if not hasattr(instance, "__dict__"):
            raise StateDoesNotFit("a class with __slots__ can't take over another one's state")
        kind, state = type(instance), dict(vars(instance))

        def undo() -> None:
            instance.__class__ = kind
            vars(instance).clear()
            vars(instance).update(state)

        try:
            instance.__class__ = target
        except TypeError as error:
            raise StateDoesNotFit(str(error)) from None
        try:
            if old.publishes:
                vars(instance)["params"] = {}  # an empty one is ours to fill, with or without a model
            new = Processor(instance)
        except BaseException:
            undo()
            raise
    try:
        values, changed = params_.carry_over(new.model, held)
    except BaseException:
        undo()
        raise
    new.put(values)
    return new, changed, undo


def _nothing() -> None:
    """A function has no state to restore."""
