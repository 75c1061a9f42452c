"""The map in CONTRIBUTING.md leads somewhere, and the hooks are what `make lint` runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
MAP = (ROOT / "CONTRIBUTING.md").read_text()
PATHS = sorted(set(re.findall(r"`((?:[\w.-]+/)*[\w.-]+(?:/|\.\w+))`", MAP)))


@pytest.mark.parametrize("path", PATHS)
def test_every_path_on_the_map_is_there(path: str) -> None:
    found = ROOT / path
    assert found.is_dir() if path.endswith("/") else found.is_file()


def test_every_room_is_on_the_map() -> None:
    rooms = {path.parent.name for path in (ROOT / "byoc_nb").glob("*/__init__.py")}
    missing = {room for room in rooms if f"byoc_nb/{room}/" not in MAP}
    assert not missing
    assert len(PATHS) > 40


def test_every_room_is_drawn() -> None:
    drawn = (ROOT / "ARCHITECTURE.md").read_text()
    for path in (ROOT / "byoc_nb").glob("*/__init__.py"):
        assert re.search(rf"\b{path.parent.name}\b", drawn), path.parent.name


def test_the_hooks_are_what_lint_runs() -> None:
    (lint,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)
    tools = set(re.findall(r"\$\(BIN\)/([\w-]+(?: check| format)?)", lint))
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    hooks = [hook for repo in config["repos"] for hook in repo["hooks"]]
    assert {hook["entry"].removeprefix(".venv/bin/").removesuffix(" --fix") for hook in hooks} == tools
    assert {repo["repo"] for repo in config["repos"]} == {"local"}  # no network


def test_every_target_is_in_the_help_and_what_the_map_names_is_a_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    told = set(re.findall(r"^([a-z-]+):.*##", makefile, re.MULTILINE))
    assert told >= {"help", "demo", "lab", "test", "test-fast", "coverage", "bench", "docs", "lint", "format", "clean"}
    assert set(re.findall(r"^make ([a-z-]+)|`make ([a-z-]+)`", MAP, re.MULTILINE)) <= {
        pair for name in told for pair in ((name, ""), ("", name))
    }
