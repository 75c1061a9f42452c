"""An export for pytrickle: refused with its line where pytrickle can't, and proven in pytrickle's own Python."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import freeze_kit
import pytest
from test_dockerfile import lint

from byoc_nb.export import Export, FreezeError, export, upstream
from byoc_nb.export.proof import ProofError, bundled

PYTRICKLE = os.environ.get("BYOC_PYTRICKLE_PYTHON", "")
CLASS = """
class P(FrameProcessor):
    gain = 0.1

    async def load_model(self):
        self.level = 0.5

    async def update_params(self, params):
        self.gain = params["gain"]

    async def process_video_async(self, frame):
        return frame.replace_tensor((frame.tensor * self.level + self.gain).clamp(0, 1))
"""
MARKED = (
    "from pytrickle.decorators import model_loader, param_updater, video_handler",
    (
        CLASS.replace("(FrameProcessor)", "")
        .replace("    async def load_model", "    @model_loader\n    async def load_model")
        .replace("    async def update_params", "    @param_updater\n    async def take")
        .replace("    async def process_video_async", "    @video_handler\n    async def tint")
    ),
)


def write(folder: Path, *cells: str, **options: Any) -> Export:
    made = freeze_kit.kernel(*cells)
    return export(folder, made.notebook, "P", made.namespace, runtime="pytrickle", cpu=True, **options)


def manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "byoc.json").read_text()))


def refused(*cells: str) -> str:
    made = freeze_kit.kernel(*cells)
    with pytest.raises(FreezeError) as caught:
        made.freeze(runtime="pytrickle")
    assert "\n" not in caught.value.one_line()
    return caught.value.one_line()


METHOD = "class P(FrameProcessor):\n    async def process_video_async(self, frame):\n        {}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def P(frame): return frame", "line 1: pytrickle serves no functions"),
        ("class P:\n    def process(self, frame: bytes): return frame", "line 2: pytrickle never calls process"),
        ("class P:\n    def process_video(self, frame): return frame", "line 2: pytrickle never calls process_video"),
        ("class P:\n    def process_video_async(self, frame): ...", "line 2: pytrickle awaits process_video_async"),
        (METHOD.format("pass") + "    def load_model(self): ...", "line 4: pytrickle awaits load_model"),
        (METHOD.format("pass") + "    async def initialize(self): ...", "line 4: pytrickle never calls initialize"),
        (METHOD.format("pass") + "    async def shutdown(self): ...", "line 4: pytrickle never calls shutdown"),
        (METHOD.format("pass") + "    class Params(BaseModel): ...", "line 4: pytrickle knows no Params"),
        (METHOD.format("return self.params"), "line 3: pytrickle sets no self.params"),
        (METHOD.format("return frame.tensor_uint8"), "line 3: pytrickle has no tensor_uint8"),
        (METHOD.format("return frame.replace_array(frame.tensor)"), "line 3: pytrickle has no replace_array"),
        (METHOD.format("return frame.array"), "line 3: pytrickle's frames have no array"),
        (METHOD.format("return frame.to('cuda')"), "line 3: pytrickle's frames have no to"),
        (METHOD.format("await self.publish_data(1)"), "line 3: pytrickle has no publish_data"),
        (METHOD.format("from byoc_nb.frames import VideoFrame"), "line 3: byoc_nb isn't there with pytrickle"),
        ("from byoc_nb import FrameProcessor\n" + METHOD.format("pass"), "line 1: byoc_nb isn't there with pytrickle"),
        ("from pytrickle import run_processor\n" + METHOD.format("pass"), "line 1: pytrickle has no run_processor"),
    ],
)
def test_what_pytrickle_lacks_is_refused_with_its_line(text: str, said: str) -> None:
    assert refused(text).startswith(f"cell [1] {said}")


def test_a_hook_beside_a_handler_needs_its_mark() -> None:
    marks, text = MARKED
    text = text.replace("    @model_loader\n", "")
    assert refused(marks, text).startswith("cell [2] line 5: beside @video_handler pytrickle doesn't call load_model")


def test_a_base_class_of_another_cell_is_looked_at_too() -> None:
    base = "class Base(FrameProcessor):\n    def load_model(self): ..."
    assert refused(base, METHOD.format("pass").replace("FrameProcessor", "Base")).startswith("cell [1] line 2: ")


def test_the_rest_is_frozen_with_pytrickles_names() -> None:
    made = freeze_kit.kernel("import math", CLASS + "    level = math.pi\n    more = Field")
    frozen = made.freeze(runtime="pytrickle")
    assert frozen.imports == ["import math", "from pydantic import Field", "from pytrickle import FrameProcessor"]
    assert frozen.upstream == upstream.Upstream(False, ("process_audio_async",))


def test_without_pytrickle_it_is_written_and_says_why_it_isnt_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BYOC_PYTRICKLE_PYTHON", raising=False)
    folder = tmp_path / "p"
    done = write(folder, CLASS, prove=bundled())
    assert "proof:    skipped (no Python here has pytrickle 0.1.6: BYOC_PYTRICKLE_PYTHON names one)" in str(done)
    said = manifest(folder)
    assert "frames" not in said["proof"]
    assert said["runtime"] == "pytrickle 0.1.6"
    lines = (folder / "requirements.in").read_text().splitlines()[1:]
    assert lines[:2] == ["av==14.2.0", "pytrickle==0.1.6"] and lines[2].startswith("torch==") and len(lines) == 3
    assert "byoc_nb" not in (folder / "requirements.txt").read_text()
    assert "COPY requirements.txt ./\n" in (folder / "Dockerfile").read_text()
    assert "whl" not in (folder / ".dockerignore").read_text()
    assert "ORCH_URL" not in (folder / "compose.yaml").read_text(), "pytrickle registers nothing by itself"
    assert "from byoc_nb" not in (folder / "processor.py").read_text()
    lint(folder)


@pytest.mark.skipif(not PYTRICKLE, reason="no environment with pytrickle: run it as `make test`")
@pytest.mark.parametrize("cells", [(CLASS,), MARKED], ids=["class", "handlers"])
def test_the_pictures_are_the_notebooks_but_for_pytrickles_rounding(tmp_path: Path, cells: tuple[str, ...]) -> None:
    done = write(tmp_path / "p", *cells, prove=bundled(), params={"gain": 0.25})
    proof = manifest(tmp_path / "p")["proof"]
    assert (proof["frames"], proof["difference"], proof["tolerance"]) == (50, 1, 1)
    assert proof["runtime"] == "pytrickle 0.1.6"
    assert "are within 1 of 255 to the notebook's in pytrickle 0.1.6" in str(done)


@pytest.mark.skipif(not PYTRICKLE, reason="no environment with pytrickle: run it as `make test`")
def test_a_picture_that_pytrickle_takes_otherwise_is_found(tmp_path: Path) -> None:
    text = CLASS.replace(".clamp(0, 1)", " * 2")  # beyond 1 pytrickle takes them as 0 to 255
    with pytest.raises(ProofError, match="gives other pictures than the notebook's"):
        write(tmp_path / "p", text, prove=bundled())
