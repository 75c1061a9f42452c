"""The command line of the `%byoc` magic."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable
from typing import Any, NoReturn

from IPython.core.error import UsageError

from byoc_nb.export.image import HELP
from byoc_nb.export.options import add_check_options, add_export_options, add_image_options
from byoc_nb.runtime.ports import port_number


class _Help(Exception):
    """Help was asked for; the text is the argument."""


class _Parser(argparse.ArgumentParser):
    """argparse whose errors are one line and whose help doesn't end the kernel; an option is written out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{self.prog}: {' '.join(message.split())} · {self.prog} --help shows how")

    def print_help(self, file: Any = None) -> NoReturn:
        raise _Help(self.format_help())


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()) or not (2 <= int(width) <= 8192 and 2 <= int(height) <= 8192):
        raise argparse.ArgumentTypeError(f"{text!r} isn't a size such as 1280x720")
    return int(width), int(height)


def _between(low: float, high: float, kind: type[int] | type[float], what: str) -> Any:
    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = kind(-1)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} isn't {what}")
        return value

    return convert


_fps = _between(1, 240, float, "a frame rate (1 to 240)")
_seconds = _between(0.1, 3600, float, "a number of seconds (0.1 to 3600)")


def build() -> tuple[_Parser, dict[str, _Parser]]:
    """The parser of the line magic, and that of each of its commands by name."""
    parser = _Parser(prog="%byoc", description="Serve, drive and export the processor of a %%byoc cell.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    by_name: dict[str, _Parser] = {}

    def command(name: str, text: str) -> _Parser:
        by_name[name] = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        return by_name[name]

    _add_streaming(command)
    _add_looking(command)
    _add_leaving(command)
    return parser, by_name


def _add_streaming(command: Callable[[str, str], _Parser]) -> None:
    serve = command("serve", "stream a source through the processor, live")
    serve.add_argument("--processor", metavar="FILE.py", help="a processor in a file, served anew when it is saved")
    _add_source(serve)
    serve.add_argument(
        "--port", type=port_number, help="of the server; 0 takes a free one (as it is, else BYOC_PORT's value or 8000)"
    )
    serve.add_argument("--host", help="address to listen on (as it is, else 127.0.0.1)")
    serve.add_argument(
        "--policy",
        choices=("live", "lossless"),
        default="live",
        help="a processor that is too slow: live drops the oldest waiting frame, lossless waits (live)",
    )

    attach = command("attach", "stream a source through a container elsewhere, with the same dashboard")
    attach.add_argument("url", help="of the container, such as http://127.0.0.1:8000")
    _add_source(attach)
    attach.add_argument("--host", default="127.0.0.1", help="address that our channels are at (127.0.0.1)")
    attach.add_argument("--port", type=port_number, default=0, help="of our channels (a free one)")
    attach.add_argument("--reach", default="", help="how the container calls this machine (found from its URL)")

    source = command("source", "stream another source, or go elsewhere in the one that is streamed")
    source.add_argument("source", nargs="?", default="", help="as for serve (the one that is streamed)")
    source.add_argument("--seek", type=_between(0, 1e6, float, "a number of seconds"), help="go on from there, seconds")
    source.add_argument("--speed", type=_between(0.25, 4, float, "a speed (0.25 to 4)"), help="1 is the video's own")
    source.add_argument("--loop", action=argparse.BooleanOptionalAction, default=None, help="start again at its end")

    command("stop", "end the stream and the server; the cell and the parameters are kept")


def _add_looking(command: Callable[[str, str], _Parser]) -> None:
    command("status", "show what runs and how; returns a mapping")

    params = command("params", "set parameters, or show them; returns them all")
    params.add_argument("assignments", nargs="*", metavar="NAME=VALUE", help="a JSON value or plain text")

    command("preview", "show the newest input and output picture side by side")

    preset = command("preset", "keep the parameters under a name, and come back to them")
    preset.add_argument("do", nargs="?", choices=("list", "save", "load", "delete"), default="list", help="(list)")
    preset.add_argument("name", nargs="?", default="", help="of the preset")

    command("plot", "chart the last minutes: rates, latency, process time, drops")

    record = command("record", "record the processed stream into a file, or all of it into a folder for replay")
    record.add_argument(
        "path", help="a file, whose ending decides the type: .mp4, .mkv, .ts; else a folder for input, output, params"
    )
    record.add_argument("--seconds", type=_seconds, default=5.0, help="how long (5)")
    record.add_argument("--channel", choices=("output", "input"), default="output", help="which stream (output)")
    record.add_argument("--background", action="store_true", help="return at once; .wait() gives the result")

    replay = command("replay", "run a recorded folder through the processor again, with its parameters as they were")
    replay.add_argument("path", help="the folder that %%byoc record has written")
    replay.add_argument("--output", default="", metavar="FILE", help="write the pictures that come of it (nothing)")

    compare = command("compare", "hold two processors, or two versions, against each other on one clip")
    for side in ("a", "b"):
        compare.add_argument(side, help="a number of %%byoc history, FILE.py[:NAME], or a name of the notebook")
    compare.add_argument("--clip", default="", help="a recorded folder or a video file (the bundled clip)")

    command("history", "show the versions of this session")
    rollback = command("rollback", "go back to an earlier version, with the parameters that it had")
    rollback.add_argument("version", nargs="?", type=int, help="its number in %%byoc history (the one before)")


def _add_leaving(command: Callable[[str, str], _Parser]) -> None:
    check = command("check", "show what an export would stop at or warn of, and write nothing")
    add_check_options(check)
    add_export_options(command("export", "freeze the processor into a container folder"))
    for name, text in HELP.items():
        made = command(name, text)
        add_image_options(made, name, directory="")
        if name == "run":
            _add_source(made)


def _add_source(command: _Parser) -> None:
    command.add_argument(
        "--source",
        default="testsrc",
        help="a video file, a folder of images, a URL, trickle+http://HOST/CHANNEL, webcam, testsrc, or the name of a "
        "generator in the notebook (testsrc)",
    )
    command.add_argument("--size", type=_size, metavar="WxH", help="scale the source to this size")
    command.add_argument("--fps", type=_fps, help="limit the source's frame rate")
    command.add_argument("--loop", action=argparse.BooleanOptionalAction, default=True, help="start again at its end")


def cell_parser() -> _Parser:
    """The parser of the cell magic's line."""
    parser = _Parser(prog="%%byoc", description="Run the cell and serve the processor that it defines.")
    parser.add_argument("--name", default="", help="which class or function, if the cell has several candidates")
    parser.add_argument("--fresh", action="store_true", help="load anew, even if nothing that loads has changed")
    parser.add_argument("--replace", action="store_true", help="free the old one first, where memory is for one only")
    return parser


def parse(parser: _Parser, line: str) -> argparse.Namespace | str:
    """The arguments of a magic's line, or the help text that it asked for; raises UsageError in one line."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise UsageError(f"{parser.prog}: {error} in: {line}") from None
    comment = next((at for at, word in enumerate(words) if word.startswith("#")), len(words))
    words = words[:comment]  # as in Python and the shell; what has a # inside, such as a colour, is no comment
    try:
        arguments, unknown = parser.parse_known_args(words)
        if unknown:
            prog = f"{parser.prog} {arguments.command}" if "command" in arguments else parser.prog
            hint = f"{prog} --help shows how"
            takes_source = getattr(arguments, "command", "") in ("serve", "attach") and "--source" not in words
            if takes_source and len(unknown) == 1 and not re.search(r"^-|^\d+$|\.py$", unknown[0]):
                hint = f"--source {shlex.quote(unknown[0])} streams that"
            raise UsageError(f"{prog}: there is no {' '.join(unknown)} · {hint}")
        return arguments
    except _Help as asked:
        return str(asked)
