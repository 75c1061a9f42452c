"""The dashboard in a real JupyterLab, in a real browser."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from lab_kit import open_book
from page_kit import EXTENSION, GREEN, HUB, PROCESSOR, QUICKSTART_CELLS, SERVE, advances, live, serve, slide

BLOCK, PARAMS, TOKEN, STOP, AGAIN, COUNT = range(3, 9)
CELLS = list(QUICKSTART_CELLS)
CELLS += [
    "import os, time\nwhile not os.path.exists('go'):\n    time.sleep(0.02)",
    "%byoc params strength=0.2",
    f"{HUB}\n_ = open('token', 'w').write(hub.token)",
    "%byoc stop",
    "%byoc serve",
    "# far from the dashboard" + "\n" * 60 + "import time\n"
    "def frames(number):\n"
    "    before = out()\n"
    "    while out() < before + number:\n"
    "        time.sleep(0.01)\n"
    "frames(15)\n"
    "before = hub.encoded\n"
    "frames(30)\n"
    "print('encoded', hub.encoded - before)",
]


@pytest.mark.timeout(300)
def test_the_dashboard_is_live_and_acts_on_the_picture(tmp_path: Path) -> None:
    with open_book(tmp_path, CELLS) as book:
        page = book.page
        serve(book)
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


@pytest.mark.timeout(200)
def test_where_no_websocket_gets_through_the_kernels_messages_carry_it(tmp_path: Path) -> None:
    no_socket = """const Socket = window.WebSocket;
        window.WebSocket = class extends Socket {
            constructor(address, ...more) {
                super(/dashboard/.test(address) ? "ws://127.0.0.1:9/" : address, ...more);
            }
        };"""
    with open_book(tmp_path, [*QUICKSTART_CELLS, "%byoc serve"], script=no_socket) as book:
        for cell in (EXTENSION, PROCESSOR, SERVE):
            book.run(cell)
        live(book, "over messages")
        slide(book, "End", "> 240")

        page = book.page  # another view is told where the server is; that is no news to this one
        page.evaluate(
            """() => {
                const root = document.querySelector('.byoc-dashboard');
                window.states = [];
                new MutationObserver(() => window.states.push(root.dataset.state)).observe(
                    root, { attributeFilter: ['data-state'] });
            }"""
        )
        book.run(len(QUICKSTART_CELLS))
        page.wait_for_function(
            "() => document.querySelectorAll(\".byoc-dashboard[data-state='over messages']\").length === 2"
        )
        book.dashboard.get_by_role("slider", name="Strength").wait_for()  # the new one's
        assert page.evaluate("() => window.states") == []
