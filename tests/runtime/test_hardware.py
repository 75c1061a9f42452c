"""GPUs as `nvidia-smi` tells of them; the programs of that name here are small scripts with its output."""

from __future__ import annotations

import os

import aiohttp
import pytest
from kit import auntil

from byoc_nb.processor import FrameProcessor
from byoc_nb.runtime import hardware
from byoc_nb.runtime.server import StreamServer

H100 = "0, GPU-5f3a5c4e-1111-2222-3333-444455556666, NVIDIA H100 80GB HBM3, 81559, 80994, 9.0, 37, 12"
T4 = "1, GPU-0a1b2c3d-aaaa-bbbb-cccc-ddddeeeeffff, Tesla T4, 15360, 15101, 7.5, [N/A], [Not Supported]"
TOLD = {
    "id": "GPU-5f3a5c4e-1111-2222-3333-444455556666",
    "name": "NVIDIA H100 80GB HBM3",
    "memory_total": 81559 << 20,
    "memory_free": 80994 << 20,
}


@pytest.fixture
def nvidia_smi(tmp_path, monkeypatch):
    """Installs a program `nvidia-smi` with a shell script's lines."""

    def install(script, mode=0o755):
        path = tmp_path / "nvidia-smi"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(mode)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return install


async def test_the_fields_are_asked_for_and_told_in_their_order(nvidia_smi, tmp_path):
    nvidia_smi(f'echo "$@" > {tmp_path}/asked; echo "{H100}"; echo "{T4}"')
    first, second = await hardware.gpus()
    assert first == TOLD | {"major": 9, "minor": 0, "utilization_compute": 37, "utilization_memory": 12}
    assert (second["name"], second["major"], second["minor"]) == ("Tesla T4", 7, 5)
    assert (second["utilization_compute"], second["utilization_memory"]) == (0, 0), "what it doesn't report is 0"
    asked = (tmp_path / "asked").read_text()
    assert "--format=csv,noheader,nounits" in asked
    assert "--query-gpu=index,uuid,name,memory.total,memory.free,compute_cap," in asked


async def test_the_two_answers_have_pytrickles_shape(nvidia_smi):
    nvidia_smi(f'echo "{H100}"')
    found = await hardware.gpus()
    assert hardware.info(found) == {"0": TOLD | {"major": 9, "minor": 0}}
    assert hardware.stats(found) == {"0": TOLD | {"utilization_compute": 37, "utilization_memory": 12}}


@pytest.mark.parametrize(
    "script",
    ["exit 9", "echo 'No devices were found'; exit 6", "echo 'No devices were found'", "", "printf '\\377\\376,,\\n'"],
)
async def test_no_gpu_and_no_driver_are_no_error(nvidia_smi, script):
    nvidia_smi(script)
    assert await hardware.gpus() == []


async def test_no_nvidia_smi(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert await hardware.gpus() == []


async def test_a_driver_that_hangs_is_given_up_and_leaves_no_process(nvidia_smi, tmp_path, monkeypatch):
    monkeypatch.setattr(hardware, "ANSWER_SECONDS", 0.2)
    nvidia_smi(f"echo $$ > {tmp_path}/pid; exec sleep 60")
    assert await hardware.gpus() == []
    pid = int((tmp_path / "pid").read_text())
    await auntil(lambda: not os.path.exists(f"/proc/{pid}"))


class Pass(FrameProcessor):
    async def process_video_async(self, frame):
        return frame


async def test_the_routes(nvidia_smi):
    server = StreamServer(Pass, port=0, host="127.0.0.1", pipeline="p", capability_name="edge-glow", version="1.2.3")
    await server.start_server()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as http:

        async def get(path):
            async with http.get(path) as answer:
                assert answer.status == 200
                return await answer.json()

        who = {"pipeline": "p", "model_id": "edge-glow"}
        nvidia_smi("exit 9")
        assert await get("/hardware/info") == {**who, "gpu_info": {}}
        assert await get("/hardware/stats") == {**who, "gpu_stats": {}}
        nvidia_smi(f'echo "{H100}"')
        assert (await get("/hardware/info"))["gpu_info"]["0"] == TOLD | {"major": 9, "minor": 0}
        assert (await get("/hardware/stats"))["gpu_stats"]["0"]["utilization_compute"] == 37
        assert await get("/app-version") == {"version": "1.2.3"}
    await server.stop()
