"""How the dashboard looks, to eyes and to a screen reader, and what is in its tabs and presets."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import lab_kit
import pytest
from lab_kit import Book, open_book
from page_kit import green, live, serve, slide
from PIL import Image

CELLS = [
    "%load_ext byoc_nb",
    "%%byoc\n"
    "class GreenTint(FrameProcessor):\n"
    "    class Params(BaseModel):\n"
    "        strength: float = Field(0.3, ge=0, le=1, description='how green it gets')\n"
    "        mode: Literal['add', 'multiply'] = 'add'\n"
    "        invert: bool = False\n"
    "        color: str = '#20c060'\n"
    "        steps: int = Field(4, ge=1, json_schema_extra={'load': True})\n"
    "    async def process_video_async(self, frame):\n"
    "        out = frame.tensor.clone()\n"
    "        out[..., 1] = (out[..., 1] + self.params.strength).clamp(0, 1)\n"
    "        return frame.replace_tensor(out)",
    "%byoc serve --source bigbuckbunny.mp4",
]
CELLS[1] = CELLS[1].replace("class GreenTint", "from typing import Literal\nclass GreenTint", 1)
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
WIDTHS = (1400, 900)
ENOUGH_CONTRAST = 4.5  # WCAG 2's AA for text of the usual size
FAINT = """(enough) => {
    const channel = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
    const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
    const parts = (color) => {
        const found = color.match(/[\\d.]+/g).map(Number);
        return color.startsWith("color(srgb") ? [...found.slice(0, 3).map((one) => one * 255), found[3] ?? 1] : found;
    };
    const over = (upper, lower) => {
        const alpha = upper[3] ?? 1;
        return upper.slice(0, 3).map((one, at) => one * alpha + lower[at] * (1 - alpha));
    };
    const behind = (element) => {
        const layers = [];
        for (let one = element; one; one = one.parentElement) layers.push(parts(getComputedStyle(one).backgroundColor));
        return layers.reverse().reduce((lower, upper) => over(upper, lower), [255, 255, 255]);
    };
    const faint = [];
    const walker = document.createTreeWalker(document.querySelector(".byoc-dashboard"), NodeFilter.SHOW_ELEMENT);
    while (walker.nextNode()) {
        const element = walker.currentNode;
        const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
        const field = element.matches("input:not([type=range]):not([type=checkbox]):not([type=color]), textarea");
        if (!(text || field) || element.disabled || !element.checkVisibility()) continue;
        const back = behind(element), front = over(parts(getComputedStyle(element).color), back);
        const [low, high] = [light(back), light(front)].sort((one, other) => one - other);
        const ratio = (high + 0.05) / (low + 0.05);
        if (ratio < enough) faint.push(`${element.tagName} ${element.className} "${element.textContent}": ${ratio}`);
    }
    return faint;
}"""
CONTROLS = {
    "button",
    "checkbox",
    "combobox",
    "listbox",
    "slider",
    "spinbutton",
    "switch",
    "tab",
    "textbox",
    "ColorWell",
}


def controls(book: Book) -> list[tuple[str, str]]:
    """Role and name of every control, as a screen reader gets them."""
    session = book.page.context.new_cdp_session(book.page)
    root = session.send("Runtime.evaluate", {"expression": "document.querySelector('.byoc-dashboard')"})
    tree = session.send("Accessibility.queryAXTree", {"objectId": root["result"]["objectId"]})
    nodes = [node for node in tree["nodes"] if not node["ignored"]]
    return [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes]


def overflowing(book: Book) -> list[str]:
    """What is cut off at the right."""
    found: Any = book.page.evaluate(
        """() => {
            const root = document.querySelector(".byoc-dashboard"), edge = root.getBoundingClientRect().right + 0.5;
            const seen = [...root.querySelectorAll("*")].filter((element) => element.checkVisibility());
            return seen.filter((element) => element.getBoundingClientRect().right > edge).map((one) => one.outerHTML);
        }"""
    )
    return list(found)


def screenshot(book: Book, file: Path) -> None:
    """A picture of the dashboard, with few colours, so that it is small."""
    book.dashboard.scroll_into_view_if_needed()
    picture = Image.open(io.BytesIO(book.dashboard.screenshot()))
    picture.convert("RGB").quantize(192).save(file, optimize=True)


def preset(book: Book, name: str) -> None:
    """Save the parameters."""
    book.dashboard.get_by_label("Save as").fill(name)
    book.dashboard.get_by_role("button", name="Save", exact=True).click()
    book.page.wait_for_function(
        "name => [...document.querySelectorAll('[id$=-preset] option')].some(one => one.text === name)", arg=name
    )


@pytest.mark.timeout(300)
def test_everything_has_a_name_and_can_be_read_in_both_themes(tmp_path: Path) -> None:
    kept = Path(lab_kit.ROOT / "docs" / "images") if os.environ.get("BYOC_SCREENSHOTS") == "1" else tmp_path
    kept.mkdir(exist_ok=True)
    with open_book(tmp_path, CELLS) as book:
        serve(book)
        slide(book, "Home", "< 210")
        preset(book, "plain")
        slide(book, "End", "> 240")
        preset(book, "vivid")
        found = controls(book)
        assert CONTROLS & {role for role, _ in found} >= {
            "button",
            "slider",
            "spinbutton",
            "combobox",
            "textbox",
            "tab",
        }
        assert [role for role, name in found if role in CONTROLS and not name] == []
        for width in reversed(WIDTHS):
            book.page.set_viewport_size({"width": width, "height": 1100})
            for name, theme in THEMES.items():
                book.theme(theme)
                live(book)
                assert book.page.evaluate(FAINT, ENOUGH_CONTRAST) == []
                assert overflowing(book) == []
                file = (
                    kept if width == WIDTHS[0] else tmp_path
                ) / f"dashboard-{name}{'' if width == WIDTHS[0] else f'-{width}'}.png"
                screenshot(book, file)
                assert file.stat().st_size < 200_000
        book.dashboard.get_by_role("tab", name="Log").click()
        assert book.page.evaluate(FAINT, ENOUGH_CONTRAST) == []
        book.dashboard.get_by_role("tab", name="Plot").click()
        book.page.wait_for_function("() => document.querySelector('.byoc-chart').naturalWidth > 500")
        assert book.page.evaluate(FAINT, ENOUGH_CONTRAST) == []


@pytest.mark.timeout(300)
def test_two_presets_are_compared_by_a_key_and_outlive_the_server(tmp_path: Path) -> None:
    cells = [*CELLS, "%byoc stop", "%byoc serve"]
    with open_book(tmp_path, cells) as book:
        serve(book)
        slide(book, "Home", "< 210")
        preset(book, "plain")
        slide(book, "End", "> 240")
        preset(book, "vivid")
        in_force = book.dashboard.get_by_label("preset in force")
        book.until(lambda: in_force.inner_text() == "B: vivid")
        canvas = book.dashboard.locator(".byoc-canvas")
        canvas.press("x")
        green(book, "< 210")
        book.until(lambda: in_force.inner_text() == "A: plain")
        canvas.press("x")
        green(book, "> 240")
        book.until(lambda: in_force.inner_text() == "B: vivid")
        book.dashboard.get_by_label("Save as").press("x")  # a letter of a name
        assert book.dashboard.get_by_label("Save as").input_value() == "x"
        slide(book, "ArrowLeft", "> 0")
        book.until(lambda: in_force.inner_text() == "")

        book.save(tmp_path / "work" / "book.ipynb", "widget-view")
        book.open()
        live(book)
        book.run(3)
        book.run(4)
        book.page.wait_for_selector(".byoc-dashboard[data-state=live]")
        chosen = book.dashboard.get_by_label("Preset", exact=True)
        book.until(lambda: chosen.locator("option").all_inner_texts() == ["plain", "vivid"])
        chosen.select_option("plain")
        book.dashboard.get_by_role("button", name="Load").click()
        book.until(lambda: book.dashboard.get_by_label("preset in force").inner_text() == "A: plain")
        book.dashboard.get_by_role("button", name="Delete").click()
        book.until(lambda: chosen.locator("option").all_inner_texts() == ["vivid"])
        assert "plain" not in (tmp_path / "work" / ".byoc" / "presets.json").read_text()
