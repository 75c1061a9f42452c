"""`byoc-nb export FILE.py DIR` and what comes of it: it proves itself, runs, changes video, and ends when told."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from e2e_kit import clean_variables, run_until

from byoc_nb.runtime.ports import free_port

NEGATIVE = '''"""A processor in a file."""
import os
import time
from pathlib import Path

from byoc_nb import BaseModel, Field, FrameProcessor


def note(what):
    if "HOOKS" in os.environ:
        with Path(os.environ["HOOKS"]).open("a") as file:
            file.write(what + " ")


class Negative(FrameProcessor):
    class Params(BaseModel):
        """What can be "set", in $."""

        level: int = Field(255, ge=0, le=255)

    def load_model(self):
        note("load")

    def on_stream_start(self, params):
        note("start")

    def on_stream_stop(self):
        note("stop")

    def shutdown(self):
        note("shutdown")

    def process_video(self, frame):
        return frame.replace_array(self.params.level - frame.array)


if __name__ == "__main__":
    raise SystemExit("the file's own program")
'''


def byoc_nb(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "byoc_nb", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=clean_variables(), capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file's processor, exported."""
    here = tmp_path_factory.mktemp("export")
    (here / "negative.py").write_text(NEGATIVE)
    done = byoc_nb("export", "negative.py", "out", "--cpu", cwd=here)
    assert done.returncode == 0, done.stderr
    assert "50 frames of the bundled clip are bit-equal to the notebook's" in done.stdout
    return here / "out"


@asynccontextmanager
async def running(folder: Path, hooks: Path, **variables: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The exported program, and its URL."""
    port = free_port("127.0.0.1")
    environment = clean_variables() | {"PORT": str(port), "HOST": "127.0.0.1", "HOOKS": str(hooks), **variables}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "processor.py", cwd=folder, env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        await run_until(process, f"Trickle server listening on port {port}".encode())
        yield process, f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def end(process: asyncio.subprocess.Process) -> float:
    """SIGTERM; how long it then took to exit with 0."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.stderr is not None
    assert await asyncio.wait_for(process.wait(), 5) == 0, await process.stderr.read()
    return time.monotonic() - began


async def test_the_smoke_test_counts_the_pictures_that_come_back(folder: Path, tmp_path: Path) -> None:
    async with running(folder, tmp_path / "hooks", BYOC_POLICY="lossless") as (process, url):
        smoke = await asyncio.create_subprocess_exec(
            sys.executable, "smoke_test.py", url, cwd=folder, stdout=-1, stderr=-1, env=clean_variables()
        )
        said, errors = await asyncio.wait_for(smoke.communicate(), 60)
        assert (smoke.returncode, said) == (0, b"passed: 50 of 50 pictures came back\n"), errors
        await end(process)
    assert (tmp_path / "hooks").read_text().split() == ["load", "start", "stop", "shutdown"]


async def test_the_smoke_test_fails_where_nothing_runs(folder: Path) -> None:
    url = f"http://127.0.0.1:{free_port('127.0.0.1')}"
    smoke = await asyncio.create_subprocess_exec(
        sys.executable, "smoke_test.py", url, cwd=folder, stdout=-1, stderr=-1, env=clean_variables()
    )
    _, errors = await asyncio.wait_for(smoke.communicate(), 60)
    assert smoke.returncode == 1
    assert errors.startswith(b"failed: ") and errors.count(b"\n") == 1


async def test_sigterm_ends_the_stream_calls_the_hooks_and_exits_with_0(
    folder: Path, tmp_path: Path, trickle_channels: tuple[str, str]
) -> None:
    source, target = trickle_channels
    async with running(folder, tmp_path / "hooks") as (process, url):
        body = {"gateway_request_id": "x", "subscribe_url": source, "publish_url": target, "params": {}}
        async with aiohttp.ClientSession() as http, http.post(f"{url}/stream/start", json=body) as answer:
            assert answer.status == 200
        await end(process)
    assert (tmp_path / "hooks").read_text().split() == ["load", "start", "stop", "shutdown"]


@pytest.fixture
async def trickle_channels() -> AsyncIterator[tuple[str, str]]:
    from byoc_nb.trickle import TrickleServer

    server = TrickleServer()
    base = await server.start()
    for name in ("in", "out"):
        server.create(name)
    yield f"{base}/in", f"{base}/out"
    await server.stop()


def test_the_health_check_reads_the_answers_body(folder: Path) -> None:
    """As the Dockerfile has it: IDLE is healthy, LOADING is not yet, though both come with 200."""
    line = next(line for line in (folder / "Dockerfile").read_text().splitlines() if line.startswith("  CMD "))
    command = json.loads(line.removeprefix("  CMD "))
    server = """
import http.server, subprocess, sys, threading, os, json
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(json.dumps({"status": state}).encode())
    def log_message(self, *args): pass
with http.server.HTTPServer(("127.0.0.1", 0), Health) as server:
    threading.Thread(target=server.serve_forever, daemon=True).start()
    for state in ("IDLE", "OK", "LOADING", "ERROR"):
        environment = {**os.environ, "PORT": str(server.server_port)}
        print(subprocess.run([sys.executable, *sys.argv[1:]], env=environment).returncode, end=" ")
    server.shutdown()
"""
    done = subprocess.run([sys.executable, "-c", server, *command[1:]], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "0", "1", "1"]


def test_an_edited_export_is_kept_with_the_difference_shown(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "negative.py").write_text(NEGATIVE)
    assert byoc_nb("export", "negative.py", "out", "--no-prove", cwd=tmp_path).returncode == 0
    program = tmp_path / "out" / "processor.py"
    program.write_text(program.read_text().replace("self.params.level -", "7 +"))
    done = byoc_nb("export", "negative.py", "out", "--no-prove", cwd=tmp_path)
    assert done.returncode == 1
    assert "-        return frame.replace_array(7 + frame.array)" in done.stdout
    assert done.stderr.startswith("byoc-nb: processor.py in out was edited")
    assert "--force" in done.stderr


def test_a_file_is_checked_without_writing_anything(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(NEGATIVE.replace("self.params.level -", "missing -"))
    done = byoc_nb("check", "bad.py", cwd=tmp_path)
    assert done.returncode == 1
    assert "missing is not defined" in done.stdout
    assert byoc_nb("check", "none.py", cwd=tmp_path).stderr.startswith("byoc-nb: no such file")
