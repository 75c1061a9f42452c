"""A model that a notebook trained leaves it: exported, proven, and served from a folder without the notebook."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from e2e_kit import Kernel, clean_variables, run_until

from byoc_nb.runtime.ports import free_port

CELLS = (
    """
import sys
import torch
import torch.nn.functional as F
from torch import nn

class StyleNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 3, padding=1))

    def forward(self, x):
        return torch.sigmoid(self.layers(x))
""",
    """
net = StyleNet()
optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
for step in range(60):  # it learns to paint negatives
    pictures = torch.rand(4, 3, 16, 16)
    loss = F.mse_loss(net(pictures), 1 - pictures)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
torch.save(net.state_dict(), "style.pt")
""",
    """%%byoc
class Style(FrameProcessor):
    strength = 1.0

    def load_model(self):
        self.net = StyleNet().eval()
        self.net.load_state_dict(torch.load("style.pt", weights_only=True))

    def update_params(self, params):
        self.strength = params["strength"]
        print("strength is", self.strength, file=sys.stderr, flush=True)

    @torch.inference_mode()
    def process_video(self, frame):
        picture = F.avg_pool2d(frame.tensor.permute(0, 3, 1, 2), 4)
        painted = F.interpolate(self.net(picture), scale_factor=4)
        return frame.replace_tensor(painted.permute(0, 2, 3, 1) * self.strength)
""",
)


@pytest.mark.timeout(240)
async def test_a_trained_model_serves_from_its_own_folder(kernel: Kernel, tmp_path: Path) -> None:
    kernel.ok("%load_ext byoc_nb")
    for cell in CELLS:
        kernel.ok(cell)
    kernel.ok("%byoc params strength=0.5")
    said = kernel.ok("%byoc export style --cpu").value
    kernel.ok("import os; os.remove('style.pt')")
    assert "50 frames of the bundled clip are bit-equal to the notebook's" in said
    assert "weights:  style.pt (" in said and "in the image" in said

    folder = tmp_path / "elsewhere"
    shutil.move(tmp_path / "style", folder)
    manifest = json.loads((folder / "byoc.json").read_text())
    assert manifest["params"] == {"strength": 0.5}
    assert [(one["path"], one["how"]) for one in manifest["weights"]] == [("style.pt", "bake")]

    port = free_port("127.0.0.1")
    environment = clean_variables() | {"PORT": str(port), "HOST": "127.0.0.1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "processor.py", cwd=folder, env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        await run_until(process, f"Trickle server listening on port {port}".encode())
        await run_until(process, b"strength is 0.5")
        smoke = await asyncio.create_subprocess_exec(
            sys.executable, "smoke_test.py", f"http://127.0.0.1:{port}", cwd=folder, env=clean_variables(), stdout=-1
        )
        counted, _ = await asyncio.wait_for(smoke.communicate(), 120)
        assert smoke.returncode == 0 and counted.startswith(b"passed: "), counted
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 5) == os.EX_OK
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
