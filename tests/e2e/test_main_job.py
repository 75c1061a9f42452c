"""The whole main job: notebook, stream, hot reload, parameters, export; the export's frames equal the notebook's."""

from __future__ import annotations

import ast
import asyncio
import signal
from pathlib import Path

import aiohttp
import av
import numpy as np
import pytest
from e2e_kit import Kernel, clean_environment, clean_variables, run_until

from byoc_nb.network.record import START_TAG, record
from byoc_nb.runtime.ports import free_port
from byoc_nb.trickle import TricklePublisher, TrickleServer

TINT = """%%byoc
import numpy as np

class Tint(FrameProcessor):
    class Params(BaseModel):
        amount: int = Field(40, ge=0, le=200)

    def process_video_async(self, frame):
        out = frame.array.copy()
        out[..., 1] = np.minimum(out[..., 1].astype(np.int16) + self.params.amount, 255)
        return frame.replace_array(out)
"""
NEGATIVE = '''%%byoc
import numpy as np

class Tint(FrameProcessor):
    """Negative, then tinted."""

    class Params(BaseModel):
        amount: int = Field(40, ge=0, le=200)

    async def process_video_async(self, frame):
        out = 255 - frame.array
        out[..., 1] = np.minimum(out[..., 1].astype(np.int16) + self.params.amount, 255)
        return frame.replace_array(out)
'''


def pictures(path: Path) -> dict[int, np.ndarray]:
    """RGB pictures of a file by their time on the stream's clock, in milliseconds."""
    with av.open(str(path)) as container:
        start = float(container.metadata.get(START_TAG, 0))
        return {round((start + f.time) * 1000): f.to_ndarray(format="rgb24") for f in container.decode(video=0)}


def mean_change(folder: Path, kernel: Kernel, name: str) -> np.ndarray:
    """How the output differs from the input now: mean per channel, over a recorded second of both."""
    kernel.ok(f"a = %byoc record in-{name}.mp4 --channel input --seconds 1 --background")
    kernel.ok(f"b = %byoc record out-{name}.mp4 --seconds 1 --background")
    kernel.ok("a.wait(), b.wait()")
    before, after = pictures(folder / f"in-{name}.mp4"), pictures(folder / f"out-{name}.mp4")
    last = max(before.keys() & after.keys())
    return (after[last].astype(float) - before[last]).mean(axis=(0, 1))


@pytest.mark.timeout(300)
def test_a_cell_becomes_a_stream_is_reloaded_and_leaves_as_an_equal_container(kernel: Kernel, tmp_path: Path) -> None:
    in_the_notebook(kernel, tmp_path)
    python = clean_environment(tmp_path / "tint")
    replayed = asyncio.run(replay(python, tmp_path / "tint", tmp_path / "input.ts", tmp_path / "replayed.ts"))

    notebook, export = pictures(tmp_path / "output.ts"), pictures(replayed)
    assert len(notebook) == 132
    assert notebook.keys() == export.keys()
    for at, picture in notebook.items():
        np.testing.assert_array_equal(picture, export[at], err_msg=f"the picture at {at} ms")


def in_the_notebook(kernel: Kernel, folder: Path) -> None:
    kernel.ok("%load_ext byoc_nb")
    kernel.ok(TINT)
    kernel.ok("%byoc serve --source bigbuckbunny.mp4 --size 320x180 --port 0")

    # parameters show in the pixels that come back through trickle
    assert mean_change(folder, kernel, "40")[1] == pytest.approx(40, abs=8)
    kernel.ok("%byoc params amount=120")
    assert mean_change(folder, kernel, "120")[1] > 70
    refused = kernel.run("%byoc params amount=999")
    assert refused.text.count("\n") == 1 and "amount" in refused.text
    assert kernel.ok("%byoc params").value == "{'amount': 120}"

    # a cell that blocks the kernel for 10 s costs no frame
    before = ast.literal_eval(kernel.ok("s = %byoc status\ndict(s)").value)
    kernel.ok("import time\ntime.sleep(10)")
    after = ast.literal_eval(kernel.ok("s = %byoc status\ndict(s)").value)
    assert after["frames_dropped"] == before["frames_dropped"]
    assert after["frames_out"] - before["frames_out"] >= 240  # of 250

    # the cell is edited and run again, with the stream running
    recording = "r = %byoc record reload.mp4 --seconds 6 --background"
    kernel.ok(recording)
    reloaded = kernel.ok(NEGATIVE)
    assert reloaded.value.startswith("reloaded in") and reloaded.value.endswith("· 0 frames lost")
    kernel.ok("r.wait()")
    times = sorted(pictures(folder / "reload.mp4"))
    assert set(np.diff(times)) <= {39, 40, 41}, "a frame is missing, doubled or out of order"
    assert mean_change(folder, kernel, "negative")[0] != pytest.approx(0, abs=5)

    # what the export must repeat: the whole clip once, through the lossless policy, from its first frame on
    kernel.ok("%byoc serve --source bigbuckbunny.mp4 --size 320x180 --port 0 --no-loop --policy lossless")
    urls = ast.literal_eval(kernel.ok("s = %byoc status\ns['urls']").value)
    asyncio.run(record_whole(urls, folder))
    kernel.ok("%byoc export tint --name tint --cpu")
    kernel.ok("%byoc stop")
    assert kernel.ok("[t.name for t in __import__('threading').enumerate() if t.name.startswith('byoc')]").value == "[]"


async def record_whole(urls: dict[str, str], folder: Path) -> None:
    """Record both channels from the segment that just began to the end of the stream."""
    await asyncio.gather(*(record(urls[name], folder / f"{name}.ts", 60, start=-2) for name in ("input", "output")))


async def replay(python: Path, folder: Path, source: Path, target: Path) -> Path:
    """Send the recorded input through `python processor.py` and record what comes out."""
    port = free_port("127.0.0.1")
    environment = clean_variables() | {"PORT": str(port), "HOST": "127.0.0.1", "BYOC_POLICY": "lossless"}
    process = await asyncio.create_subprocess_exec(
        python, "processor.py", cwd=folder, env=environment, stderr=asyncio.subprocess.PIPE
    )
    server = TrickleServer()
    try:
        await run_until(process, f"Trickle server listening on port {port}".encode())
        trickle = await server.start()
        server.create("in")
        server.create("out")
        body = {
            "gateway_request_id": "replay",
            "subscribe_url": f"{trickle}/in",
            "publish_url": f"{trickle}/out",
            "params": {"amount": 120},
        }
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"http://127.0.0.1:{port}/stream/start", json=body) as answer,
        ):
            assert answer.status == 200, await answer.text()
        recording = asyncio.create_task(record(f"{trickle}/out", target, 60, start=-2))
        async with TricklePublisher(f"{trickle}/in") as publisher:
            async with await publisher.next() as segment:
                await segment.write(await asyncio.to_thread(source.read_bytes))
            await publisher.close(delete=True)
        await recording
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 5) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await server.stop()
    return target
