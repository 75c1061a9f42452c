"""`byoc-nb completion bash|zsh`: what a shell needs to complete commands and options, written by shtab."""

from __future__ import annotations

import argparse

from byoc_nb.commands.arguments import Command
from byoc_nb.errors import ByocError


class NoCompletion(ByocError, ModuleNotFoundError):
    """shtab is not installed."""


def add_commands(command: Command) -> None:
    """Add it."""
    made = command("completion", _completion, "write a shell's completion script to standard output")
    made.add_argument("shell", choices=("bash", "zsh"), help='bash: eval "$(byoc-nb completion bash)" in ~/.bashrc')


def _completion(options: argparse.Namespace) -> None:
    try:
        import shtab
    except ModuleNotFoundError:
        raise NoCompletion("completion needs shtab", hint="pip install 'byoc_nb[lab]'") from None
    from byoc_nb.cli import build  # the whole of which this is a part

    print(shtab.complete(build(), shell=options.shell), flush=True)  # noqa: T201
