"""Another source, chosen in the dashboard: a file to seek in, and the camera of the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from lab_kit import CAMERA, Book, open_book
from page_kit import QUICKSTART_CELLS, advances, says, serve

CELLS = [*QUICKSTART_CELLS[:2], "%byoc serve --source testsrc"]


def switch(book: Book, kind: str, spec: str = "") -> None:
    """Choose a source."""
    book.dashboard.get_by_label("Source", exact=True).select_option(kind)
    if spec:
        book.dashboard.get_by_label("file, folder or URL", exact=True).fill(spec)
    book.dashboard.get_by_role("button", name="Switch", exact=True).click()


@pytest.mark.timeout(300)
def test_the_source_is_switched_while_the_stream_is_watched(tmp_path: Path) -> None:
    with open_book(tmp_path, CELLS) as book:
        serve(book)
        says(book, ".byoc-source-state", "now: testsrc")
        assert not book.dashboard.get_by_label("position").is_visible()

        switch(book, "", "gone.mp4")
        says(book, "[id$='-source-error']", "no such file: gone.mp4")
        advances(book)

        switch(book, "", "bigbuckbunny.mp4")
        says(book, ".byoc-source-state", "now: bigbuckbunny.mp4")
        says(book, ".byoc-captions", "1280×720")
        assert book.page.locator("[id$='-source-error']").inner_text() == ""
        advances(book)

        book.dashboard.get_by_label("speed").select_option("0.25")
        book.dashboard.get_by_label("position").fill("4")
        book.page.wait_for_function(
            "() => { const at = document.querySelector('[aria-label=position]').value; return at >= 4 && at < 5; }"
        )
        assert book.dashboard.get_by_label("speed").input_value() == "0.25"

        switch(book, "webcam")  # this browser has no camera
        says(book, "[id$='-source-error']", "camera")
        says(book, ".byoc-source-state", "now: bigbuckbunny.mp4")


@pytest.mark.timeout(300)
def test_the_camera_of_the_page_is_a_source(tmp_path: Path) -> None:
    with open_book(tmp_path, CELLS, flags=CAMERA) as book:
        serve(book)
        switch(book, "webcam")
        says(book, ".byoc-source-state", "now: webcam")
        says(book, ".byoc-captions", "640×480")
        advances(book)
        advances(book)

        book.save(tmp_path / "work" / "book.ipynb", "widget-view")
        book.open()  # the page that filmed is gone
        says(book, ".byoc-source-state", "no page films it")
        switch(book, "webcam")
        book.page.wait_for_function(
            "() => !document.querySelector('.byoc-source-state').textContent.includes('no page films it')"
        )
        advances(book)

        switch(book, "testsrc")
        says(book, ".byoc-source-state", "now: testsrc")
        advances(book)
