"""`byoc-nb COMMAND …`: the program. Its commands are in `byoc_nb.commands`, `export` and `bench`.

Exit status: 0, 1 for an error (one line on standard error), 2 for wrong usage, 130 when interrupted.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import logging
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from byoc_nb import __version__, pytrickle_names
from byoc_nb.bench import command as bench
from byoc_nb.commands import completion, container, doctor, kernelspec, new, streams
from byoc_nb.errors import ByocError
from byoc_nb.export import command as export

GROUPS = {
    "a notebook to work in": (new, doctor, kernelspec),
    "a processor's file, as an image": (export,),
    "a container, and the calls that an orchestrator makes": (container,),
    "streams by hand": (streams,),
    "further": (bench, completion),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns its exit status, or raises SystemExit after help and wrong usage."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")  # not every locale has all our characters
    options = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    pytrickle_names.install()
    try:
        result = options.run(options)
        status: int | None = asyncio.run(result) if asyncio.iscoroutine(result) else result
    except ByocError as error:
        return _fail(error.one_line())
    except BrokenPipeError:  # the program that reads our output has gone, which is no error of ours
        sys.stdout = None  # or Python complains when it flushes at exit
        return 0
    except OSError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return 130
    return status or 0


def _fail(line: str) -> int:
    print(f"byoc-nb: {line}", file=sys.stderr)  # noqa: T201
    return 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = build()
    options, rest = parser.parse_known_args(arguments)
    if rest and (any(text.startswith("-") for text in rest) or options.run is not container.start):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:  # argparse takes no NAME=VALUE behind an option
        options.params += rest
    return options


class Program(argparse.ArgumentParser):
    """A parser whose help lists its commands in groups."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._groups: dict[str, list[argparse.Action]] = {}
        self._commands = self.add_subparsers(metavar="COMMAND", required=True, parser_class=argparse.ArgumentParser)

    def command(self, group: str, name: str, run: Any, text: str) -> argparse.ArgumentParser:
        """Add a subcommand to a group; `run` gets the parsed options."""
        made = self._commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        made.set_defaults(run=run)
        self._groups.setdefault(group, []).append(self._commands._choices_actions[-1])
        return made

    def format_help(self) -> str:
        """The usage, the commands by group, and the options."""
        formatter = self._get_formatter()
        formatter.add_usage(self.usage, self._actions, self._mutually_exclusive_groups)
        formatter.add_text(self.description)
        options = [action for action in self._actions if action is not self._commands]
        for title, actions in {**self._groups, "options": options}.items():
            formatter.start_section(title)
            formatter.add_arguments(actions)
            formatter.end_section()
        formatter.add_text(self.epilog)
        return formatter.format_help()


def build() -> Program:
    """The parser of the whole command line."""
    parser = Program(
        prog="byoc-nb",
        description="Live-video AI processors for Livepeer's BYOC network: in a notebook, in a file, in a container.",
        epilog="byoc-nb COMMAND --help shows its options.",
    )
    parser.add_argument("--version", action="version", version=f"byoc-nb {__version__}")
    for title, modules in GROUPS.items():
        for module in modules:
            module.add_commands(partial(parser.command, title))
    return parser


if __name__ == "__main__":
    sys.exit(main())
