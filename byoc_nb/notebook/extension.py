"""Loading and unloading of the IPython extension: the magic, its completion, the names in the namespace."""

from __future__ import annotations

import atexit
from typing import Any

import byoc_nb
from byoc_nb import pytrickle_names
from byoc_nb.notebook.magic import COMMANDS, ByocMagics
from byoc_nb.notebook.workbench import Workbench

NAMES = ("FrameProcessor", "VideoFrame", "AudioFrame", "BaseModel", "Field")
_COMPLETES = r"%{1,2}byoc"

_loaded: dict[Any, ByocMagics] = {}  # by shell; a kernel has one


def load(shell: Any) -> None:
    """Register everything; doing it again changes nothing."""
    if shell in _loaded:
        return
    magics = _loaded[shell] = ByocMagics(shell)
    shell.register_magics(magics)
    shell.set_hook("complete_command", _complete, re_key=_COMPLETES)
    for name in NAMES:
        if name not in shell.user_ns:
            shell.push({name: getattr(byoc_nb, name)}, interactive=False)
    pytrickle_names.install()
    atexit.register(magics.workbench.stop)


def unload(shell: Any) -> None:
    """Take everything back; stops what runs."""
    magics = _loaded.pop(shell, None)
    if magics is None:
        return
    atexit.unregister(magics.workbench.stop)
    magics.workbench.stop()
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("byoc", None)
    dispatcher = shell.strdispatchers.get("complete_command")
    if dispatcher is not None:
        dispatcher.regexs.pop(_pattern(dispatcher), None)
    pytrickle_names.uninstall()


def workbench(shell: Any) -> Workbench:
    """The workbench behind the magics of a shell; raises KeyError before the extension is loaded."""
    return _loaded[shell].workbench


def _pattern(dispatcher: Any) -> Any:
    return next((pattern for pattern in dispatcher.regexs if pattern.pattern == _COMPLETES), None)


def _complete(shell: Any, event: Any) -> list[str]:
    """Commands after `%byoc`, options after a command."""
    before: str = event.line[: event.text_until_cursor and len(event.text_until_cursor)]
    words = before.split()
    typed = "" if before.endswith(" ") else words[-1]
    done = words[1:] if before.endswith(" ") else words[1:-1]
    if words[0].startswith("%%"):
        return [option for option in ("--name",) if option.startswith(typed)]
    if not done:
        return [name for name in COMMANDS if name.startswith(typed)]
    command = COMMANDS.get(done[0])
    options = [flag for action in command._actions for flag in action.option_strings] if command else []
    return [flag for flag in options if flag.startswith(typed)]
