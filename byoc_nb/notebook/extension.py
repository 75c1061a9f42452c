"""Loading and unloading of the IPython extension: the magic, its completion, the names in the namespace."""

from __future__ import annotations

import atexit
from dataclasses import dataclass
from typing import Any

from IPython.core.getipython import get_ipython

import byoc_nb
from byoc_nb import pytrickle_names
from byoc_nb.notebook.magic import COMMANDS, ByocMagics
from byoc_nb.notebook.recording import Recorder
from byoc_nb.notebook.workbench import Workbench

NAMES = ("FrameProcessor", "VideoFrame", "AudioFrame", "BaseModel", "Field")
_COMPLETES = r"%{1,2}byoc\b"


@dataclass(frozen=True)
class _Loaded:
    """What `load` brought into a shell, for `unload` to take back."""

    magics: ByocMagics
    names: dict[str, Any]
    made_pytrickle: bool
    recorder: Recorder


_loaded: dict[Any, _Loaded] = {}  # by shell; a kernel has one
_programs: list[Workbench] = []  # the one of a program without a shell, once it was asked for


def load(shell: Any) -> None:
    """Register everything; doing it again changes nothing."""
    if shell in _loaded:
        return
    magics = ByocMagics(shell)
    shell.register_magics(magics)
    shell.set_hook("complete_command", _complete, re_key=_COMPLETES)
    names = {name: getattr(byoc_nb, name) for name in NAMES if name not in shell.user_ns}
    shell.push(names, interactive=False)
    recorder = Recorder(shell, magics.workbench.notebook)
    recorder.start()
    shell.events.register("post_run_cell", magics.after_cell)
    _loaded[shell] = _Loaded(magics, names, pytrickle_names.install(), recorder)
    atexit.register(magics.workbench.stop)


def unload(shell: Any) -> None:
    """Take everything back; stops what runs."""
    loaded = _loaded.pop(shell, None)
    if loaded is None:
        return
    shell.events.unregister("post_run_cell", loaded.magics.after_cell)
    loaded.recorder.stop()
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("byoc", None)
    shell.magics_manager.registry.pop(ByocMagics.__name__, None)
    dispatcher = shell.strdispatchers.get("complete_command")
    if dispatcher is not None:
        dispatcher.regexs.pop(_pattern(dispatcher), None)
    shell.drop_by_id(loaded.names)  # those that still are what `load` put there
    if loaded.made_pytrickle:
        pytrickle_names.uninstall()
    atexit.unregister(loaded.magics.workbench.stop)
    loaded.magics.workbench.stop()
    loaded.magics.workbench.hide()


def workbench(shell: Any) -> Workbench:
    """The workbench behind the magics of a shell; raises KeyError before the extension is loaded."""
    return _loaded[shell].magics.workbench


def here() -> Workbench:
    """That of the shell that runs, into which the extension is loaded; without a shell, one of this process."""
    if (shell := get_ipython()) is not None:
        load(shell)
        return workbench(shell)
    if not _programs:
        _programs.append(Workbench())
        atexit.register(_programs[0].stop)
    return _programs[0]


def _pattern(dispatcher: Any) -> Any:
    return next((pattern for pattern in dispatcher.regexs if pattern.pattern == _COMPLETES), None)


def _complete(shell: Any, event: Any) -> list[str]:
    """Commands after `%byoc`, options after a command."""
    before: str = event.text_until_cursor
    words = before.split()
    if not words:
        return []
    typed = "" if before.endswith(" ") else words[-1]
    done = words[1:] if before.endswith(" ") else words[1:-1]
    if words[0].startswith("%%"):
        return [option for option in ("--fresh", "--name", "--replace") if option.startswith(typed)]
    if not done:
        return [name for name in COMMANDS if name.startswith(typed)]
    command = COMMANDS.get(done[0])
    options = [flag for action in command._actions for flag in action.option_strings] if command else []
    return [flag for flag in options if flag.startswith(typed)]
