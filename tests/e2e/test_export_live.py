"""An export while a stream runs: proven with what flows, and the stream doesn't notice."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
from e2e_kit import Kernel

CELL = """%%byoc
import numpy as np

class Trail(FrameProcessor):
    class Params(BaseModel):
        keep: float = Field(0.5, ge=0, le=1)

    def load_model(self):
        self.before = None

    def process_video(self, frame):
        now = frame.array
        if self.before is not None and self.before.shape == now.shape:
            now = (self.before * self.params.keep + now * (1 - self.params.keep)).astype(np.uint8)
        self.before = now
        return frame.replace_array(now)
"""


@pytest.mark.timeout(180)
def test_an_export_is_proven_with_the_running_stream_which_goes_on(kernel: Kernel, tmp_path: Path) -> None:
    kernel.ok("%load_ext byoc_nb")
    kernel.ok(CELL)
    kernel.ok("%byoc serve --source bigbuckbunny.mp4 --size 320x180 --port 0")
    kernel.ok("%byoc params keep=0.75")
    before = ast.literal_eval(kernel.ok("s = %byoc status\ndict(s)").value)

    said = kernel.ok("%byoc export trail --cpu").value
    after = ast.literal_eval(kernel.ok("s = %byoc status\ndict(s)").value)

    manifest = json.loads((tmp_path / "trail" / "byoc.json").read_text())
    assert "frames of the captured stream are bit-equal to the notebook's" in said
    assert manifest["proof"]["equal"] and manifest["proof"]["clip"] == "captured stream"
    assert manifest["proof"]["frames"] >= 20
    assert manifest["params"] == {"keep": 0.75}
    assert after["state"] == "running"
    assert after["params"] == {"keep": 0.75}
    assert after["reloads"] == before["reloads"]
    assert after["frames_out"] > before["frames_out"]
    assert after["frames_dropped"] == before["frames_dropped"]

    assert "nothing here can do that" in kernel.run("import os; os.environ['PATH'] = '/nowhere'\n%byoc build").text
    kernel.ok("%byoc stop")
    threads = "[t.name for t in __import__('threading').enumerate() if t.name.startswith('byoc')]"
    assert kernel.ok(threads).value == "[]"
