"""What the reference takes from the code is all that there is."""

from __future__ import annotations

import re

from docs_kit import DOCS, ROOT, generator

from byoc_nb import cli
from byoc_nb.notebook import parser

SOURCE = "".join(path.read_text() for path in (ROOT / "byoc_nb").rglob("*") if path.suffix in (".py", ".j2"))


def test_every_verb_and_option_of_the_magics_is_told() -> None:
    text = _page("magics")
    for name, verb in parser.build()[1].items():
        section = re.search(rf"^## `%byoc {name}`$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        assert section, name
        for option in verb._option_string_actions.keys() - {"-h", "--help"}:
            assert f"{option}" in section[1]
    assert "## `%%byoc`" in text


def test_every_command_is_told() -> None:
    text = _page("commands")
    for name in cli.build()._commands.choices:
        assert f"### `byoc-nb {name}`" in text


def test_every_route_is_told_with_its_aliases() -> None:
    text = _page("rest")
    for route in ("POST /stream/start", "POST /api/stream/stop", "GET /metrics", "POST /process/frame"):
        assert f"`{route}`" in text
    assert "HEAD" not in text
    assert "<!-- generated" not in text


def test_every_setting_is_one() -> None:
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)*)`", (DOCS / "reference" / "settings.md").read_text()))
    assert len(named) >= 15
    for name in named:
        assert re.search(rf'"(BYOC_)?{name.removeprefix("BYOC_")}"', SOURCE), name


def test_every_setting_of_the_registration_is_told() -> None:
    told = (DOCS / "reference" / "settings.md").read_text()
    registration = (ROOT / "byoc_nb" / "runtime" / "registration.py").read_text()
    for name in re.findall(r'"((?:ORCH|CAPABILITY)_[A-Z_]+)"', registration):
        assert f"`{name}`" in told


def _page(name: str) -> str:
    return str(generator().filled((DOCS / "reference" / f"{name}.md").read_text()))
