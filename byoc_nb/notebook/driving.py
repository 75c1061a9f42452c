"""Driving a processor: its cell, the server in the kernel or a container elsewhere, what is streamed, parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from byoc_nb import params as params_
from byoc_nb.dashboard.sources import Sources
from byoc_nb.network.source import Source
from byoc_nb.notebook import running
from byoc_nb.notebook.attaching import Attachment
from byoc_nb.notebook.cells import Cell, CellError
from byoc_nb.notebook.history import History
from byoc_nb.notebook.playing import Playing, generators, named
from byoc_nb.notebook.plot import png
from byoc_nb.notebook.reloading import Reloading
from byoc_nb.notebook.serving import Address, Serving, WorkbenchError
from byoc_nb.notebook.watch import FileWatch
from byoc_nb.runtime.backlog import Policy
from byoc_nb.runtime.interrupt import interrupted_afterwards
from byoc_nb.runtime.registration import variable
from byoc_nb.runtime.reload import Reload
from byoc_nb.source import Notebook


class Driving:
    """Holds the notebook's processor cell, and while it serves, the server around it, or an attached container.

    `shell` is IPython's, where there is one: with it cells can be run and the dashboard be shown.
    """

    def __init__(self, shell: Any = None) -> None:
        self.notebook = Notebook()  # what the kernel ran
        self.reloading = Reloading()
        self._shell = shell
        self._serving: Serving | None = None
        self._attached: Attachment | None = None
        self._playing: Playing | None = None
        self._params: dict[str, Any] = {}  # kept while nothing serves
        self._watch: FileWatch | None = None

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
            processor = running.of_object(processor, self.notebook, self._names)
        return self.reloading.use(processor, self._serving.slot if self._serving else None, **options)

    def rollback(self, version: int | None = None, **options: Any) -> Reload | None:
        """Run an earlier version's cell again, with the parameters that it had: of this number, else the one before."""
        wanted = self.history.find(version)
        if self.cell is not None and self.cell.namespace is not self._names:
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
        return self._live is not None and self._live.streaming

    @property
    def _live(self) -> Serving | Attachment | None:
        """The server in the kernel, or the attached container."""
        return self._serving or self._attached

    @property
    def urls(self) -> dict[str, str]:
        """`rest`, `trickle`, `input`, `output`; empty while nothing serves."""
        return self._live.urls if self._live else {}

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
        The same arguments again reuse what runs; others change it, with the processor still loaded. SourceError,
        PortInUse and LoadError leave what was running as it was; after StreamRefused, which `on_stream_start` may
        cause, the server is up and nothing streams.
        """
        if processor is not None and (self._watch is None or self._watch.spec != processor):
            self.use(processor)
            self._watched(processor)
        if self.cell is None:
            raise WorkbenchError("there is no processor yet", hint="run a cell that begins with %%byoc first")
        if self._attached is not None:
            raise WorkbenchError(f"{self.urls['rest']} is attached", hint="%byoc stop ends that")
        address = Address.wanted(port, host, self._serving.address if self._serving else None)
        playing = Playing(named(source, self._names), size, fps, loop, policy)
        serving = self._serving
        video = serving.source if serving else None
        if serving and video and serving.streaming and address == serving.address and playing.same(self._playing):
            return f"already serving {self.cell.name} at {self.urls['rest']} · source {video.spec} · %byoc stop ends it"
        video = playing.open()  # raises before anything is touched
        try:
            if serving is None:
                serving = self._serving = Serving(self.cell, address, self._params)
                self.reloading.loaded(serving.slot)
            serving.move(self.cell, address)
            self._furnish(serving)
        except BaseException:
            video.join(1.0)
            raise
        serving.run(serving.stream(video, policy))
        self._playing = playing
        return f"serving {self.cell.name} at {self._whereabouts(video)}"

    def attach(
        self,
        url: str,
        source: Any = "testsrc",
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        reach: str = "",
        size: tuple[int, int] | None = None,
        fps: float | None = None,
        loop: bool = True,
    ) -> str:
        """Stream `source` through the container at `url` instead, any that speaks BYOC; returns a line about it.

        Parameters, figures, recordings and the dashboard are then that container's; CAPABILITY_TOKEN is its token.
        `host` and `port`: where our channels are, `reach`: how the container calls this machine (see `RemoteNetwork`).
        Raises SourceError, ContainerError, Refused, PortInUse or WorkbenchError.
        """
        if self._serving is not None:
            raise WorkbenchError("a processor is served here", hint="%byoc stop ends that")
        playing = Playing(named(source, self._names), size, fps, loop)
        video = playing.open()
        try:
            attached, where = self._attached, (url, host, port, reach)
            if attached is None or attached.where != where:
                attached = Attachment(*where, token=variable("CAPABILITY_TOKEN"))
                if self._attached is not None:
                    self._attached.close()
                self._attached = attached
                self._furnish(attached)
        except BaseException:
            video.join(1.0)
            raise
        attached.run(attached.stream(video, playing.policy))
        self._playing = playing
        return f"attached to {self._whereabouts(video)}"

    def source(
        self,
        source: Any = None,
        *,
        seek: float | None = None,
        speed: float | None = None,
        loop: bool | None = None,
    ) -> dict[str, Any]:
        """Stream another source, or go on in the one that is streamed at `seek` seconds, at `speed`; gives what it is.

        Another source begins another stream, with the processor still loaded. Raises SourceError or WorkbenchError.
        """
        live, playing = self._live, self._playing
        if live is None or playing is None:
            raise WorkbenchError("nothing is streamed", hint="%byoc serve")
        if source is not None:
            self._playing = live.run(playing.switch(live, named(source, self._names)))
        video = live.source
        if video is None:
            raise WorkbenchError("the stream has ended", hint="%byoc serve starts another one")
        if loop is not None:
            video.loop = loop
        if speed is not None:
            video.speed = speed
        if seek is not None:
            video.seek(seek)
        return video.describe()

    def _furnish(self, live: Serving | Attachment) -> None:
        """Let the dashboard switch sources, too."""

        async def switch(source: str) -> None:
            if self._playing is not None:
                self._playing = await self._playing.switch(live, named(source, generators(self._names)))

        live.hub.desk.sources = Sources(lambda: live.source, switch, lambda: sorted(generators(self._names)))
        live.hub.desk.plot = lambda: png(live.hub.samples)

    @property
    def _names(self) -> dict[str, Any]:
        """The notebook's names."""
        return getattr(self._shell, "user_ns", {})

    def _whereabouts(self, video: Source) -> str:
        urls = self.urls
        return f"{urls['rest']} · source {video.spec} · input {urls['input']} · output {urls['output']}"

    def stop(self) -> bool:
        """End the stream, the server and every thread; the cell and the parameters are kept. False if nothing ran."""
        self._watched(None)
        live = self._live
        if live is None:
            return False
        if self._serving is not None:
            self._params = params_.chosen(self._serving.values)
        with interrupted_afterwards():
            self._serving = self._attached = None
            live.close()
        return True

    # ---- parameters

    def params(self, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Change parameters and return all of them. Raises ParamsError (nothing is changed) or WorkbenchError."""
        if self._live is None:
            return self._params_for_later(changes or {})
        if changes:
            self._live.apply(changes)
        return params_.as_dict(self._live.values)

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
