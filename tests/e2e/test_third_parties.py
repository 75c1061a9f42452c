"""A third party on each side of the wire: the ffmpeg program, and the real pytrickle in an environment of its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import numpy as np
import pytest
from e2e_kit import CLIP

from byoc_nb import FrameProcessor, StreamServer, VideoFrame
from byoc_nb.trickle import TrickleServer

FIXTURES = Path(__file__).parents[1] / "fixtures"
PYTRICKLE = os.environ.get("BYOC_PYTRICKLE_PYTHON", "")

needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="the ffmpeg program is not installed")
needs_pytrickle = pytest.mark.skipif(not PYTRICKLE, reason="no environment with pytrickle: run it as `make test`")


class Negative(FrameProcessor):
    def process_video_async(self, frame: VideoFrame) -> VideoFrame:
        return frame.replace_array(255 - frame.array)


@pytest.fixture
async def container() -> AsyncIterator[StreamServer]:
    """A container that sends negatives and is subscribed to `in`, with a trickle server on its port."""
    server = StreamServer(Negative, host="127.0.0.1", port=0, policy="lossless")
    channels = TrickleServer(base_path="/ai/trickle/")
    channels.mount(server.app)
    await server.start_server()
    for name in ("in", "out"):
        channels.create(name)
    rest = f"http://127.0.0.1:{server.port}"
    url = f"{rest}/ai/trickle"
    body = {"gateway_request_id": "x", "subscribe_url": f"{url}/in", "publish_url": f"{url}/out", "params": None}
    async with aiohttp.ClientSession() as http, http.post(f"{rest}/stream/start", json=body) as answer:
        assert answer.status == 200, await answer.text()
    async with asyncio.timeout(10):
        while not channels.stats.readers:  # who comes later than a segment's successor misses that segment
            await asyncio.sleep(0.01)
    yield server
    await server.stop()


@pytest.fixture
def segments(tmp_path: Path) -> list[Path]:
    """Four seconds of the real clip, cut by ffmpeg's own segment muxer as go-livepeer's gateway cuts an ingest."""
    codecs = "-vf scale=640:360 -c:v libx264 -preset ultrafast -bf 0 -g 25 -c:a libopus -ac 2"
    cut = "-f segment -segment_time 1 -segment_format mpegts"
    run("ffmpeg", "-i", CLIP, "-t", "4", *codecs.split(), *cut.split(), tmp_path / "%d.ts")
    return sorted(tmp_path.glob("*.ts"))


def run(*command: object) -> str:
    """Run a program that must neither fail nor warn; its output."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def read_back(stream: Path, level: str = "warning") -> np.ndarray:
    """What ffmpeg decodes from the stream, as grey 64x36 pictures; at this log level it must have nothing to say."""
    command = ["ffmpeg", "-v", level, "-i", stream, "-vf", "scale=64:36,format=gray", "-f", "rawvideo", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stderr == b""
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, 36, 64)


def trickle_url(container: StreamServer) -> str:
    return f"http://127.0.0.1:{container.port}/ai/trickle"


async def end_the_input(container: StreamServer) -> None:
    """Delete the input's channel once the container has read it all: what it has not read by then is gone."""
    assert container.session is not None
    async with asyncio.timeout(60):
        while container.session.stats.frames_in < 100:
            await asyncio.sleep(0.01)
    async with aiohttp.ClientSession() as http:
        await http.delete(f"{trickle_url(container)}/in")


def assert_negative(segments: list[Path], output: Path, tmp_path: Path) -> None:
    """The output has a negative of every picture of the input, in order."""
    source = tmp_path / "source.ts"
    source.write_bytes(b"".join(segment.read_bytes() for segment in segments))
    before = read_back(source, "error")  # ffmpeg warns of its own segments' counters, which begin anew
    after = read_back(output)
    assert len(before) == len(after) == 100
    np.testing.assert_allclose(after.astype(int), 255 - before.astype(int), atol=24)
    assert float(np.abs(after.astype(int) + before - 255).mean()) < 3


@needs_ffmpeg
async def test_ffmpeg_makes_the_segments_and_reads_the_output_back(
    container: StreamServer, segments: list[Path], tmp_path: Path
) -> None:
    trickle = trickle_url(container)

    async def publish() -> None:
        async with aiohttp.ClientSession() as http:
            for number, segment in enumerate(segments):
                async with http.post(f"{trickle}/in/{number}", data=segment.read_bytes()) as answer:
                    assert answer.status == 200
        await end_the_input(container)

    async def subscribe() -> bytes:
        stream, number = b"", 0
        async with aiohttp.ClientSession() as http:
            while True:
                async with http.get(f"{trickle}/out/{number}") as answer:
                    if answer.status != 200 or "Lp-Trickle-Closed" in answer.headers:
                        return stream
                    stream += await answer.read()
                    number += 1

    _, stream = await asyncio.gather(publish(), asyncio.wait_for(subscribe(), 60))
    output = tmp_path / "output" / "stream.ts"
    output.parent.mkdir()
    output.write_bytes(stream)
    assert_negative(segments, output, tmp_path)


@needs_ffmpeg
@needs_pytrickle
async def test_pytrickle_publishes_to_our_server_and_subscribes_to_it(
    container: StreamServer, segments: list[Path], tmp_path: Path
) -> None:
    trickle = trickle_url(container)
    peer, output = FIXTURES / "peers" / "pytrickle_peer.py", tmp_path / "output.mpegts"

    async def run_peer(*arguments: object) -> str:
        process = await asyncio.create_subprocess_exec(
            PYTRICKLE, str(peer), *map(str, arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        out, err = await asyncio.wait_for(process.communicate(), 100)
        assert process.returncode == 0, err.decode()
        return out.decode()

    reading = asyncio.create_task(run_peer("subscribe", f"{trickle}/out", output))
    await run_peer("publish", f"{trickle}/in", *segments)
    await end_the_input(container)  # pytrickle's publisher never says that it is done
    assert int(await reading) >= 2
    assert_negative(segments, output, tmp_path)
