"""Every code block and command of the pages runs, or is read by the parser that would read it.

Above a block may stand: `notebook: NAME` (run in a kernel, by test_flows), `network` and `file` (the same),
`prints` (compared there with what was printed), `refused` (a user's mistake), or `not run: REASON`.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import runpy
import shlex
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import yaml
from docs_kit import ROOT, WITH_COMMANDS, Block, all_blocks, blocks, generator, prose, shell_commands
from IPython.core.inputtransformer2 import TransformerManager
from kit import tone

from byoc_nb import FrameProcessor, VideoFrame, cli, pytrickle_names
from byoc_nb.dialects import Processor, is_processor
from byoc_nb.notebook import parser
from byoc_nb.runtime.requests import parse_start

MARKS = {"notebook", "network", "file", "prints", "refused", "not run"}
LANGUAGES = {"python", "sh", "json", "yaml", "text"}
PROGRAMS = {"curl", "docker", "ffmpeg", "ffplay", "head", "jupyter", "pip", "pipx", "python3", "ssh", "./livepeer"}
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
_, VERBS = parser.build()
ALONE = [block for block in all_blocks("python") if not block.marks.keys() & {"notebook", "not run"}]


def test_nothing_is_skipped_in_silence() -> None:
    for page in WITH_COMMANDS:
        for block in blocks(page):
            assert block.language in LANGUAGES, f"{block}: nothing reads {block.language!r}"
            assert block.marks.keys() <= MARKS, f"{block}: {block.marks}"
            assert block.marks.get("not run", "a reason"), f"{block}: why isn't it run?"
            if block.language == "text":
                assert block.marks.keys() & {"prints", "not run"}, f"{block}: printed by what?"


@pytest.mark.parametrize("block", all_blocks("python"), ids=str)
def test_python_is_python_and_its_magics_have_these_options(block: Block) -> None:
    text = _body(block)
    compile(TransformerManager().transform_cell(text), str(block), "exec", flags=1 << 13)  # a notebook awaits
    for line in block.text.splitlines():
        if line.startswith("%%byoc"):
            assert not isinstance(parser.parse(parser.cell_parser(), line.removeprefix("%%byoc")), str)
            _check_options(line, parser.cell_parser()._option_string_actions)
        elif found := re.match(r"(?:\w+ = )?%byoc (.+)", line):
            assert not isinstance(parser.parse(parser.build()[0], found[1]), str)
            _check_options(line, VERBS[found[1].split()[0]]._option_string_actions)
        else:
            assert not line.startswith("%") or line == "%load_ext byoc_nb", line


@pytest.mark.parametrize("block", ALONE, ids=str)
def test_python_runs_and_its_processors_take_frames(
    block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "program.py").write_text(block.text)
    ours = pytrickle_names.install()
    try:
        names: dict[str, Any] = runpy.run_path("program.py", run_name="__main__")
    finally:
        if ours:
            pytrickle_names.uninstall()
    for found in names.values():
        if getattr(found, "__module__", "") == "__main__" and is_processor(found):
            asyncio.run(_drive(found))


async def _drive(target: Any) -> None:
    """A picture and a sound through a processor."""
    if inspect.isclass(target) and issubclass(target, FrameProcessor):
        target._byoc_data_sink = staticmethod(lambda data: bool(json.dumps(data)))
    processor = Processor(target)
    await processor.load()
    made = await processor.video(VideoFrame(np.full((48, 64, 3), 90, np.uint8)))
    assert made is not None
    assert made.array.shape[2] == 3
    sound = tone(0)
    assert [frame.nb_samples for frame in await processor.audio(sound)] == [sound.nb_samples]


def _body(block: Block) -> str:
    """The block without the line of its cell magic; lines keep their numbers."""
    return re.sub(r"\A%%byoc.*", "", block.text)


# ---- commands


@pytest.mark.parametrize("block", all_blocks("sh"), ids=str)
def test_shell_commands_are_ones_that_there_are(block: Block) -> None:
    commands = list(shell_commands(block.text))
    assert commands
    for command in commands:
        _check_command(shlex.split(command))


def _check_command(words: list[str]) -> None:
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    match words:
        case ["make", *rest]:
            assert {word for word in rest if "=" not in word} <= TARGETS, words
        case ["byoc-nb", *rest]:
            _check_ours(rest)
        case ["docker", "build", *rest] if "-f" in rest:
            assert (ROOT / rest[rest.index("-f") + 1]).is_file()
        case ["curl", *rest]:
            _check_call(rest)
        case [program, *_]:
            assert program in PROGRAMS, words


def _check_ours(words: list[str]) -> None:
    _check_options(shlex.join(words), cli.build()._commands.choices[words[0]]._option_string_actions)
    try:
        cli._parse(words)
    except SystemExit as exit:
        assert not exit.code, words


def _check_call(words: list[str]) -> None:
    (url,) = (word for word in words if word.startswith("http"))
    parts = urlsplit(url)
    if parts.path == "/capability/register":  # the orchestrator's
        return
    method = "POST" if any(word.startswith(("-d", "--data")) for word in words) else "GET"
    assert f"`{method} {parts.path}`" in generator().routes()


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_text_are_ones_that_there_are(page: Path) -> None:
    for code in re.findall(r"`([^`\n]+)`", generator().filled(prose(page))):
        if found := re.match(r"%byoc ([a-z]\w*)(.*)", code):
            assert found[1] in VERBS, code
            _check_options(code, VERBS[found[1]]._option_string_actions)
        elif found := re.match(r"%%byoc (--.*)", code):
            _check_options(code, parser.cell_parser()._option_string_actions)
        elif found := re.match(r"byoc-nb ([a-z][\w-]*)(.*)", code):
            commands = cli.build()._commands.choices
            assert found[1] in commands, code
            _check_options(code.partition("|")[0], commands[found[1]]._option_string_actions)
        elif found := re.match(r"make ([a-z][\w-]*)", code):
            assert found[1] in TARGETS, code


def _check_options(code: str, known: dict[str, Any]) -> None:
    assert {word.rstrip("]") for word in re.findall(r"--[a-z][\w-]*", code)} <= known.keys(), code


# ---- data


@pytest.mark.parametrize("block", all_blocks("json", "yaml"), ids=str)
def test_data_is_data(block: Block) -> None:
    assert (json.loads if block.language == "json" else yaml.safe_load)(block.text)
    if "gateway_request_id" in block.text:
        assert parse_start(block.text.encode()).subscribe_url


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 180
