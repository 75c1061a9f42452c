"""Loading and unloading the extension leaves a shell as it was."""

from __future__ import annotations

import atexit
import importlib
import subprocess
import sys
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

import byoc_nb
from byoc_nb import pytrickle_names
from byoc_nb.notebook import extension

NAMES = ("FrameProcessor", "VideoFrame", "AudioFrame", "BaseModel", "Field")


def load(shell: InteractiveShell) -> None:
    shell.run_line_magic("load_ext", "byoc_nb")


def completions(shell: InteractiveShell, line: str) -> list[str]:
    """What a kernel offers at the end of the line."""
    with provisionalcompleter():
        return [found.text for found in shell.Completer.completions(line, len(line))]


def test_loading_brings_the_magics_and_the_names(shell: InteractiveShell) -> None:
    load(shell)
    assert shell.find_line_magic("byoc") is not None
    assert shell.find_cell_magic("byoc") is not None
    for name in NAMES:
        assert shell.user_ns[name] is getattr(byoc_nb, name)


def test_the_names_are_not_listed_as_the_users(shell: InteractiveShell) -> None:
    load(shell)
    assert not set(NAMES) & set(shell.run_line_magic("who_ls", ""))


def test_a_name_that_is_taken_stays(shell: InteractiveShell) -> None:
    shell.user_ns["Field"] = "mine"
    load(shell)
    assert shell.user_ns["Field"] == "mine"
    shell.run_line_magic("unload_ext", "byoc_nb")
    assert shell.user_ns["Field"] == "mine"


def test_loading_twice_changes_nothing(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    load(shell)
    bench = extension.workbench(shell)
    load(shell)
    extension.load(shell)
    assert extension.workbench(shell) is bench
    assert "already loaded" in capsys.readouterr().out
    assert sum(type(finder).__name__ == "PytrickleFinder" for finder in sys.meta_path) == 1
    assert completions(shell, "%byoc sta").count("status") == 1


def test_unloading_takes_everything_back(shell: InteractiveShell) -> None:
    before = set(shell.user_ns), set(shell.user_ns_hidden)
    pytrickle_names.uninstall()
    load(shell)
    importlib.import_module("pytrickle")
    shell.run_line_magic("unload_ext", "byoc_nb")
    assert (set(shell.user_ns), set(shell.user_ns_hidden)) == before
    assert shell.find_line_magic("byoc") is None
    assert shell.find_cell_magic("byoc") is None
    assert "ByocMagics" not in shell.magics_manager.registry
    assert "status" not in completions(shell, "%byoc sta")
    assert "pytrickle" not in sys.modules
    assert not [finder for finder in sys.meta_path if type(finder).__name__ == "PytrickleFinder"]
    with pytest.raises(KeyError):
        extension.workbench(shell)


def test_unloading_leaves_what_the_user_put_under_a_name(shell: InteractiveShell) -> None:
    load(shell)
    shell.user_ns["VideoFrame"] = "mine"
    shell.run_line_magic("unload_ext", "byoc_nb")
    assert shell.user_ns["VideoFrame"] == "mine"


def test_unloading_leaves_a_pytrickle_that_was_there_before(shell: InteractiveShell) -> None:
    pytrickle_names.uninstall()
    pytrickle_names.install()  # as an installed wheel's .pth file does
    load(shell)
    shell.run_line_magic("unload_ext", "byoc_nb")
    assert importlib.import_module("pytrickle").FrameProcessor is byoc_nb.FrameProcessor
    pytrickle_names.uninstall()


def test_unloading_what_was_never_loaded_does_nothing(shell: InteractiveShell) -> None:
    extension.unload(shell)


def test_reloading_works(shell: InteractiveShell) -> None:
    load(shell)
    bench = extension.workbench(shell)
    shell.run_line_magic("reload_ext", "byoc_nb")
    assert extension.workbench(shell) is not bench
    assert shell.user_ns["FrameProcessor"] is byoc_nb.FrameProcessor


def test_a_shell_that_ends_stops_what_runs(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    registered: list[Any] = []
    monkeypatch.setattr(atexit, "register", registered.append)
    load(shell)
    assert registered == [extension.workbench(shell).stop]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "%byoc ",
            [
                *("attach", "build", "check", "compare", "export", "history", "params", "plot", "preset", "preview"),
                *("push", "record", "replay", "rollback", "run", "serve", "source", "status", "stop"),
            ],
        ),
        ("%byoc c", ["check", "compare"]),
        ("%byoc s", ["serve", "source", "status", "stop"]),
        ("%byoc sta", ["status"]),
        ("%byoc zzz", []),
        ("%byoc record ", ["-h", "--help", "--seconds", "--channel", "--background"]),
        ("%byoc record out.mp4 --s", ["--seconds"]),
        ("%byoc export --c", ["--cpu", "--cuda"]),
        ("%byoc nonsense --", []),
        ("%%byoc ", ["--fresh", "--name", "--replace"]),
        ("%%byoc --n", ["--name"]),
    ],
)
def test_commands_and_options_complete(shell: InteractiveShell, line: str, expected: list[str]) -> None:
    plain = set(completions(shell, line))  # what Python itself has to offer there
    load(shell)
    assert sorted(set(completions(shell, line)) - plain - set(NAMES)) == sorted(expected)


def test_other_magics_complete_as_before(shell: InteractiveShell) -> None:
    load(shell)
    assert "%time" in completions(shell, "%tim")
    assert "%byoc" in completions(shell, "%byo")


def test_loading_imports_no_torch_and_no_widgets() -> None:
    code = """
import sys
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config
config = Config()
config.HistoryManager.enabled = False
shell = InteractiveShell.instance(config=config)
shell.run_line_magic("load_ext", "byoc_nb")
print([name for name in ("torch", "jinja2", "PIL", "matplotlib", "ipywidgets") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
