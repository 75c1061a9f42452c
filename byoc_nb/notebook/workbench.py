"""The workbench: everything that the magics do, as methods of one object.

Its methods belong to the notebook's thread; the work happens on threads of its own, so that a cell that blocks the
kernel costs the stream nothing.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byoc_nb import params as params_
from byoc_nb.dashboard.hub import Hub
from byoc_nb.errors import ByocError
from byoc_nb.export import Export, Finding, check, export
from byoc_nb.network.local import LocalNetwork
from byoc_nb.network.record import PendingRecording, Recording, check_target, record
from byoc_nb.network.source import Source
from byoc_nb.notebook.capturing import captured
from byoc_nb.notebook.cells import Cell
from byoc_nb.notebook.history import History
from byoc_nb.notebook.reloading import LoadError, Reloading
from byoc_nb.notebook.show import Status, nothing_runs, side_by_side
from byoc_nb.notebook.watch import FileWatch, cell_of
from byoc_nb.runtime.pipeline import Policy
from byoc_nb.runtime.reload import Reload
from byoc_nb.runtime.slot import ProcessorSlot
from byoc_nb.runtime.stats import describe
from byoc_nb.runtime.threads import LoopThread
from byoc_nb.source import Notebook

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 15.0
# How long a thread may hold the interpreter while others wait. At Python's 5 ms a cell that computes in pure Python
# halves a stream of 30 fps (the video's threads ask for it some ten times a frame); at 0.5 ms all frames come through.
SWITCH_SECONDS = 0.0005


class WorkbenchError(ByocError, RuntimeError):
    """What was asked for can't be done now; the hint names the command that comes first."""


@dataclass(frozen=True)
class ServeOptions:
    """What `serve` was called with."""

    source: str = "testsrc"
    port: int = 8000
    host: str = "127.0.0.1"
    size: tuple[int, int] | None = None
    fps: float | None = None
    loop: bool = True
    policy: Policy = "live"


class Workbench:
    """Holds the notebook's processor cell and, while it serves, the local network around it."""

    def __init__(self) -> None:
        self.notebook = Notebook()  # what the kernel ran
        self.reloading = Reloading()
        self.options: ServeOptions | None = None
        self._io: LoopThread | None = None
        self._slot: ProcessorSlot | None = None
        self._network: LocalNetwork | None = None
        self.hub: Hub | None = None  # the dashboards of the running server, or of the last one
        self._params: dict[str, Any] = {}  # kept while nothing serves
        self._watch: FileWatch | None = None
        self._exported: Export | None = None  # the last one
        self._switch_seconds = sys.getswitchinterval()

    # ---- the processor

    @property
    def cell(self) -> Cell | None:
        """The processor's cell that is in force."""
        return self.reloading.cell

    @property
    def history(self) -> History:
        """The versions of this session."""
        return self.reloading.history

    def use(self, cell: Cell, **options: Any) -> Reload | None:
        """Make the cell's processor the current one; swaps it in when a server runs; see `Reloading.use`."""
        return self.reloading.use(cell, self._slot, **options)

    def watch(self, spec: str | None) -> None:
        """Use the processor of this file again whenever it is saved; None watches no more."""
        if self._watch is not None and self._watch.spec != spec:
            self._watch.stop()
            self._watch = None
        if spec is not None and self._watch is None:
            text = self.cell.text if self.cell else ""
            self._watch = FileWatch(spec, text, self.use, print)  # in the output of the cell that serves

    def restore(self, values: Mapping[str, Any]) -> None:
        """Set exactly these parameters, all others to their defaults; what no longer fits is left out."""
        current = self._slot.current if self._slot else None
        if current is None:
            self._params = dict(values)
            return
        processor = current.processor
        defaults = params_.as_dict(params_.initial(processor.model))
        reset = {name: defaults[name] for name in params_.chosen(processor.values) if name in defaults}
        changes = params_.chosen(params_.carry_over(processor.model, values)[0])
        if reset or changes:
            self.params({**reset, **changes})

    # ---- serving

    @property
    def serving(self) -> bool:
        """Whether the server is up."""
        return self._network is not None

    @property
    def streaming(self) -> bool:
        """Whether a stream runs."""
        return self._network is not None and self._network.server.active

    @property
    def urls(self) -> dict[str, str]:
        """`rest`, `trickle`, `input`, `output`; empty while nothing serves."""
        return self._network.urls if self._network else {}

    def serve(
        self,
        source: str = "testsrc",
        *,
        port: int | None = None,
        host: str | None = None,
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        loop: bool = True,
        policy: Policy = "live",
        processor: str | None = None,
    ) -> str:
        """Serve the current processor and stream `source` through it; returns a line that says what was done.

        `processor`: a file (`FILE.py` or `FILE.py:NAME`) whose processor becomes the current one, now and whenever the
        file is saved.

        `port` and `host` stay as they are where a server runs, else 8000 (or BYOC_PORT's value) and 127.0.0.1.
        The same arguments again reuse what runs; others change it, with the processor still loaded. Whatever raises
        (SourceError, PortInUse, LoadError, StreamRefused) leaves what was running as it was.
        """
        if processor is not None and (self._watch is None or self._watch.spec != processor):
            self.use(cell_of(processor))
            self.watch(processor)
        options = ServeOptions(source, *self._address(port, host), size, fps, loop, policy)
        if self.cell is None:
            raise WorkbenchError("there is no processor yet", hint="run a cell that begins with %%byoc first")
        if self._network is not None and options == self.options and self._network.server.active:
            return f"already serving {self.cell.name} at {self.urls['rest']} · source {source} · %byoc stop ends it"
        video = Source(source, size=size, fps=fps, loop=loop)  # raises before anything is touched
        try:
            network = self._listen(options)
        except BaseException:
            video.join(1.0)
            raise
        assert self._io is not None
        self.options = options
        self._io.run(network.play(video, policy=policy))
        urls = network.urls
        where = f"input {urls['input']} · output {urls['output']}"
        return f"serving {self.cell.name} at {urls['rest']} · source {source} · {where}"

    def _address(self, port: int | None, host: str | None) -> tuple[int, str]:
        runs = self.options if self.serving else None
        if port is None:
            wanted = os.environ.get("BYOC_PORT", "8000")
            if runs is None and not (wanted.isdecimal() and int(wanted) <= 65535):
                raise WorkbenchError(f"BYOC_PORT is {wanted!r}", hint="give it a port, 0 to 65535")
            port = runs.port if runs else int(wanted)
        return port, host or (runs.host if runs else "127.0.0.1")

    def _listen(self, options: ServeOptions) -> LocalNetwork:
        """The network on the wanted host and port: the running one, or a new one with the same loaded processor."""
        assert self.cell is not None
        old, before = self._network, self.options
        if old is not None and before and (before.host, before.port) == (options.host, options.port):
            return old
        io = self._io = self._io or LoopThread("byoc-io")
        sys.setswitchinterval(SWITCH_SECONDS)
        over = threading.Event()
        try:
            network, hub = io.run(self._open(self.cell, options.host, options.port, over))
            if old is not None:
                io.run(old.close(), CLOSE_SECONDS)
        except BaseException:
            if old is None:
                self._io = None
                over.wait(CLOSE_SECONDS)  # an interrupted cell: the port is free again before the loop ends
                io.stop()
                sys.setswitchinterval(self._switch_seconds)
            raise
        self._network, self.hub = network, hub
        return network

    async def _open(self, cell: Cell, host: str, port: int, over: threading.Event) -> tuple[LocalNetwork, Hub]:
        """Listen and load; `over` is set when that is done, or undone."""
        try:
            return await self._listen_and_load(cell, host, port)
        finally:
            over.set()

    async def _listen_and_load(self, cell: Cell, host: str, port: int) -> tuple[LocalNetwork, Hub]:
        slot = self._slot or ProcessorSlot()
        network = LocalNetwork(slot, cell.target, host=host, port=port)
        hub = Hub(network.server)
        await network.listen()
        if self._slot is None:
            try:
                await slot.load(cell.target, self._params)
                await self._restore_params(slot)
                self.reloading.loaded(slot)
            except BaseException as error:
                await network.close()
                slot.close()
                if not isinstance(error, Exception):
                    raise
                hint = "mend the cell, run it again, then %byoc serve"
                raise LoadError(f"{cell.name} could not be loaded: {describe(error)}", hint=hint) from error
            self._slot = slot
        return network, hub

    async def _restore_params(self, slot: ProcessorSlot) -> None:
        """The parameters that were set before a stop, as far as they still fit."""
        if self._params and slot.current is not None:
            values, dropped = params_.carry_over(slot.current.processor.model, self._params)
            try:
                await asyncio.wrap_future(slot.apply(params_.chosen(values), ignore_unknown=True))
            except Exception as error:  # the processor's own update_params: it goes on with its defaults
                slot.current.processor.put(params_.initial(slot.current.processor.model))
                logger.warning("the parameters from before could not be restored: %s", describe(error))
            for name, why in dropped.items():
                logger.warning("the parameter %s from before was dropped: %s", name, why)

    def stop(self) -> bool:
        """End the stream, the server and every thread; the cell and the parameters are kept. False if nothing ran."""
        self.watch(None)
        io, network, slot = self._io, self._network, self._slot
        if io is None:
            return False
        if slot is not None and slot.current is not None:
            self._params = params_.chosen(slot.current.processor.values)
        self._io = self._network = self._slot = None
        try:
            if network is not None:
                io.run(network.close(), CLOSE_SECONDS)
        finally:
            if slot is not None:
                slot.close()
            io.stop()
            sys.setswitchinterval(self._switch_seconds)
        return True

    # ---- parameters

    def params(self, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Change parameters and return all of them. Raises ParamsError (nothing is changed) or WorkbenchError."""
        if self._slot is None or self._network is None or self._io is None:
            return self._params_for_later(changes or {})
        if changes:
            if self._network.server.active:
                self._io.run(self._network.server.update_params(changes))
            else:
                self._slot.apply(changes).result()
        current = self._slot.current
        return params_.as_dict(current.processor.values) if current else {}

    def _params_for_later(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Set parameters while nothing serves; the next `serve` begins with them."""
        if self.cell is None:
            raise WorkbenchError("there is no processor yet", hint="run a cell that begins with %%byoc first")
        values, _ = params_.carry_over(getattr(self.cell.target, "Params", None), self._params)
        values = params_.merge(values, changes)
        self._params = params_.chosen(values)
        return params_.as_dict(values)

    # ---- looking

    def status(self) -> Status:
        """What runs and how; a mapping that a notebook shows as a small table."""
        figures = nothing_runs(self.cell.name if self.cell else None)
        network, slot = self._network, self._slot
        if network is None or slot is None or slot.current is None:
            return Status(figures, params={} if self.cell is None else self._params_for_later({}))
        session = network.server.session
        figures |= {
            "state": "running" if network.server.active else f"ended: {session.reason}" if session else "ended",
            "reloads": slot.reloads,
            "params": params_.as_dict(slot.current.processor.values),
            "urls": network.urls,
        }
        return Status(figures | (session.stats.snapshot() if session else {}))

    def preview(self, timeout: float = 10.0) -> bytes:
        """The next input picture and what became of it, side by side, as JPEG bytes.

        Waits up to `timeout` seconds for it, then takes the last one of the processor; raises WorkbenchError if there
        is none.
        """
        session = self._network.server.session if self._network else None
        if session is None:
            raise WorkbenchError("no frame has come through yet", hint="%byoc serve starts a stream")
        before, deadline, pause = session.pipeline.newest, time.monotonic() + timeout, threading.Event()
        while session.pipeline.newest is before and not session.ended and time.monotonic() < deadline:
            pause.wait(0.01)
        newest = session.pipeline.newest
        if newest is None:
            name = self.cell.name if self.cell else "the processor"
            raise WorkbenchError(f"no picture from {name} in {timeout:.0f} s", hint="%byoc status tells what is known")
        return side_by_side(*newest)

    def record(
        self, path: str | Path, seconds: float = 5.0, *, channel: str = "output", background: bool = False
    ) -> Recording | PendingRecording:
        """Record `seconds` of the processed stream (or of `channel="input"`) through trickle into a file.

        With `background`, returns at once; `.wait()` gives the result. Raises RecordError or WorkbenchError.
        """
        if self._io is None or self._network is None:
            raise WorkbenchError("nothing is running that could be recorded", hint="%byoc serve")
        if channel not in ("input", "output"):
            raise WorkbenchError(f"there is no channel {channel!r}", hint="record input or output")
        check_target(Path(path))
        future = self._io.submit(record(self.urls[channel], Path(path), seconds))
        pending = PendingRecording(future, Path(path))
        if background:
            return pending
        try:
            return pending.wait()
        except BaseException:  # an interrupted cell must not go on recording
            future.cancel()
            raise

    # ---- leaving

    def check(self, *, max_constant: int) -> list[Finding]:
        """What an export would stop at or warn of."""
        cell = self._for_export()
        return check(cell.notebook, cell.name, cell.namespace, params=self._chosen(), max_constant=max_constant)

    def export(self, folder: Path, *, prove: bool = True, tolerance: int = 0, **options: Any) -> Export:
        """Freeze the processor's cell and all that it needs into a container folder; see `byoc_nb.export.export`.

        Unless `prove` is off, the export must then make the same pictures of what flows now, or of a bundled clip where
        nothing does, up to a `tolerance` of 255.
        """
        cell = self._for_export()
        channel = self.urls["input"] if self.streaming else ""
        options["prove"] = captured(self._io, channel, tolerance) if prove else None
        found = (cell.notebook, cell.name, cell.namespace)
        self._exported = export(folder, *found, params=self._chosen(), hashes=True, **options)
        return self._exported

    def exported(self) -> Path:
        """The folder that was written last; raises WorkbenchError without one."""
        if self._exported is None:
            raise WorkbenchError("nothing was exported yet", hint="%byoc export DIR, or name an exported folder")
        return self._exported.folder

    def _for_export(self) -> Cell:
        if self.cell is None:
            raise WorkbenchError("there is no processor to export", hint="run a cell that begins with %%byoc first")
        if self.history.versions[-1].rolled_back:
            raise WorkbenchError(
                f"{self.cell.name} as it stands in the notebook was rolled back",
                hint="mend its cell and run it again, or %byoc rollback",
            )
        if self.cell.namespace.get(self.cell.name, self.cell.target) is not self.cell.target:
            raise WorkbenchError(
                f"{self.cell.name} was defined again without %%byoc", hint="run its cell with %%byoc in front"
            )
        return self.cell

    def _chosen(self) -> dict[str, Any]:
        """The parameters that were set on purpose."""
        current = self._slot.current if self._slot else None
        return params_.chosen(current.processor.values) if current else self._params
