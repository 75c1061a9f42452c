"""Keeping the record of what the kernel ran: IPython's events around every cell, written into a `Notebook`."""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from byoc_nb.notebook.cells import as_python, is_processors
from byoc_nb.source import Notebook, forget

FORGET_CELLS = 50  # a cell of 300 lines takes half a megabyte, and people run one hundreds of times
logger = logging.getLogger(__name__)


class Recorder:
    """Records the cells of a shell from `start` to `stop`, and those that ran before.

    A cell under `%%byoc` is recorded by its magic, which runs it.
    """

    def __init__(self, shell: Any, notebook: Notebook) -> None:
        self._shell, self._notebook = shell, notebook
        self._taken = 0  # the last cell that the history had, which may be the one that loads the extension
        self._events = {"pre_run_cell": self._before, "post_run_cell": self._after}

    def start(self) -> None:
        """Take down the history, then everything that follows."""
        before = list(self._shell.history_manager.input_hist_raw)[1:]  # the first is a placeholder
        for number, raw in enumerate(before, 1):
            self._notebook.ran(as_python(raw, self._shell.transform_cell), number)
        self._taken = len(before)
        self._notebook.look(self._shell.user_ns)
        for event, callback in self._events.items():
            self._shell.events.register(event, callback)

    def stop(self) -> None:
        """Record nothing any more."""
        for event, callback in self._events.items():
            if callback in self._shell.events.callbacks[event]:
                self._shell.events.unregister(event, callback)

    def _before(self, info: Any) -> None:
        if info.store_history:
            self._notebook.look(self._shell.user_ns)  # what a widget or a thread did since the last cell

    def _after(self, result: Any) -> None:
        raw = result.info.raw_cell
        if result.execution_count == self._taken:
            self._notebook.look(self._shell.user_ns)
            return
        if not result.info.store_history or result.error_before_exec is not None or is_processors(raw):
            return
        in_magic = raw.lstrip().startswith("%%")
        skipped = raw[: len(raw) - len(raw.lstrip())].count("\n") + in_magic
        text = as_python(raw, self._shell.transform_cell)
        record(self._shell, self._notebook, text, result.execution_count, result, skipped=skipped, in_magic=in_magic)


def record(
    shell: Any, notebook: Notebook, text: str, number: int, result: Any, *, skipped: int = 0, in_magic: bool = False
) -> None:
    """Note down a cell that was run: its `text`, whose lines are `skipped` more than those of what IPython ran."""
    try:
        line = _failed_line(result.error_in_exec, shell.user_ns, in_magic=in_magic)
        notebook.ran(
            text,
            number,
            shown=result.result is not None,
            failed_line=line and line + skipped,
            namespace=shell.user_ns,
        )
        if len(notebook.cells) % FORGET_CELLS == 0:
            forget(notebook)
    except Exception:  # a record that fails must not disturb the user's own cells
        logger.exception("cell [%s] was not recorded; an export can't follow it", number)


def current_cell(shell: Any) -> int:
    """The number of the cell that is running; versions of IPython differ in when they count it."""
    return len(shell.history_manager.input_hist_raw) - 1


def _failed_line(error: BaseException | None, namespace: MutableMapping[str, Any], *, in_magic: bool) -> int:
    """The line of the cell on which it raised, 0 if it didn't. In a magic, the cell that it runs is the inner one."""
    lines = [1] if error else [0]
    traceback = error.__traceback__ if error else None
    while traceback is not None:
        if traceback.tb_frame.f_globals is namespace and traceback.tb_frame.f_code.co_name == "<module>":
            lines.append(traceback.tb_lineno)
        traceback = traceback.tb_next
    return lines[-1] if in_magic or len(lines) == 1 else lines[1]
