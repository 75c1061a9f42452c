"""The site is built without a warning, and fetches nothing from elsewhere when it is looked at."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from docs_kit import DOCS, PAGES, ROOT, generator

MKDOCS = ROOT / ".venvs" / "docs" / "bin" / "mkdocs"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not MKDOCS.is_file():
        pytest.skip("mkdocs isn't installed: make docs installs it into .venvs/docs")
    folder = tmp_path_factory.mktemp("site")
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        [MKDOCS, "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert not re.search(r"WARNING|ERROR", done.stderr), done.stderr
    return folder


def test_every_page_is_built_and_names_its_own(site: Path) -> None:
    for page in PAGES:
        if DOCS in page.parents:
            built = (site / page.relative_to(DOCS)).with_suffix(".html")
            assert "<h1" in built.read_text()
    assert not list(site.rglob("*.py"))


def test_a_page_fetches_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        fetched = re.findall(
            r"<(?:script|img|link|iframe|source)\b[^>]*?(?:src|href|srcset)=\"?([^\"\s>]+)", page.read_text()
        )
        assert fetched
        assert not [url for url in fetched if url.startswith(("http:", "https:", "//"))], page


def test_the_reference_is_filled_and_the_drawings_are_inside(site: Path) -> None:
    assert "generated:" not in (site / "reference" / "magics.html").read_text()
    assert (site / "reference" / "processor.html").read_text().count("doc-heading") > 20
    assert (site / "protocol.html").read_text().count("<svg viewBox") == 4
    assert (site / "images" / "logo.svg").read_bytes() == generator().LOGO.read_bytes()
    assert "Unreleased" in (site / "changelog.html").read_text()
