"""A hook of mkdocs: `<!-- generated: NAME -->` in a page becomes what the parsers and the server say of themselves.

So options, commands and routes can't go stale. The kernel's logo becomes the site's.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from typing import Any

from byoc_nb import cli
from byoc_nb.commands import kernelspec
from byoc_nb.notebook import parser as magics
from byoc_nb.runtime.server import StreamServer

LOGO = kernelspec.SOURCE / "logo-svg.svg"
MARK = re.compile(r"<!-- generated: ([\w-]+) -->")


def on_files(files: Any, config: Any) -> Any:
    """Add the logo."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, "images/logo.svg", content=LOGO.read_bytes()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill a page in."""
    return filled(markdown)


def filled(markdown: str) -> str:
    """The text with every mark replaced; KeyError for one that nothing stands behind."""
    return MARK.sub(lambda mark: PARTS[mark[1]](), markdown)


def magic_commands() -> str:
    """`%%byoc` and every verb of `%byoc`."""
    _, verbs = magics.build()
    parts = [_command(magics.cell_parser(), "%%byoc")]
    return "\n\n".join(parts + [_command(verb, f"%byoc {name}") for name, verb in verbs.items()])


def shell_commands() -> str:
    """Every command of `byoc-nb`, in its groups."""
    program = cli.build()
    parts = []
    for title, actions in program._groups.items():
        parts.append(f"## {title[0].upper()}{title[1:]}")
        commands = program._commands.choices
        parts += [_command(commands[action.dest], f"byoc-nb {action.dest}", level=3) for action in actions]
    return "\n\n".join(parts)


def routes() -> str:
    """The container's routes, each with what its handler says; aliases together."""

    class Idle:
        def process_video(self, frame: Any) -> Any:
            return frame

    handlers: dict[Any, list[str]] = {}
    server = StreamServer(Idle, port=0)
    for route in server.app.router.routes():
        if route.method != "HEAD" and route.resource is not None:
            handlers.setdefault(route.handler, []).append(f"`{route.method} {route.resource.canonical}`")
    rows = ["| route | what it does |", "|---|---|"]
    for handler, paths in handlers.items():
        shown = "<br>".join(sorted(paths, key=lambda path: ("/api/" in path, len(path))))
        rows.append(f"| {shown} | {_cell(_paragraphs(handler.__doc__))} |")
    return "\n".join(rows)


PARTS: dict[str, Callable[[], str]] = {"magics": magic_commands, "commands": shell_commands, "routes": routes}


def _command(parser: argparse.ArgumentParser, name: str, level: int = 2) -> str:
    """A command's heading, what it does, its usage and its options."""
    usage = " ".join(parser.format_usage().removeprefix("usage: ").split()).replace(" [-h]", "")
    lines = [f"{'#' * level} `{name}`", "", parser.description or "", "", "```text", usage, "```", ""]
    rows = list(_options(parser))
    if rows:
        lines += ["| | |", "|---|---|", *rows]
    return "\n".join(lines)


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    formatter = parser._get_formatter()
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction):
            continue
        invocation = formatter._format_action_invocation(action)
        yield f"| `{_cell(invocation)}` | {_cell(formatter._expand_help(action)).replace('<', '&lt;')} |"


def _paragraphs(docstring: str | None) -> str:
    return " ".join((docstring or "").split())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
