"""The dashboard in a real JupyterLab, in a real browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lab_kit
import nbformat
import pytest
from lab_kit import FLAGS, Book, lab

QUICKSTART = nbformat.read(lab_kit.ROOT / "notebooks" / "01_quickstart.ipynb", as_version=4)
CELLS = [cell.source for cell in QUICKSTART.cells if cell.cell_type == "code"][:3]
EXTENSION, PROCESSOR, SERVE, BLOCK, PARAMS, TOKEN, STOP, AGAIN, COUNT = range(9)
CELLS += [
    "import os, time\nwhile not os.path.exists('go'):\n    time.sleep(0.02)",
    "%byoc params strength=0.2",
    "from byoc_nb.notebook.extension import workbench\n"
    "hub = workbench(get_ipython()).hub\n"
    "_ = open('token', 'w').write(hub.token)",
    "%byoc stop",
    "%byoc serve",
    "# far from the dashboard" + "\n" * 60 + "import time\n"
    "stats = hub._server.session.stats\n"
    "def frames(number):\n"
    "    out = stats.frames_out\n"
    "    while stats.frames_out < out + number:\n"
    "        time.sleep(0.01)\n"
    "frames(15)\n"
    "before = hub.encoded\n"
    "frames(30)\n"
    "print('encoded', hub.encoded - before)",
]
VIEWPORT = {"width": 1400, "height": 1100}
GREEN = """() => {
    const canvas = document.querySelector('.byoc-canvas');
    const half = canvas.width / 2 + 10;
    const data = canvas.getContext('2d').getImageData(half, 0, canvas.width - half, canvas.height).data;
    let sum = 0;
    for (let at = 1; at < data.length; at += 4) sum += data[at];
    return sum / (data.length / 4);
}"""  # how green the output picture is: nearly 255 at full strength, whatever the video shows


@pytest.fixture
def browser() -> Iterator[Any]:
    if why := lab_kit.missing():
        pytest.skip(why)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=lab_kit.CHROMIUM, args=FLAGS)
        yield running
        running.close()


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


def slide(book: Book, key: str, green: str) -> None:
    """Move the strength slider with a key; the output picture follows."""
    book.dashboard.get_by_role("slider", name="Strength").press(key)
    book.page.wait_for_function(f"() => ({GREEN})() {green}")


@pytest.mark.timeout(300)
def test_the_dashboard_is_live_and_acts_on_the_picture(tmp_path: Path, browser: Any) -> None:
    with lab(tmp_path, CELLS) as address:
        page = browser.new_page(viewport=VIEWPORT)
        failures: list[str] = []
        page.on("pageerror", lambda error: failures.append(str(error)))
        book = Book(page, address, len(CELLS))
        for cell in (EXTENSION, PROCESSOR, SERVE):
            book.run(cell)
        live(book)
        assert not failures
        strength = book.dashboard.get_by_label("Strength, exact")
        error = page.locator("[id$='-strength-error']")

        slide(book, "End", "> 240")
        slide(book, "Home", "< 210")
        strength.fill("5")
        page.wait_for_function("() => document.querySelector('[id$=\"-strength-error\"]').textContent")
        assert "less than or equal to 1" in error.inner_text() and strength.input_value() == "5"

        book.dashboard.locator(".byoc-canvas").hover(position={"x": 700, "y": 50})
        page.wait_for_function(
            "() => /^\\d+, \\d+ · input \\d+ \\d+ \\d+ · output \\d+ \\d+ \\d+$/"
            ".test(document.querySelector('.byoc-pixel').textContent)"
        )
        with page.expect_download() as download:
            book.dashboard.get_by_role("button", name="Snapshot").click()
        assert download.value.path().read_bytes().startswith(b"\x89PNG")
        book.dashboard.get_by_role("button", name="Pause").click()
        book.dashboard.get_by_role("button", name="Go on").click()
        advances(book)

        book.start(BLOCK)  # the kernel is blocked from here on
        page.wait_for_function(
            "number => document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')[number].textContent.includes('*')",
            arg=BLOCK,
        )
        book.dashboard.scroll_into_view_if_needed()
        advances(book)
        slide(book, "End", "> 240")
        slide(book, "Home", "< 210")
        assert error.inner_text() == ""
        assert "*" in book.prompt(BLOCK)
        (tmp_path / "work" / "go").touch()

        book.run(PARAMS)
        page.wait_for_function("() => document.querySelector('.byoc-slider input[type=number]').value === '0.2'")
        assert book.dashboard.get_by_role("slider", name="Strength").input_value() == "0.2"

        book.run(TOKEN)
        text = book.save(tmp_path / "work" / "book.ipynb", "image/jpeg")
        assert (tmp_path / "work" / "token").read_text() not in text
        assert len(text) < 100_000
        outputs = json.loads(text)["cells"][SERVE]["outputs"]
        assert any("application/vnd.jupyter.widget-view+json" in one.get("data", {}) for one in outputs)

        book.open()  # the page anew: the dashboard comes back
        live(book)
        slide(book, "End", "> 240")

        book.run(COUNT)
        assert re.search(r"encoded 0\b", book.cell(COUNT).inner_text())

        book.run(STOP)
        page.wait_for_selector(".byoc-dashboard[data-state='stopped']", state="attached")
        assert page.evaluate(GREEN) > 240  # the last picture is still there
        book.run(AGAIN)  # another server, and another output: the old one connects to it, too
        page.wait_for_function("() => document.querySelectorAll('.byoc-dashboard[data-state=live]').length === 2")
        assert not failures


@pytest.mark.timeout(200)
def test_where_no_websocket_gets_through_the_kernels_messages_carry_it(tmp_path: Path, browser: Any) -> None:
    with lab(tmp_path, CELLS) as address:
        page = browser.new_page(viewport=VIEWPORT)
        page.add_init_script(
            """const Socket = window.WebSocket;
            window.WebSocket = class extends Socket {
                constructor(address, ...more) {
                    super(/dashboard/.test(address) ? "ws://127.0.0.1:9/" : address, ...more);
                }
            };"""
        )
        book = Book(page, address, len(CELLS))
        for cell in (EXTENSION, PROCESSOR, SERVE):
            book.run(cell)
        live(book, "over messages")
        slide(book, "End", "> 240")
