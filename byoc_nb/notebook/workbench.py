"""The workbench: everything that the magics do, as methods of one object.

`byoc_nb.workbench` is the one of this process. Its methods belong to the notebook's thread; the work happens on threads
of its own, so that a cell that blocks the kernel costs the stream nothing. Nothing here prints but the lines about a
file that is watched.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from byoc_nb import params as params_
from byoc_nb.dashboard.hub import Hub
from byoc_nb.dashboard.presets import Presets, saveable
from byoc_nb.dashboard.presets import load as load_preset
from byoc_nb.dashboard.subject import Controls
from byoc_nb.export import Export, Finding, image
from byoc_nb.export.image import Say
from byoc_nb.export.proof import BUNDLED
from byoc_nb.network.record import PendingRecording, Recording
from byoc_nb.notebook import replays
from byoc_nb.notebook.driving import Driving
from byoc_nb.notebook.exporting import Exporting
from byoc_nb.notebook.local_image import LocalImage
from byoc_nb.notebook.plot import png
from byoc_nb.notebook.recording import current_cell
from byoc_nb.notebook.serving import WorkbenchError
from byoc_nb.notebook.show import Status, next_pair, nothing_runs, side_by_side
from byoc_nb.notebook.sides import side
from byoc_nb.replay.comparing import Comparison, Side, compare
from byoc_nb.replay.replaying import Replay
from byoc_nb.replay.takes import Take

__all__ = ["Workbench", "WorkbenchError"]


class Workbench(Driving):
    """What a notebook drives, looks at, records and exports."""

    def __init__(self, shell: Any = None) -> None:
        super().__init__(shell)
        self._exporting = Exporting(self.reloading)
        self._image: LocalImage | None = None  # that `run` has started
        self._dashboard: Any = None  # byoc_nb.dashboard.widget.Dashboard, once it was shown
        self._shown = -1  # the number of the cell that showed it last

    # ---- looking

    @property
    def hub(self) -> Hub | None:
        """The dashboards of the server."""
        return self._live.hub if self._live else None

    def show(self) -> None:
        """Show the live dashboard under the cell that runs, once; raises WorkbenchError where there is no notebook."""
        if getattr(self._shell, "kernel", None) is None:
            raise WorkbenchError("only a notebook shows the dashboard", hint="run this in JupyterLab")
        if self.hub is None or current_cell(self._shell) == self._shown:
            return
        self._shown = current_cell(self._shell)
        if self._dashboard is None:
            from byoc_nb.dashboard.widget import Dashboard

            self._dashboard = Dashboard(self._shell)
        self._dashboard.show(self.hub)

    def hide(self) -> None:
        """Take back what showing the dashboard brought into the shell."""
        if self._dashboard is not None:
            self._dashboard.close()
            self._dashboard = None

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
        if self._live is None:
            return Status(figures, params={} if self.cell is None else self._params_for_later({}))
        return Status(figures | self._live.figures(), params=params_.as_dict(self._live.values), urls=self.urls)

    def preview(self, timeout: float = 10.0) -> bytes:
        """The next input picture and what became of it, side by side, as JPEG bytes.

        Waits up to `timeout` seconds for it, then takes the last one of the processor; raises WorkbenchError if there
        is none.
        """
        live = self._live
        if live is None:
            raise WorkbenchError("no frame has come through yet", hint="%byoc serve starts a stream")
        pair = next_pair(live, timeout)
        if pair is None:
            raise WorkbenchError(f"no picture came through in {timeout:.0f} s", hint="%byoc status tells what is known")
        return side_by_side(*pair)

    def plot(self) -> bytes:
        """A chart of the last minutes of what runs, as PNG bytes; raises PlotError where there is nothing yet."""
        return png(self.hub.samples if self.hub else ())

    # ---- presets

    @property
    def presets(self) -> dict[str, dict[str, Any]]:
        """The presets of the processor: name -> values. They are in `.byoc/presets.json`. Raises PresetError."""
        return Presets().of(self._processor)

    def save_preset(self, name: str) -> None:
        """Keep the parameters as they are now under a name, but for secret ones; raises PresetError."""
        Presets().save(self._processor, name, saveable(self._controls))

    def load_preset(self, name: str) -> dict[str, str]:
        """Set the parameters of a preset; those that no longer fit are left out: why, by name. Raises PresetError."""
        values, controls = Presets().get(self._processor, name), self._controls
        assert self._live is not None
        return self._live.run(load_preset(controls, values))

    def delete_preset(self, name: str) -> None:
        """Forget a preset; raises PresetError."""
        Presets().delete(self._processor, name)

    @property
    def _processor(self) -> str:
        """The name that presets are kept under."""
        if self._attached is not None:
            return self._attached.url
        if self.cell is None:
            raise WorkbenchError("there is no processor yet", hint="run a cell that begins with %%byoc first")
        return self.cell.name

    @property
    def _controls(self) -> Controls:
        if self._live is None:
            raise WorkbenchError("nothing is served whose parameters these could be", hint="%byoc serve")
        return self._live.hub.subject.controls

    # ---- recording

    def record(
        self, path: str | Path, seconds: float = 5.0, *, channel: str = "output", background: bool = False
    ) -> Recording | Take | PendingRecording[Recording] | PendingRecording[Take]:
        """Record `seconds` of the processed stream (or of `channel="input"`) through trickle into a file.

        A `path` without an ending is a folder, for input, output and parameters: a take, which `replay` and `compare`
        run again. With `background`, returns at once; `.wait()` gives the result, `.stop()` ends it. Interrupted, it
        keeps what it has. Raises RecordError, TakeError or WorkbenchError.
        """
        path = Path(path)
        if channel not in ("input", "output"):
            raise WorkbenchError(f"there is no channel {channel!r}", hint="record input or output")
        if not seconds > 0:
            raise WorkbenchError(f"{seconds} s can't be recorded", hint="give a number of seconds above 0")
        pending: PendingRecording[Any]
        if path.suffix:
            if self._live is None:
                raise WorkbenchError("nothing is running that could be recorded", hint="%byoc serve")
            pending = replays.begin_recording(self._live, path, seconds, channel=channel)
        elif self._serving is None:
            raise WorkbenchError("no processor is served here whose parameters could be recorded", hint="%byoc serve")
        else:
            pending = replays.begin_take(self._serving, self.history, path, seconds)
        return pending if background else pending.finish()

    def replay(self, take: str | Path, output: Path | None = None) -> Replay:
        """Run a take again through a new instance of the current processor, with the parameters as they were then.

        The same input and parameters make the same pictures, whose `digest` tells; a running stream isn't touched.
        `output`: write the pictures there. Raises TakeError, RecordError, ReplayError or WorkbenchError.
        """
        if self.cell is None:
            raise WorkbenchError("there is no processor yet", hint="run a cell that begins with %%byoc first")
        return replays.replay_take(self.cell, Path(take), output)

    def compare(self, a: Any, b: Any, clip: Path | None = None) -> Comparison:
        """Two processors on one clip with the same parameters: PSNR, SSIM, the greatest difference, a picture of it.

        `a` and `b`: a number of `history`, `FILE.py[:NAME]`, a name of the notebook, a class or a function. `clip`: a
        take or a video file, by default the bundled one. Raises NoVersion, LoadError, FindError or ReplayError.
        """
        return compare(self._side(a), self._side(b), clip or BUNDLED, params=self._chosen())

    def _side(self, of: Any) -> Side:
        if not isinstance(of, str | int):
            return Side(getattr(of, "__name__", repr(of)), of)
        transform = self._shell.transform_cell if self._shell is not None else lambda text: text
        names = self._names or (self.cell.namespace if self.cell else {})
        return side(str(of), self.history, names, transform)

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

    def run(
        self,
        folder: str | Path | None = None,
        *,
        tag: str = "",
        port: int = 8000,
        say: Say = print,
        **source: Any,
    ) -> str:
        """Run that image on this machine and `attach` to it; `stop` ends it. Returns a line about it.

        `source` and so on as for `attach`. Raises ImageError, and what `attach` raises.
        """
        if self.serving:
            raise WorkbenchError("a processor is served here", hint="%byoc stop ends that")
        self.stop()
        self._image = LocalImage(self._exporting.folder(folder), tag=tag, port=port, say=say)
        try:
            self._image.wait()
            return self.attach(self._image.url, **source)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> bool:
        """End the stream, the server and every thread; the cell and the parameters are kept. False if nothing ran.

        An attached container stays where it is, unless `run` has started it.
        """
        stopped = super().stop()
        if self._image is not None:
            self._image.stop()
            self._image, stopped = None, True
        return stopped

    def _chosen(self) -> dict[str, Any]:
        """The parameters that were set on purpose."""
        return params_.chosen(self._serving.values) if self._serving else self._params
