"""The pages that are whole flows, run as a reader would: cells in a real kernel, command lines as programs."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from docs_kit import CLIPS, DOCS, PAGES, Block, blocks
from kit import CLIP, until
from nbclient import NotebookClient
from nbclient.util import run_sync

from byoc_nb.runtime.ports import free_port

FLOWS = {
    name: page for page in PAGES for block in blocks(page) if (name := block.marks.get("notebook", ""))
}  # by name: each on one page
BETWEEN = "%byoc stop\n%unload_ext byoc_nb\n%reset -f\n%load_ext byoc_nb"
GAP = "…"


class Kernel:
    """A real kernel that works in a folder with the pages' clip."""

    def __init__(self, client: NotebookClient, notebook: nbformat.NotebookNode) -> None:
        self._client, self._notebook = client, notebook

    def run(self, text: str, *, refused: bool = False) -> str:
        """Run a cell and give all that it printed and returned, as text; raises CellExecutionError unless `refused`."""
        cell = nbformat.v4.new_code_cell(text)
        cell.metadata["tags"] = ["raises-exception"] if refused else []
        self._notebook.cells.append(cell)
        run_sync(self._client.async_execute_cell)(cell, len(self._notebook.cells) - 1)
        printed = "\n".join(map(_as_text, cell.outputs))
        failed = any(one.output_type == "error" for one in cell.outputs) or "UsageError: " in printed
        assert failed == refused, printed
        return printed


def _as_text(output: nbformat.NotebookNode) -> str:
    if output.output_type == "error":
        return f"{output.ename}: {output.evalue}"
    return str(output.get("text", "") or output.get("data", {}).get("text/plain", ""))


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    folder = tmp_path_factory.mktemp("kernel")
    for name in CLIPS:
        shutil.copy(CLIP, folder / name)
    notebook = nbformat.v4.new_notebook()
    # an export's hashes would be looked for on the package index, for minutes
    environment = {**os.environ, "BYOC_PORT": "0", "UV_OFFLINE": "1", "IPYTHONDIR": str(folder / "ipython")}
    client = NotebookClient(notebook, timeout=60, resources={"metadata": {"path": str(folder)}})
    with client.setup_kernel(env=environment):
        kernel = Kernel(client, notebook)
        kernel.run("%load_ext byoc_nb")
        yield kernel
        kernel.run("%byoc stop")


@pytest.mark.parametrize("name", sorted(FLOWS))
def test_the_cells_of_a_page_do_what_it_says(kernel: Kernel, name: str) -> None:
    kernel.run(BETWEEN)
    printed = ""
    for block in blocks(FLOWS[name]):
        if block.marks.get("notebook") == name:
            printed = _run(kernel, block)
        elif "prints" in block.marks:
            for line in filter(None, block.text.splitlines()):
                pattern = ".*".join(map(re.escape, line.split(GAP)))
                assert re.search(pattern, printed), f"{block}: {line!r} isn't in {printed!r}"


def _run(kernel: Kernel, block: Block) -> str:
    try:
        return kernel.run(block.text, refused="refused" in block.marks)
    except Exception as error:
        raise AssertionError(f"{block}: {error}") from error


def test_each_flow_is_on_one_page() -> None:
    for name, page in FLOWS.items():
        assert not [
            other for other in PAGES if other != page for block in blocks(other) if block.marks.get("notebook") == name
        ]
    assert len(FLOWS) >= 8


# ---- the command line


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    running: list[subprocess.Popen[str]] = []
    yield running
    for one in reversed(running):
        if one.poll() is None:
            one.send_signal(signal.SIGINT)
    for one in running:
        one.communicate(timeout=20)


def test_the_local_test_of_a_container(programs: list[subprocess.Popen[str]], tmp_path: Path) -> None:
    page = DOCS / "guides" / "without-a-notebook.md"
    shutil.copy(CLIP, tmp_path / "clip.mp4")
    (file,) = (block for block in blocks(page) if "file" in block.marks)
    (tmp_path / file.marks["file"]).write_text(file.text)
    begin, control = (block.text for block in blocks(page) if "network" in block.marks)
    ports = {"3389": str(free_port("127.0.0.1", near=3400)), "8000": str(free_port("127.0.0.1", near=8100))}

    def start(line: str) -> subprocess.Popen[str]:
        for told, free in ports.items():
            line = line.replace(told, free)
        program, *words = shlex.split(line)
        assert program == "byoc-nb"
        words += ["--host", "127.0.0.1"] if words[0] == "serve" else []
        command = [sys.executable, "-m", "byoc_nb", *words]
        pipe = subprocess.PIPE
        one = subprocess.Popen(command, cwd=tmp_path, stdout=pipe, stderr=subprocess.STDOUT, text=True)
        programs.append(one)
        return one

    def says(one: subprocess.Popen[str], text: str) -> None:
        assert one.stdout is not None
        for line in one.stdout:
            if text in line:
                return
        raise AssertionError(f"{one.args} ended without saying {text!r}")

    server, serve, publish, begin_stream, subscribe = begin.splitlines()
    says(start(server), "trickle server at")
    says(start(serve), "listening")
    start(publish)
    until(lambda: _exists(f"http://127.0.0.1:{ports['3389']}/input"), 20.0)
    says(start(begin_stream), "success")
    start(subscribe)
    out = tmp_path / "out.ts"
    until(lambda: out.exists() and out.stat().st_size > 100_000, 20.0)
    for line, said in zip(control.splitlines(), ("success", "frames_out", "success"), strict=True):
        says(start(line), said)
    assert out.read_bytes()[:1] == b"\x47"  # MPEG-TS


def _exists(channel: str) -> bool:
    """Whether somebody publishes to a channel."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{channel}/next", timeout=5) as answer:
        return int(answer.read()) > 0
    return False
