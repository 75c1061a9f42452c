"""A running dashboard: what is on it, and when it follows."""

from __future__ import annotations

import lab_kit
import nbformat
from lab_kit import Book

QUICKSTART = nbformat.read(lab_kit.ROOT / "notebooks" / "01_quickstart.ipynb", as_version=4)
QUICKSTART_CELLS = [cell.source for cell in QUICKSTART.cells if cell.cell_type == "code"][:3]
EXTENSION, PROCESSOR, SERVE = range(3)
HUB = (
    "from byoc_nb.notebook.extension import workbench\n"
    "hub = workbench(get_ipython()).hub\n"
    "def figures():\n"
    "    return hub.subject.figures.now()\n"
    "def out():\n"
    "    return figures()['frames_out']"
)
GREEN = """() => {
    const canvas = document.querySelector('.byoc-canvas');
    const half = canvas.width / 2 + 10;
    const data = canvas.getContext('2d').getImageData(half, 0, canvas.width - half, canvas.height).data;
    let sum = 0;
    for (let at = 1; at < data.length; at += 4) sum += data[at];
    return sum / (data.length / 4);
}"""  # how green the output picture is: nearly 255 at full strength, whatever the video shows


def serve(book: Book) -> None:
    """Run the first three cells; the dashboard is live."""
    for cell in (EXTENSION, PROCESSOR, SERVE):
        book.run(cell)
    live(book)


def live(book: Book, state: str = "live") -> None:
    """Wait until the dashboard is connected and its picture has changed."""
    page = book.page
    page.wait_for_selector(f".byoc-dashboard[data-state='{state}']")
    page.wait_for_selector(".byoc-canvas[data-at]")
    advances(book)


def advances(book: Book) -> None:
    """Wait until half a second of video has gone by on the canvas, and other pixels are there."""
    book.page.evaluate(
        """() => {
            const canvas = document.querySelector('.byoc-canvas');
            window.before = { at: Number(canvas.dataset.at), pixels: canvas.toDataURL() };
        }"""
    )
    book.page.wait_for_function(
        """() => {
            const canvas = document.querySelector('.byoc-canvas');
            return Number(canvas.dataset.at) > window.before.at + 0.5 && canvas.toDataURL() !== window.before.pixels;
        }"""
    )


def green(book: Book, condition: str) -> None:
    """Wait until the output picture is so green, such as "> 240"."""
    book.page.wait_for_function(f"() => ({GREEN})() {condition}")


def slide(book: Book, key: str, condition: str) -> None:
    """Move the strength slider with a key; the output picture follows."""
    book.dashboard.get_by_role("slider", name="Strength").press(key)
    green(book, condition)


def says(book: Book, selector: str, part: str) -> None:
    """Wait until an element has this in its text."""
    book.page.wait_for_function(
        "([selector, part]) => document.querySelector(selector)?.textContent.includes(part)", arg=[selector, part]
    )
