"""An export is proven: the same pictures in a clean process, or an error that names where they differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import freeze_kit
import numpy as np
import pytest

from byoc_nb.export import Export, export
from byoc_nb.export.proof import Proof, ProofError, bundled

HEAD = "import numpy as np\n\n\nclass P(FrameProcessor):\n"
GREEN = """
    class Params(BaseModel):
        amount: int = Field(40, ge=0, le=200)

    def process_video(self, frame):
        out = frame.array.copy()
        out[..., 1] = np.minimum(out[..., 1].astype(np.int16) + self.params.amount, 255)
        return frame.replace_array(out)
"""


def write(folder: Path, *cells: str, proof: Proof | None = None, **options: Any) -> Export:
    kernel = freeze_kit.kernel(*cells)
    return export(folder, kernel.notebook, "P", kernel.namespace, prove=proof or bundled(), **options)


def refused(folder: Path, *cells: str, **options: Any) -> ProofError:
    with pytest.raises(ProofError) as caught:
        write(folder, *cells, **options)
    assert "\n" not in caught.value.one_line()
    assert not folder.exists()
    return caught.value


def manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "byoc.json").read_text()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "p"


def test_an_equal_export_says_so_with_its_parameters_and_their_schema(folder: Path) -> None:
    done = write(folder, HEAD + GREEN, params={"amount": 77})
    said = manifest(folder)
    assert said["proof"] == {"equal": True, "frames": 50, "clip": "bundled clip"}
    assert said["params"] == {"amount": 77}
    assert said["schema"]["properties"]["amount"]["default"] == 77
    assert "50 frames of the bundled clip are bit-equal" in str(done)
    assert [path.name for path in folder.parent.iterdir()] == ["p"]


def test_an_unproven_export_says_so(folder: Path) -> None:
    kernel = freeze_kit.kernel(HEAD + GREEN)
    assert "proof:    skipped" in str(export(folder, kernel.notebook, "P", kernel.namespace))
    assert manifest(folder)["proof"] == {"skipped": "--no-prove"}


PATCHED = HEAD + GREEN.replace("self.params.amount", "getattr(np, 'byoc_offset', 3)")


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something that was changed in this process, of which the text knows nothing."""
    monkeypatch.setattr(np, "byoc_offset", 5, raising=False)


@pytest.mark.usefixtures("patched")
def test_a_difference_names_frame_pixel_and_size_and_keeps_both_sides(folder: Path) -> None:
    error = refused(folder, PATCHED)
    assert "frame 0, pixel x=0 y=0: G is" in str(error)
    assert "by up to 2 of 255" in str(error)
    assert "--tolerance 2" in error.hint
    sides = []
    for name in ("notebook", "export"):
        with av.open(str(folder.parent / "p-proof" / f"{name}.mkv")) as video:
            sides.append(next(video.decode(video=0)).to_ndarray(format="rgb24").astype(int))
    assert np.abs(sides[0] - sides[1]).max() == 2


@pytest.mark.usefixtures("patched")
def test_a_tolerance_accepts_a_difference_and_says_how_big_it_was(folder: Path) -> None:
    write(folder, PATCHED, proof=bundled(tolerance=2))
    assert manifest(folder)["proof"] == {
        "equal": False,
        "frames": 50,
        "clip": "bundled clip",
        "difference": 2,
        "tolerance": 2,
    }


def test_a_processor_that_draws_lots_is_told_how_to_seed(folder: Path) -> None:
    text = """
    def process_video(self, frame):
        return frame.replace_array(frame.array + np.random.default_rng().integers(0, 9, 1, dtype=np.uint8))
"""
    error = refused(folder, HEAD + text)
    assert "other pictures every time" in str(error)
    assert "default_rng(0)" in error.hint
    assert not folder.with_name("p-proof").exists()


def test_state_that_grows_over_frames_is_followed_from_the_beginning(folder: Path) -> None:
    text = """
    def __init__(self):
        self.rng, self.count = np.random.default_rng(4), 0

    def on_stream_start(self, params):
        self.count = 100

    def process_video(self, frame):
        self.count += 1
        return None if self.count % 5 == 0 else frame.replace_array(frame.array + self.rng.bytes(1)[0])
"""
    write(folder, HEAD + text)
    assert manifest(folder)["proof"]["equal"]


@pytest.mark.usefixtures("patched")
def test_a_program_that_fails_on_its_own_is_told_with_its_last_line(folder: Path) -> None:
    error = refused(folder, HEAD + "    def __init__(self):\n        self.found = np.byoc_offset\n" + GREEN)
    assert "fails in a process of its own: " in str(error)
    assert "AttributeError" in str(error)


def test_a_processor_that_always_raises_proves_nothing(folder: Path) -> None:
    error = refused(folder, HEAD + "    def process_video(self, frame):\n        raise ValueError('no')\n")
    assert "raised in every frame of the bundled clip" in str(error)


def test_files_that_it_opens_beside_the_notebook_are_there_for_the_proof(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    Path("level.txt").write_text("9")
    text = "    def load_model(self):\n        self.level = int(Path('level.txt').read_text())\n" + GREEN.replace(
        "self.params.amount", "self.level"
    )
    for weights in (["bake"], ["mount"]):
        write(folder, "from pathlib import Path\n" + HEAD + text, weights=weights)
        assert manifest(folder)["proof"]["equal"]
        assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []
