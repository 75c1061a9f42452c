"""The `%byoc` and `%%byoc` magics: a command line over the workbench. Only here is anything printed."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.display import Image

from byoc_nb.errors import ByocError
from byoc_nb.export import ExportError
from byoc_nb.notebook import parser as parser_
from byoc_nb.notebook.cells import CellError, is_processors
from byoc_nb.notebook.recording import current_cell
from byoc_nb.notebook.watch import TRIAL_SECONDS
from byoc_nb.notebook.workbench import Workbench
from byoc_nb.runtime.reload import Reload

_LINE, COMMANDS = parser_.build()
_CELL = parser_.cell_parser()

SUMMARY = """BYOC: develop a live-video processor in a cell, freeze it into a container.

    %%byoc                       run this cell; its processor goes live between two frames
    %byoc serve --source FILE    stream a video (a folder, a URL, webcam, testsrc, a generator) through it
    %byoc source --seek 10       another place, speed or source while it runs
    %byoc params strength=0.8    change its parameters while it runs
    %byoc preset save NAME       keep them; load, list, delete
    %byoc status, preview, plot  frames, rates, latency, errors; the newest picture before and after; a chart
    %byoc record out.mp4         read the processed stream back into a file; into a folder for replay
    %byoc replay DIR             the same pictures and parameters again
    %byoc compare A B            two versions or processors on the same clip: PSNR, SSIM, the difference
    %byoc history, rollback      the versions of this session; back to the one before, with its parameters
    %byoc stop                   end the stream; cell and parameters are kept
    %byoc check                  what an export would stop at or warn of
    %byoc export DIR             write processor.py, Dockerfile and all that they need; prove that it does the same
    %byoc build, push, run       the exported folder's image, with docker, podman or buildah
    %byoc attach URL             drive a container elsewhere with the same source, parameters and dashboard

`%byoc COMMAND --help` tells the options of a command.
"""


@magics_class
class ByocMagics(Magics):
    """One workbench and its two magics."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self._shell = shell
        self.workbench = Workbench(shell)

    @no_var_expand
    @line_cell_magic
    def byoc(self, line: str, cell: str | None = None) -> Any:
        try:
            if cell is None:  # variables as in IPython's own line magics; in a cell, braces and dollars are the user's
                return self._line(self._shell.var_expand(line, 2))
            return self._cell(line, cell)
        except ByocError as error:
            refused = error.one_line()
        # Raised outside of `except`: IPython keeps the last error, whose context would keep a replaced model in memory
        raise UsageError(refused)

    # ---- %%byoc

    def _cell(self, line: str, cell: str) -> Any:
        arguments = parser_.parse(_CELL, line)
        if isinstance(arguments, str):
            return print(arguments)  # noqa: T201
        options = {"fresh": arguments.fresh, "alone": arguments.replace}
        return self._came_of(self.workbench.run_cell(cell, name=arguments.name, progress=_say_progress, **options))

    def _came_of(self, reload: Reload | None) -> Any:
        """Tell what came of running a processor's cell, after its first frames."""
        name = self.workbench.history.versions[-1].name
        if not self.workbench.streaming:
            print(f"{name} is ready · %byoc serve streams video through it")  # noqa: T201
            return None
        if reload is not None:
            reload.wait(TRIAL_SECONDS)
            if reload.rolled_back:
                print(_of_cells(reload.traceback, self._shell), end="", file=sys.stderr)  # noqa: T201
                goes_on = self.workbench.cell.name if self.workbench.cell else "the old processor"
                raise CellError(
                    f"{name} failed in its first frames and was rolled back, {goes_on} goes on: {reload.rolled_back}",
                    hint="mend the cell and run it again",
                )
        return reload

    def after_cell(self, result: Any) -> None:
        """Another cell has run: tell what it changed of the running processor."""
        if not self.workbench.streaming or is_processors(result.info.raw_cell) or result.error_before_exec is not None:
            return
        if line := self.workbench.reloading.noticed():
            print(line)  # noqa: T201

    # ---- %byoc

    def _line(self, line: str) -> Any:
        if not line.strip():
            return print(SUMMARY)  # noqa: T201
        arguments = parser_.parse(_LINE, line)
        if isinstance(arguments, str):
            return print(arguments)  # noqa: T201
        options = vars(arguments)
        return getattr(self, f"_{options.pop('command')}")(**options)

    def _serve(self, **options: Any) -> Workbench:
        return self._shown(self.workbench.serve(**options))

    def _attach(self, url: str, **options: Any) -> Workbench:
        return self._shown(self.workbench.attach(url, **options))

    def _shown(self, line: str) -> Workbench:
        print(line)  # noqa: T201
        if getattr(self._shell, "kernel", None) is not None:  # a terminal shows no widgets
            self.workbench.show()
        return self.workbench

    def _source(self, source: str, **options: Any) -> Any:
        return self.workbench.source(source or None, **options)

    def _status(self) -> Any:
        return self.workbench.status()

    def _params(self, assignments: list[str]) -> Any:
        return self.workbench.params(dict(map(_assignment, assignments)))

    def _preview(self) -> Any:
        return Image(data=self.workbench.preview(), format="jpeg")  # type: ignore[no-untyped-call]

    def _preset(self, do: str, name: str) -> Any:
        if do == "list":
            return self.workbench.presets
        if not name:
            raise UsageError(f"%byoc preset {do}: which one? %byoc preset shows them")
        if do == "load":
            refused = self.workbench.load_preset(name)
            for parameter, why in refused.items():
                print(f"{parameter} of {name} was left out: {why}")  # noqa: T201
            return self.workbench.params()
        (self.workbench.save_preset if do == "save" else self.workbench.delete_preset)(name)
        print(f"{do}d {name}")  # noqa: T201
        return None

    def _plot(self) -> Any:
        return Image(data=self.workbench.plot(), format="png")  # type: ignore[no-untyped-call]

    def _record(self, path: str, **options: Any) -> Any:
        return self.workbench.record(Path(path).expanduser(), **options)

    def _replay(self, path: str, output: str) -> Any:
        return self.workbench.replay(Path(path).expanduser(), Path(output).expanduser() if output else None)

    def _compare(self, a: str, b: str, clip: str) -> Any:
        return self.workbench.compare(a, b, clip=Path(clip).expanduser() if clip else None)

    def _history(self) -> Any:
        return self.workbench.history

    def _rollback(self, version: int | None) -> Any:
        return self._came_of(self.workbench.rollback(version, progress=_say_progress))

    def _stop(self) -> None:
        stopped = self.workbench.stop()
        print("stopped · %byoc serve starts again" if stopped else "nothing was running")  # noqa: T201

    def _check(self, **options: Any) -> None:
        findings = self.workbench.check(**options)
        print("\n".join(map(str, findings)) or "nothing stands in the way of an export")  # noqa: T201

    def _export(self, directory: str, **options: Any) -> Any:
        try:
            return self.workbench.export(directory, **options)
        except ExportError as error:
            if error.diff:
                print(error.diff)  # noqa: T201
            raise

    def _build(self, directory: str, **options: Any) -> None:
        print(f"built {self.workbench.build(directory, **options)}")  # noqa: T201

    def _push(self, directory: str, tag: str) -> None:
        print(f"pushed {tag}@{self.workbench.push(tag, directory)}")  # noqa: T201

    def _run(self, directory: str, **options: Any) -> Workbench:
        return self._shown(self.workbench.run(directory, **options))


ByocMagics.byoc.__doc__ = SUMMARY + "".join(
    f"\n{'-' * 100}\n{command.format_help()}" for command in (_CELL, *COMMANDS.values())
)


def _of_cells(traceback: str, shell: Any) -> str:
    """A traceback in which a cell's lines are named by the cell, not by the file that IPython made of it."""

    def named(place: re.Match[str]) -> str:
        found = re.fullmatch(r"In\[(\d+)\]", (shell.compile.format_code_name(place[1]) or ("", ""))[1])
        # IPython has counted on already when the magic runs its cell
        return f"Cell In[{min(int(found[1]), current_cell(shell))}]" if found else place[0]

    return re.sub(r'File "([^"]+)"', named, traceback)


def _say_progress(line: str) -> None:
    """One line that the next one overwrites; an empty one wipes it."""
    print(f"\r{line:<60}", end="" if line else "\r", flush=True)  # noqa: T201


def _assignment(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError(f"%byoc params: {text!r} isn't NAME=VALUE, such as strength=0.8")
    try:
        return name, json.loads(value)
    except (ValueError, RecursionError):
        return name, {"True": True, "False": False, "None": None}.get(value, value)
