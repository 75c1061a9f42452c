"""A real JupyterLab with nothing of the user's own, and a real Chromium that looks at it."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import nbformat
import pytest
from e2e_kit import CLIP

ROOT = Path(__file__).parents[2]
WAIT = 60.0  # seconds after which a test has failed, never the time that it takes
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false"},
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}
CHROMIUM = shutil.which("chromium") or ""
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
VIEWPORT = {"width": 1400, "height": 1100}


def missing() -> str:
    """Why no browser test can run here; empty where it can."""
    try:
        import playwright.sync_api  # noqa: F401
    except ImportError:
        return "playwright is not installed"
    return "" if CHROMIUM else "there is no chromium on PATH"


@contextmanager
def lab(folder: Path, cells: list[str], *, theme: str = "JupyterLab Light") -> Iterator[str]:
    """A JupyterLab over `folder` with a notebook of these cells in it; gives the notebook's address."""
    private = folder / "jupyter"
    settings = private / "lab-settings"
    settings.mkdir(parents=True)
    overrides = SETTINGS | {"@jupyterlab/apputils-extension:themes": {"theme": theme}}
    (settings / "overrides.json").write_text(json.dumps(overrides))
    kernels = private / "data" / "kernels" / "byoc"
    shutil.copytree(ROOT / "kernels" / "byoc", kernels)
    spec = json.loads((kernels / "kernel.json").read_text())
    spec["argv"][0] = sys.executable
    (kernels / "kernel.json").write_text(json.dumps(spec))
    work = folder / "work"
    work.mkdir()
    (work / CLIP.name).symlink_to(CLIP)
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.metadata.kernelspec = {"name": "byoc", "display_name": "BYOC (Python)", "language": "python"}
    nbformat.write(book, work / "book.ipynb")
    token = secrets.token_hex(8)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "BYOC"))}
    environment |= {
        "BYOC_PORT": "0",
        "JUPYTER_CONFIG_DIR": str(private / "config"),
        "JUPYTER_DATA_DIR": str(private / "data"),
        "JUPYTER_RUNTIME_DIR": str(private / "runtime"),
        "IPYTHONDIR": str(private / "ipython"),
    }
    options = {
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": "0",
        "ServerApp.open_browser": "False",
        "ServerApp.allow_root": "True",
        "IdentityProvider.token": token,
        "LabApp.app_settings_dir": str(settings),
        "LabApp.user_settings_dir": str(private / "user-settings"),
        "LabApp.workspaces_dir": str(private / "workspaces"),
        "LabApp.extension_manager": "readonly",
        "LabApp.expose_app_in_browser": "True",
    }
    with (folder / "lab.log").open("w+") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in options.items())],
            cwd=work,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            address = _address(private / "runtime", process, folder / "lab.log")
            yield f"{address}lab/tree/book.ipynb?token={token}"
        finally:
            process.terminate()
            process.wait(30)


@contextmanager
def open_book(folder: Path, cells: list[str], *, flags: Sequence[str] = (), script: str = "") -> Iterator[Book]:
    """A notebook of these cells in a browser; at the end, no error was raised in the page.

    `flags` are Chromium's; `script` runs in the page before everything else.
    """
    if why := missing():
        pytest.skip(why)
    from playwright.sync_api import sync_playwright

    with lab(folder, cells) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, *flags])
        page = browser.new_page(viewport=VIEWPORT)
        failures: list[str] = []
        page.on("pageerror", lambda error: failures.append(str(error)))
        if script:
            page.add_init_script(script)
        try:
            yield Book(page, address, len(cells))
        except BaseException:
            page.screenshot(path=folder / "failed.png")
            raise
        assert not failures
        browser.close()


def _address(runtime: Path, process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + WAIT
    while True:
        for file in runtime.glob("jpserver-*.json"):
            try:
                address = str(json.loads(file.read_text())["url"])
                urlopen(f"{address}api", timeout=5).close()
                return address
            except (OSError, ValueError):
                pass
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


class Book:
    """The notebook in the page."""

    def __init__(self, page: Any, address: str, cells: int) -> None:
        self.page, self._address, self._cells = page, address, cells
        self.page.set_default_timeout(WAIT * 1000)
        self.open()

    def save(self, file: Path, having: str) -> str:
        """Save the notebook; its text, once that is in the file."""
        self.page.keyboard.press("Control+s")
        return self.until(lambda: (text := file.read_text()) and having in text and text)

    def until(self, condition: Callable[[], Any]) -> Any:
        """Wait for something outside of the page."""
        deadline = time.monotonic() + WAIT
        while not (found := condition()):
            assert time.monotonic() < deadline
            self.page.wait_for_timeout(20)
        return found

    def open(self) -> None:
        """Open it, also again."""
        self.page.goto(self._address)
        self.page.wait_for_function(
            "count => document.querySelectorAll('.jp-Notebook .jp-CodeCell').length === count", arg=self._cells
        )
        self.page.wait_for_function(
            "() => jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.connectionStatus === 'connected'"
        )
        self.page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]")

    def cell(self, number: int) -> Any:
        return self.page.locator(".jp-Notebook .jp-CodeCell").nth(number)

    def prompt(self, number: int) -> str:
        return re.sub(r"\s", "", self.cell(number).locator(".jp-InputPrompt").inner_text())

    def start(self, number: int) -> None:
        """Run a cell; one that is run before the kernel is connected is lost, and run again."""
        before = self.prompt(number)
        deadline = time.monotonic() + WAIT
        while self.prompt(number) == before and time.monotonic() < deadline:
            self.cell(number).locator(".cm-content").click()
            self.page.keyboard.press("Control+Enter")
            for _ in range(20):
                if self.prompt(number) != before:
                    return
                self.page.wait_for_timeout(50)

    def run(self, number: int) -> None:
        """Run a cell and wait for its end."""
        self.start(number)
        self.until(lambda: re.fullmatch(r"\[\d+\]:", self.prompt(number)))

    def edit(self, number: int, text: str) -> None:
        """Write another text into a cell."""
        self.cell(number).locator(".cm-content").click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.insert_text(text)

    def output(self, number: int) -> str:
        """What a cell has printed."""
        return "\n".join(self.cell(number).locator(".jp-OutputArea .jp-RenderedText").all_inner_texts())

    def theme(self, name: str) -> None:
        """Such as "JupyterLab Dark"."""
        self.page.evaluate("name => jupyterapp.commands.execute('apputils:change-theme', { theme: name })", name)
        self.page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=name)

    @property
    def dashboard(self) -> Any:
        return self.page.locator(".byoc-dashboard").last
