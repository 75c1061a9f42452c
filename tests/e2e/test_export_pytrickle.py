"""`byoc-nb export … --runtime pytrickle`, run by pytrickle's own Python: it changes video and ends when told."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from e2e_kit import clean_variables
from fault_kit import PICTURES, clip_segments
from kit import WAIT, Trickle, auntil, collect, decode
from test_export_program import byoc_nb
from test_pytrickle_container import SECONDS, assert_negative, publish_clip

from byoc_nb.runtime.ports import free_port

PYTRICKLE = os.environ.get("BYOC_PYTRICKLE_PYTHON", "")
NEGATIVE = """
from pytrickle import FrameProcessor


class Negative(FrameProcessor):
    async def load_model(self):
        self.level = 1.0

    async def process_video_async(self, frame):
        return frame.replace_tensor(self.level - frame.tensor)
"""

pytestmark = [
    pytest.mark.skipif(not PYTRICKLE, reason="no environment with pytrickle: run it as `make test`"),
    pytest.mark.skipif(not shutil.which("ffmpeg"), reason="the ffmpeg program is not installed"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file's processor, exported and proven."""
    here = tmp_path_factory.mktemp("pytrickle")
    (here / "negative.py").write_text(NEGATIVE)
    command = [sys.executable, "-m", "byoc_nb", "export", "negative.py", "out", "--cpu", "--runtime", "pytrickle"]
    environment = clean_variables() | {"BYOC_PYTRICKLE_PYTHON": PYTRICKLE}
    done = subprocess.run(command, cwd=here, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads((here / "out" / "byoc.json").read_text())["proof"]["runtime"] == "pytrickle 0.1.6"
    return here / "out"


async def test_pytrickle_serves_it_and_sigterm_ends_it(folder: Path, trickle: Trickle) -> None:
    port = free_port("127.0.0.1")
    environment = clean_variables() | {"PORT": str(port), "HOST": "127.0.0.1", "LOG_LEVEL": "WARNING"}
    process = await asyncio.create_subprocess_exec(PYTRICKLE, "processor.py", cwd=folder, env=environment)
    rest = f"http://127.0.0.1:{port}"
    urls = {"subscribe_url": trickle.channel("in"), "publish_url": trickle.channel("out")}
    try:
        async with aiohttp.ClientSession() as http, asyncio.timeout(90):
            await until_idle(http, rest, process)
            params = {"width": 160, "height": 90, "max_framerate": 25}
            body = {"gateway_request_id": "x", "params": params, **urls}
            async with http.post(f"{rest}/stream/start", json=body) as answer:
                assert answer.status == 200, await answer.text()
            reading = asyncio.create_task(collect(urls["publish_url"]))
            await publish_clip(urls["subscribe_url"], end=False)
            trickle.server.close("in")
            await auntil(lambda: trickle.server.stats.writers <= 1)  # the end of its output has come
            async with http.post(f"{rest}/stream/stop", json={}) as answer:
                await answer.read()
            trickle.server.close_all()
            output = b"".join(await asyncio.wait_for(reading, WAIT))
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    got = decode(output)[0]
    assert len(got) >= SECONDS * PICTURES - 5
    assert_negative(decode(b"".join(clip_segments()[:SECONDS]))[0], got)


async def until_idle(http: aiohttp.ClientSession, rest: str, process: asyncio.subprocess.Process) -> None:
    while True:  # importing torch takes its time
        with contextlib.suppress(aiohttp.ClientError):
            async with http.get(f"{rest}/health") as answer:
                if (await answer.json())["status"] == "IDLE":
                    return
        assert process.returncode is None
        await asyncio.sleep(0.1)


def test_what_pytrickle_cannot_do_is_told_with_its_line(tmp_path: Path) -> None:
    text = NEGATIVE.replace("self.level - frame.tensor", "frame.tensor_uint8")
    (tmp_path / "negative.py").write_text(text)
    done = byoc_nb("export", "negative.py", "out", "--cpu", "--runtime", "pytrickle", cwd=tmp_path)
    assert done.returncode == 1
    assert "line 10: pytrickle has no tensor_uint8" in done.stderr
    assert not (tmp_path / "out").exists()
