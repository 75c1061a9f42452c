"""`byoc-nb export|check|build|push|run`: a processor's file to a folder, and the folder to an image."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from byoc_nb.export import image
from byoc_nb.export.folder import ExportError, export
from byoc_nb.export.freeze import check
from byoc_nb.export.options import add_check_options, add_export_options, add_image_options
from byoc_nb.export.proof import bundled
from byoc_nb.runtime.load import Loaded, load_file
from byoc_nb.source import Notebook

Work = Coroutine[Any, Any, int]


def add_commands(command: Callable[[str, Any, str], argparse.ArgumentParser]) -> None:
    """Add them; `command` makes a subcommand of a name, what it runs, and its help."""
    made = command("export", _export, "freeze the processor of a file into a container folder")
    _add_file(made)
    add_export_options(made)
    made = command("check", _check, "show what an export would stop at or warn of, and write nothing")
    _add_file(made)
    add_check_options(made)
    for name, run in (("build", _build), ("push", _push), ("run", _run)):
        add_image_options(command(name, run, image.HELP[name]), name)


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("processor", help="FILE.py, or FILE.py:NAME if the file holds several")


# Each does its work at once and gives the exit status from a coroutine: a processor's code and its own event loops run
# here as in any program, outside of the one that the command line has.


def _export(options: argparse.Namespace) -> Work:
    found, notebook = _load(options.processor)
    chosen = _given(options, "name", "cpu", "cuda", "base", "force", "max_constant", "weights", "runtime")
    try:
        done = export(
            Path(options.directory),
            notebook,
            found.name,
            found.namespace,
            prove=bundled(options.tolerance) if options.prove else None,
            hashes=True,
            **chosen,
        )
    except ExportError as error:
        if error.diff:
            _say(error.diff)
        raise
    _say(str(done))
    return _status(0)


def _check(options: argparse.Namespace) -> Work:
    found, notebook = _load(options.processor)
    findings = check(notebook, found.name, found.namespace, **_given(options, "max_constant", "runtime"))
    _say("\n".join(map(str, findings)) or "nothing stands in the way of an export")
    return _status(int(any(finding.level == "error" for finding in findings)))


def _build(options: argparse.Namespace) -> Work:
    tag = image.build(Path(options.directory), say=_say, **_given(options, "tag", "platform", "secrets"))
    _say(f"built {tag}")
    return _status(0)


def _push(options: argparse.Namespace) -> Work:
    _say(f"pushed {options.tag}@{image.push(Path(options.directory), options.tag, say=_say)}")
    return _status(0)


def _run(options: argparse.Namespace) -> Work:
    image.run(Path(options.directory), say=_say, tag=options.tag, port=options.port)
    return _status(0)


def _load(spec: str) -> tuple[Loaded, Notebook]:
    """A file's processor, and the file as a notebook of one cell."""
    found, notebook = load_file(spec), Notebook()
    notebook.ran(found.code, 1, namespace=found.namespace)
    return found, notebook


def _given(options: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: getattr(options, name) for name in names}


async def _status(number: int) -> int:
    return number


def _say(text: str) -> None:
    print(text, flush=True, file=sys.stdout)  # noqa: T201
