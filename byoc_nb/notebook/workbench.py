"""The workbench: everything that the magics do, as methods of one object.

`byoc_nb.workbench` is the one of this process. Its methods belong to the notebook's thread; the work happens on threads
of its own, so that a cell that blocks the kernel costs the stream nothing. Nothing here prints but the lines about a
file that is watched.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byoc_nb import params as params_
from byoc_nb.dashboard.hub import Hub
from byoc_nb.errors import ByocError
from byoc_nb.export import Export, Finding, image
from byoc_nb.export.image import Say
from byoc_nb.network.record import PendingRecording, Recording, check_target, record
from byoc_nb.network.source import Source
from byoc_nb.notebook import running
from byoc_nb.notebook.cells import Cell, CellError
from byoc_nb.notebook.exporting import Exporting
from byoc_nb.notebook.history import History
from byoc_nb.notebook.reloading import Reloading
from byoc_nb.notebook.serving import Address, Serving
from byoc_nb.notebook.show import Status, next_pair, nothing_runs, side_by_side
from byoc_nb.notebook.watch import FileWatch
from byoc_nb.runtime.pipeline import Policy
from byoc_nb.runtime.reload import Reload
from byoc_nb.source import Notebook


class WorkbenchError(ByocError, RuntimeError):
    """What was asked for can't be done now; the hint names the command that comes first."""


@dataclass(frozen=True)
class Playing:
    """What `serve` was asked to stream, and how."""

    source: Any = "testsrc"
    size: tuple[int, int] | None = None
    fps: float | None = None
    loop: bool = True
    policy: Policy = "live"


class Workbench:
    """Holds the notebook's processor cell and, while it serves, the server around it.

    `shell` is IPython's, where there is one: with it cells can be run and the dashboard be shown.
    """

    def __init__(self, shell: Any = None) -> None:
        self.notebook = Notebook()  # what the kernel ran
        self.reloading = Reloading()
        self._shell = shell
        self._serving: Serving | None = None
        self._playing: Playing | None = None
        self._params: dict[str, Any] = {}  # kept while nothing serves
        self._watch: FileWatch | None = None
        self._exporting = Exporting(self.reloading)
        self._dashboard: Any = None  # byoc_nb.dashboard.widget.Dashboard, once it was shown
        self._shown = -1  # the number of the cell that showed it last

    # ---- the processor

    @property
    def cell(self) -> Cell | None:
        """The processor's cell that is in force."""
        return self.reloading.cell

    @property
    def history(self) -> History:
        """The versions of this session."""
        return self.reloading.history

    def run_cell(self, text: str, *, name: str = "", **options: Any) -> Reload | None:
        """Run a cell's text in the notebook and `use` its processor, as `%%byoc` does. `name`: which, of several.

        Raises CellError where there is no notebook, or the cell raises; then the old processor goes on serving.
        """
        if self._shell is None:
            raise CellError("only a notebook runs cells", hint="workbench.use takes a class, a function or FILE.py")
        try:
            cell = running.run(self._shell, self.notebook, text, name)
        except running.CellRaised as error:
            keeps = f"; {self.cell.name} goes on serving" if self.serving and self.cell else ""
            raise CellError(f"{error}{keeps}") from None
        self._watched(None)  # a cell takes over from a file
        return self.use(cell, **options)

    def use(self, processor: Any, **options: Any) -> Reload | None:
        """Make a processor the current one, between two frames where a stream runs; see `Reloading.use` for `options`.

        A class or function of the notebook or of a module, `FILE.py` or `FILE.py:NAME`, or a Cell.
        """
        if isinstance(processor, str):
            processor = running.of_file(processor)
        elif not isinstance(processor, Cell):
            processor = running.of_object(processor, self.notebook, getattr(self._shell, "user_ns", None))
        return self.reloading.use(processor, self._serving.slot if self._serving else None, **options)

    def rollback(self, version: int | None = None, **options: Any) -> Reload | None:
        """Run an earlier version's cell again, with the parameters that it had: of this number, else the one before."""
        wanted = self.history.find(version)
        if self.cell is not None and self.cell.namespace is not getattr(self._shell, "user_ns", None):
            raise CellError("the processor comes from a file", hint="undo the edit there, and save it")
        params = dict(wanted.params)
        reload = self.run_cell(wanted.text, name=wanted.name, **options)
        self.restore(params)
        return reload

    def _watched(self, spec: str | None) -> None:
        """Use the processor of this file again whenever it is saved; None watches no more."""
        if self._watch is not None and self._watch.spec != spec:
            self._watch.stop()
            self._watch = None
        if spec is not None and self._watch is None:
            text = self.cell.text if self.cell else ""
            self._watch = FileWatch(spec, text, self.use, print)  # in the output of the cell that serves

    # ---- serving

    @property
    def serving(self) -> bool:
        """Whether the server is up."""
        return self._serving is not None

    @property
    def streaming(self) -> bool:
        """Whether a stream runs."""
        return self._serving is not None and self._serving.streaming

    @property
    def urls(self) -> dict[str, str]:
        """`rest`, `trickle`, `input`, `output`; empty while nothing serves."""
        return self._serving.urls if self._serving else {}

    def serve(
        self,
        source: Any = "testsrc",
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

        `source`: see `Source`. `processor`: a file (`FILE.py` or `FILE.py:NAME`) whose processor becomes the current
        one, now and whenever the file is saved.

        `port` and `host` stay as they are where a server runs, else 8000 (or BYOC_PORT's value) and 127.0.0.1.
        The same arguments again reuse what runs; others change it, with the processor still loaded. Whatever raises
        (SourceError, PortInUse, LoadError, StreamRefused) leaves what was running as it was.
        """
        if processor is not None and (self._watch is None or self._watch.spec != processor):
            self.use(processor)
            self._watched(processor)
        address, playing = self._address(port, host), Playing(source, size, fps, loop, policy)
        if self.cell is None:
            raise WorkbenchError("there is no processor yet", hint="run a cell that begins with %%byoc first")
        serving = self._serving
        if serving is not None and serving.streaming and (address, playing) == (serving.address, self._playing):
            return f"already serving {self.cell.name} at {self.urls['rest']} · source {source} · %byoc stop ends it"
        video = Source(source, size=size, fps=fps, loop=loop)  # raises before anything is touched
        try:
            if serving is None:
                serving = Serving(self.cell, address, self._params)
                self._serving = serving
                self.reloading.loaded(serving.slot)
            serving.move(self.cell, address)
        except BaseException:
            video.join(1.0)
            raise
        self._playing = playing
        serving.play(video, policy)
        urls = serving.urls
        where = f"input {urls['input']} · output {urls['output']}"
        return f"serving {self.cell.name} at {urls['rest']} · source {source} · {where}"

    def _address(self, port: int | None, host: str | None) -> Address:
        runs = self._serving.address if self._serving else None
        if port is None:
            wanted = os.environ.get("BYOC_PORT", "8000")
            if runs is None and not (wanted.isdecimal() and int(wanted) <= 65535):
                raise WorkbenchError(f"BYOC_PORT is {wanted!r}", hint="give it a port, 0 to 65535")
            port = runs.port if runs else int(wanted)
        return Address(host or (runs.host if runs else "127.0.0.1"), port)

    def stop(self) -> bool:
        """End the stream, the server and every thread; the cell and the parameters are kept. False if nothing ran."""
        self._watched(None)
        serving, self._serving = self._serving, None
        if serving is None:
            return False
        self._params = params_.chosen(serving.values)
        serving.close()
        return True

    # ---- parameters

    def params(self, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Change parameters and return all of them. Raises ParamsError (nothing is changed) or WorkbenchError."""
        if self._serving is None:
            return self._params_for_later(changes or {})
        if changes:
            self._serving.apply(changes)
        return params_.as_dict(self._serving.values)

    def _params_for_later(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Set parameters while nothing serves; the next `serve` begins with them."""
        if self.cell is None:
            raise WorkbenchError("there is no processor yet", hint="run a cell that begins with %%byoc first")
        values, _ = params_.carry_over(getattr(self.cell.target, "Params", None), self._params)
        values = params_.merge(values, changes)
        self._params = params_.chosen(values)
        return params_.as_dict(values)

    def restore(self, values: Mapping[str, Any]) -> None:
        """Set exactly these parameters, all others to their defaults; what no longer fits is left out."""
        current = self._serving.slot.current if self._serving else None
        if current is None:
            self._params = dict(values)
            return
        processor = current.processor
        defaults = params_.as_dict(params_.initial(processor.model))
        reset = {name: defaults[name] for name in params_.chosen(processor.values) if name in defaults}
        changes = params_.chosen(params_.carry_over(processor.model, values)[0])
        if reset or changes:
            self.params({**reset, **changes})

    # ---- looking

    @property
    def hub(self) -> Hub | None:
        """The dashboards of the server."""
        return self._serving.hub if self._serving else None

    def show(self) -> None:
        """Show the live dashboard under the cell that runs, once; raises WorkbenchError where there is no notebook."""
        if getattr(self._shell, "kernel", None) is None:
            raise WorkbenchError("only a notebook shows the dashboard", hint="run this in JupyterLab")
        if self.hub is None or self._shell.execution_count == self._shown:
            return
        self._shown = self._shell.execution_count
        if self._dashboard is None:
            from byoc_nb.dashboard.widget import Dashboard

            self._dashboard = Dashboard(self._shell)
        self._dashboard.show(self.hub)

    def _ipython_display_(self) -> None:
        if self.hub is not None and getattr(self._shell, "kernel", None) is not None:
            self.show()
        else:
            print(repr(self))  # noqa: T201

    def __repr__(self) -> str:
        name = self.cell.name if self.cell else "no processor yet"
        return f"<byoc_nb workbench: {name}, {self.urls.get('rest', 'not serving')}>"

    def status(self) -> Status:
        """What runs and how; a mapping that a notebook shows as a small table."""
        figures = nothing_runs(self.cell.name if self.cell else None)
        if self._serving is None:
            return Status(figures, params={} if self.cell is None else self._params_for_later({}))
        server = self._serving.server
        session = server.session
        figures |= {
            "state": "running" if server.active else f"ended: {session.reason}" if session else "ended",
            "reloads": self._serving.slot.reloads,
            "params": params_.as_dict(self._serving.values),
            "urls": self.urls,
        }
        return Status(figures | (session.stats.snapshot() if session else {}))

    def preview(self, timeout: float = 10.0) -> bytes:
        """The next input picture and what became of it, side by side, as JPEG bytes.

        Waits up to `timeout` seconds for it, then takes the last one of the processor; raises WorkbenchError if there
        is none.
        """
        session = self._serving.server.session if self._serving else None
        if session is None:
            raise WorkbenchError("no frame has come through yet", hint="%byoc serve starts a stream")
        pair = next_pair(session, timeout)
        if pair is None:
            name = self.cell.name if self.cell else "the processor"
            raise WorkbenchError(f"no picture from {name} in {timeout:.0f} s", hint="%byoc status tells what is known")
        return side_by_side(*pair)

    def record(
        self, path: str | Path, seconds: float = 5.0, *, channel: str = "output", background: bool = False
    ) -> Recording | PendingRecording:
        """Record `seconds` of the processed stream (or of `channel="input"`) through trickle into a file.

        With `background`, returns at once; `.wait()` gives the result. Raises RecordError or WorkbenchError.
        """
        if self._serving is None:
            raise WorkbenchError("nothing is running that could be recorded", hint="%byoc serve")
        if channel not in ("input", "output"):
            raise WorkbenchError(f"there is no channel {channel!r}", hint="record input or output")
        check_target(Path(path))
        future = self._serving.submit(record(self.urls[channel], Path(path), seconds))
        pending = PendingRecording(future, Path(path))
        if background:
            return pending
        try:
            return pending.wait()
        except BaseException:  # an interrupted cell must not go on recording
            future.cancel()
            raise

    # ---- leaving

    def check(self, **options: Any) -> list[Finding]:
        """What an export would stop at or warn of; `max_constant` in bytes as for an export."""
        return self._exporting.check(self._chosen(), **options)

    def export(self, folder: str | Path, *, prove: bool = True, tolerance: int = 0, **options: Any) -> Export:
        """Freeze the processor's cell and all that it needs into a container folder; see `byoc_nb.export.export`.

        Unless `prove` is off, the export must then make the same pictures of what flows now, or of a bundled clip where
        nothing does, up to a `tolerance` of 255.
        """
        stream = self._serving if self.streaming else None
        return self._exporting.export(
            Path(folder).expanduser(), self._chosen(), stream, prove=prove, tolerance=tolerance, **options
        )

    def build(self, folder: str | Path | None = None, *, say: Say = print, **options: Any) -> str:
        """Build the image of a folder, or of the last export; gives its name. See `image.build`; raises ImageError."""
        return image.build(self._exporting.folder(folder), say=say, **options)

    def push(self, tag: str, folder: str | Path | None = None, *, say: Say = print, **options: Any) -> str:
        """Push that image as `tag` (REGISTRY/NAME:TAG); gives its digest. Raises ImageError."""
        return image.push(self._exporting.folder(folder), tag, say=say, **options)

    def run(self, folder: str | Path | None = None, *, say: Say = print, **options: Any) -> None:
        """Run that image here until it ends or is interrupted. See `image.run`; raises ImageError."""
        image.run(self._exporting.folder(folder), say=say, **options)

    def _chosen(self) -> dict[str, Any]:
        """The parameters that were set on purpose."""
        return params_.chosen(self._serving.values) if self._serving else self._params
