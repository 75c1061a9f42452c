"""Which version of the processor is in force, and how the next one comes to be: state kept, or loaded anew."""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Callable, Iterator

from byoc_nb import params as params_
from byoc_nb.contract import check
from byoc_nb.errors import ByocError
from byoc_nb.notebook.cells import Cell
from byoc_nb.notebook.history import History, Version
from byoc_nb.notebook.loading import Built, built, used
from byoc_nb.processor import method
from byoc_nb.runtime.reload import Reload
from byoc_nb.runtime.slot import ProcessorSlot
from byoc_nb.runtime.stats import describe
from byoc_nb.takeover import StateDoesNotFit

Progress = Callable[[str], None]
PROGRESS_SECONDS = 1.0  # between two words about a load that takes long


class LoadError(ByocError, RuntimeError):
    """The processor could not be built or loaded; `__cause__` is what the user's code raised."""


class Reloading:
    """The processor's cell, the versions before it, and what the state that runs was built with."""

    def __init__(self) -> None:
        self.cell: Cell | None = None
        self.history = History()
        self._built: Built | None = None
        self._last: Reload | None = None
        self._lock = threading.Lock()  # a file that is watched comes from another thread
        self._used: dict[str, str] = {}  # what the processor uses of the notebook

    def use(
        self,
        cell: Cell,
        slot: ProcessorSlot | None,
        *,
        fresh: bool = False,
        alone: bool = False,
        progress: Progress = lambda line: None,
    ) -> Reload | None:
        """Make the cell's processor the current one; with a slot, between two frames.

        Its state is kept if nothing that built it has changed, unless `fresh`. `alone`: the old one is freed first.
        `progress` hears of a load that takes long. Raises NotAProcessor, ParamsError or LoadError; then the old one
        goes on serving.
        """
        with self._lock:
            return self._use(cell, slot, fresh, alone, progress)

    def _use(
        self, cell: Cell, slot: ProcessorSlot | None, fresh: bool, alone: bool, progress: Progress
    ) -> Reload | None:
        check(cell.target)
        if slot is not None and self._last is not None:  # whose trial may be going to end in a rollback right now
            slot.accept()
            self._last.wait(PROGRESS_SECONDS)
        if slot is None or slot.current is None:
            self._in_force(cell, "ready", {})
            return None
        held = params_.chosen(slot.current.processor.values)
        now = self._build(cell, slot)
        why = ["asked for"] if fresh or alone else self._differences(cell, now)
        before = self.cell, self.history.current, self._built, self._used
        try:
            reload = None if why else self._keep(cell, slot, now, why)
            if reload is None:
                with _spoken(progress, f"loading {cell.name}"):
                    reload = slot.replace(cell.target, why=", ".join(why), free_first=alone)
        except Exception as error:
            old = self.cell.name if self.cell else "the old processor"
            raise LoadError(
                f"{cell.name} could not be loaded, {old} goes on: {describe(error)}", hint=_hint(error)
            ) from error
        version = self._in_force(cell, str(reload), held)
        self._built, self._used = now, used(cell.notebook, cell.name)
        self._last = reload
        reload.on_rollback(lambda reload: self._undo(version, *before))
        return reload

    def loaded(self, slot: ProcessorSlot) -> None:
        """The slot has loaded the current cell's processor from nothing."""
        if self.cell is not None and slot.current is not None:
            self._built = built(self.cell.notebook, self.cell.name, self.cell.target, slot.current.processor.values)
            self._used = used(self.cell.notebook, self.cell.name)

    def noticed(self) -> str:
        """After another cell ran: what it changed of what the running processor uses, in one line, or nothing."""
        if not self._lock.acquire(blocking=False):  # another version is just coming into force
            return ""
        try:
            return self._noticed()
        finally:
            self._lock.release()

    def _noticed(self) -> str:
        if self.cell is None or self._built is None:
            return ""
        now = used(self.cell.notebook, self.cell.name)
        changed = sorted(name for name, mark in now.items() if name in self._used and self._used[name] != mark)
        self._used = now
        if not changed:
            return ""
        names, verb = ", ".join(changed), "is" if len(changed) == 1 else "are"
        statement = self.cell.notebook.definition(self.cell.name)
        if loading := [name for name in changed if name in self._built.code]:
            what = ", ".join(loading)
            return f"{what} changed, and loading uses it: %%byoc --fresh in the processor's cell loads anew"
        if statement is not None and set(changed) & statement.names.now.keys():
            return f"{names} {verb} new · the class was made with the old one: run the processor's cell again"
        return f"{names} {verb} new · frames use it from now on"

    # ---- internals

    def _build(self, cell: Cell, slot: ProcessorSlot) -> Built:
        """What the cell's processor would be built with, under the parameters that are set now."""
        model = getattr(cell.target, "Params", None) if inspect.isclass(cell.target) else None
        held = params_.chosen(slot.current.processor.values) if slot.current else {}
        return built(cell.notebook, cell.name, cell.target, params_.carry_over(model, held)[0])

    def _differences(self, cell: Cell, now: Built) -> list[str]:
        if self._built is None:
            return ["its text isn't known"]
        why = self._built.differs(now)
        if why and self.cell is not None and self.cell.name != cell.name:
            return ["another processor"]
        if self._built.stream != now.stream and method(cell.target, "shutdown") is not None:
            why.append("a stream hook changed, and shutdown would free the state")
        return why

    def _keep(self, cell: Cell, slot: ProcessorSlot, now: Built, why: list[str]) -> Reload | None:
        """The swap with the state kept, or None and the reason in `why`."""
        try:
            return slot.keep(cell.target, hooks_changed=self._built is not None and self._built.stream != now.stream)
        except StateDoesNotFit as error:
            why.append(str(error))
        except TimeoutError:
            why.append("the old one hangs")
        return None

    def _in_force(self, cell: Cell, what: str, held: dict[str, object]) -> Version:
        if self.history.current is not None:
            self.history.current.params = held
        self.cell = cell
        return self.history.add(cell.name, cell.text, what, cell.target)

    def _undo(
        self, version: Version, cell: Cell | None, former: Version | None, state: Built | None, uses: dict[str, str]
    ) -> None:
        if self.history.current is version:
            self.cell, self._built, self._used = cell, state, uses
        self.history.undo(version, former)


@contextlib.contextmanager
def _spoken(progress: Progress, what: str) -> Iterator[None]:
    """Say once a second how long it takes."""
    over = threading.Event()

    def speak() -> None:
        seconds = 0
        while not over.wait(PROGRESS_SECONDS):
            seconds += 1
            progress(f"{what}… {seconds} s")
        progress("")

    speaking = threading.Thread(target=speak, name="byoc-progress", daemon=True)
    speaking.start()
    try:
        yield
    finally:
        over.set()
        speaking.join()


def _hint(error: BaseException | None) -> str:
    while error is not None:
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return "%%byoc --replace frees the old one first; frames pass through meanwhile"
        error = error.__cause__ or error.__context__
    return "mend the cell and run it again"
