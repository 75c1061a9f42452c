"""The magics' command line: every mistake is one line, help is no exit."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from IPython.core.error import UsageError

from byoc_nb.notebook import parser

LINE, COMMANDS = parser.build()
CELL = parser.cell_parser()
EXPORT = {
    "weights": [],
    "runtime": "byoc_nb",
    "directory": "dir",
    "name": "",
    "cpu": False,
    "cuda": "",
    "base": "",
    "force": False,
    "max_constant": 50_000_000,
    "prove": True,
    "tolerance": 0,
}


def parsed(line: str) -> dict[str, Any]:
    arguments = parser.parse(LINE, line)
    assert not isinstance(arguments, str)
    return vars(arguments)


def refused(line: str) -> str:
    with pytest.raises(UsageError) as caught:
        parser.parse(LINE, line)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_defaults_of_serve() -> None:
    assert parsed("serve") == {
        "command": "serve",
        "source": "testsrc",
        "port": None,
        "host": None,
        "size": None,
        "fps": None,
        "loop": True,
        "policy": "live",
        "processor": None,
    }


def test_every_option_of_serve() -> None:
    line = (
        'serve --source "my clip.mp4" --port 0 --host 0.0.0.0 --size 1280x720 --fps 29.97 --no-loop --policy lossless'
    )
    assert parsed(line) == {
        "command": "serve",
        "source": "my clip.mp4",
        "port": 0,
        "host": "0.0.0.0",
        "size": (1280, 720),
        "fps": 29.97,
        "loop": False,
        "policy": "lossless",
        "processor": None,
    }


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("status", {}),
        ("preview", {}),
        ("stop", {}),
        ("params", {"assignments": []}),
        ("params a=1 'b=two words' c=\"x\"", {"assignments": ["a=1", "b=two words", "c=x"]}),
        ("record out.mp4", {"path": "out.mp4", "seconds": 5.0, "channel": "output", "background": False}),
        (
            "record 'a b.ts' --seconds 0.5 --channel input --background",
            {"path": "a b.ts", "seconds": 0.5, "channel": "input", "background": True},
        ),
        ("export dir", EXPORT),
        (
            "export dir --name x --cpu --force --max-constant 2GB --no-prove",
            EXPORT | {"name": "x", "cpu": True, "force": True, "max_constant": 2_000_000_000, "prove": False},
        ),
        ("export dir --cuda 12.8 --base x --tolerance 2", EXPORT | {"cuda": "12.8", "base": "x", "tolerance": 2}),
        ("check", {"max_constant": 50_000_000, "runtime": "byoc_nb"}),
        ("check --max-constant 10kB", {"max_constant": 10_000, "runtime": "byoc_nb"}),
    ],
)
def test_what_each_command_takes(line: str, values: dict[str, Any]) -> None:
    assert parsed(line) == {"command": line.partition(" ")[0], **values}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("", "required: COMMAND"),
        ("fly", "invalid choice: 'fly'"),
        ("serve --port 70000", "'70000' isn't a port (0 to 65535)"),
        ("serve --port -1", "'-1' isn't a port"),
        ("serve --port eight", "'eight' isn't a port"),
        ("serve --port 80.5", "'80.5' isn't a port"),
        ("serve --size 1280", "'1280' isn't a size such as 1280x720"),
        ("serve --size 0x0", "isn't a size"),
        ("serve --size 9000x1", "isn't a size"),
        ("serve --size axb", "isn't a size"),
        ("serve --size ²x²", "isn't a size"),
        ("serve --fps 0", "isn't a frame rate"),
        ("serve --fps nan", "isn't a frame rate"),
        ("serve --fps inf", "isn't a frame rate"),
        ("serve --policy fast", "invalid choice: 'fast'"),
        ("serve my clip.mp4", "there is no my clip.mp4 · %byoc serve --help"),
        ("serve cell.py", "there is no cell.py · %byoc serve --help"),
        ("serve 8001", "there is no 8001 · %byoc serve --help"),
        ("serve --source a.mp4 b.mp4", "there is no b.mp4 · %byoc serve --help"),
        ("serve --unknown", "%byoc serve: there is no --unknown · %byoc serve --help"),
        ("serve clip.mp4", "%byoc serve: there is no clip.mp4 · --source clip.mp4 streams that"),
        ("record", "required: path"),
        ("record a.mp4 --seconds 0", "isn't a number of seconds"),
        ("record a.mp4 --channel both", "invalid choice"),
        ("export", "required: directory"),
        ("status now", "%byoc status: there is no now"),
        ("serve --source 'open", "No closing quotation in: serve --source 'open"),
        ("serve --source", "expected one argument"),
    ],
)
def test_every_mistake_is_one_line_that_says_what_was_wrong(line: str, said: str) -> None:
    message = refused(line)
    assert said in message
    assert message.startswith("%byoc")


def test_a_mistake_names_the_command_whose_help_shows_how() -> None:
    assert refused("serve --port x").endswith("%byoc serve --help shows how")


@pytest.mark.parametrize("line", ["--help", "-h", *(f"{name} --help" for name in COMMANDS)])
def test_help_is_a_text(line: str) -> None:
    text = parser.parse(LINE, line)
    assert isinstance(text, str)
    assert text.startswith(f"usage: {' '.join(['%byoc', *line.split()[:-1]])}")


def test_help_of_serve_tells_every_option() -> None:
    text = parser.parse(LINE, "serve --help")
    assert isinstance(text, str)
    for option in ("--source", "--port", "--size", "--fps", "--loop", "--no-loop", "--policy"):
        assert option in text


def test_the_cell_magics_line() -> None:
    arguments = parser.parse(CELL, "--name P")
    assert not isinstance(arguments, str)
    assert arguments.name == "P"
    with pytest.raises(UsageError, match=r"^%%byoc: there is no P · %%byoc --help shows how$"):
        parser.parse(CELL, "P")
    assert "--name" in str(parser.parse(CELL, "--help"))


@given(st.text(max_size=40))
def test_no_line_brings_a_traceback(line: str) -> None:
    for which in (LINE, CELL):
        try:
            parser.parse(which, line)
        except UsageError as error:
            assert "\n" not in str(error).replace(line, "")


def test_a_comment_ends_the_line() -> None:
    assert parsed("serve --source clip.mp4   # a video file")["source"] == "clip.mp4"
    assert parsed("params color=#20c060 'note=a # b' # two")["assignments"] == ["color=#20c060", "note=a # b"]


def test_an_option_is_written_out() -> None:
    assert "there is no --sourc" in refused("serve --sourc x")
