"""Every link leads somewhere: files and anchors are there, outer ones have the form of a URL. Nothing is fetched."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from docs_kit import DOCS, OTHERS, PAGES, ROOT, anchors, prose

_LINKS = re.compile(r"\]\(\s*<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\s*\)|(?:src|srcset|href)=\"([^\"]+)\"")
MADE = {DOCS / "images" / "logo.svg"}  # by the hook


@pytest.mark.parametrize("page", [*PAGES, *OTHERS], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = [target for target in _targets(page) if not _leads(page, target)]
    assert not broken


def test_links_are_found() -> None:
    assert len(_targets(ROOT / "README.md")) > 15
    assert not _leads(ROOT / "README.md", "docs/nowhere.md")
    assert not _leads(ROOT / "README.md", "docs/tutorial.md#nowhere")
    assert _leads(ROOT / "README.md", "docs/tutorial.md#5-break-it")


def _targets(page: Path) -> list[str]:
    bare = re.sub(r"`[^`]*`", "", prose(page))
    return [one or other for one, other in _LINKS.findall(bare)]


def _leads(page: Path, target: str) -> bool:
    parts = urlsplit(target)
    if parts.scheme:
        return parts.scheme in ("https", "mailto") and bool(parts.netloc or parts.path)
    path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    if path in MADE:
        return True
    if not path.exists() or ROOT not in path.parents:
        return False
    return path.suffix != ".md" or not parts.fragment or parts.fragment in anchors(path)


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    told = set(re.findall(r"[\w/-]+\.md", text))
    assert told == {str(page.relative_to(DOCS)) for page in PAGES if DOCS in page.parents}


def test_every_drawing_is_shown_and_takes_the_pages_colours() -> None:
    shown = "".join(page.read_text() for page in PAGES)
    drawings = sorted((DOCS / "pictures").glob("*.svg"))
    assert len(drawings) >= 5
    for drawing in drawings:
        assert f"docs/pictures/{drawing.name}" in shown
        assert "#" not in re.sub(r"url\(#[\w-]+\)", "", drawing.read_text())  # no colour of its own
        assert 'aria-label="' in drawing.read_text()
