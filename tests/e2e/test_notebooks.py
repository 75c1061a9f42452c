"""The notebooks after the quickstart, run from top to bottom: each shows what its text says."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from notebooks_kit import NOTEBOOKS, clean, of, printed, run

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def executed(request: pytest.FixtureRequest, tmp_path: Path) -> nbformat.NotebookNode:
    """The notebook that the test names, after all of its cells have run."""
    book = run(NOTEBOOKS / f"{request.param}.ipynb", tmp_path)
    for cell in book.cells:
        if cell.cell_type == "code" and "raises-exception" not in cell.metadata.get("tags", ()):
            assert not [output for output in cell.outputs if output.output_type == "error"], cell.source
            assert "Error:" not in printed(nbformat.v4.new_notebook(cells=[cell])).replace("ZeroDivisionError:", "")
    return book


def notebook(name: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("executed", [name], indirect=True, ids=[""])


@notebook("02_torch_model")
def test_weights_stay_loaded_until_what_loads_them_changes(executed: nbformat.NotebookNode, tmp_path: Path) -> None:
    _, frames_changed, loading_changed = of(executed, "%%byoc")
    assert "model kept" in frames_changed
    assert "model loaded again (load_model changed)" in loading_changed
    losses = [float(loss) for loss in re.findall(r"loss ([\d.]+)", printed(executed))]
    assert losses[-1] < losses[0] / 3
    assert (tmp_path / "grass.pt").stat().st_size


@notebook("03_parameters")
def test_parameters_are_refused_loaded_kept_and_compared(executed: nbformat.NotebookNode, tmp_path: Path) -> None:
    (refused,) = of(executed, "%byoc params mirror=true")
    assert "strength: should be less than or equal to 1" in refused
    (loaded,) = of(executed, "%byoc params tones=3")
    assert "'tones': 3" in loaded
    before, back = of(executed, "%byoc params tones=3") + of(executed, "%byoc preset load")
    assert "'look': 'cold'" in back and "'mirror': False" in back and before.strip() == back.strip()
    assert (tmp_path / ".byoc" / "presets.json").is_file()
    (compared,) = of(executed, "%byoc compare")
    assert "Postcard | Faded" in compared and "equal" not in compared


@notebook("04_audio")
def test_sound_passes_changes_and_stays_with_its_pictures(executed: nbformat.NotebookNode) -> None:
    passed, quieter = (float(by) for by in re.findall(r"louder by ([+-][\d.]+) dB", printed(executed)))
    assert abs(passed) < 0.5
    assert -13 < quieter < -11
    found = re.search(r"moved by (-?\d+) frames \(correlation ([\d.]+)\)", printed(executed))
    assert found and abs(int(found[1])) <= 1 and float(found[2]) > 0.8


@notebook("05_debugging")
def test_errors_drops_and_differences_are_told(executed: nbformat.NotebookNode) -> None:
    assert "rolled back" in of(executed, "%%byoc")[1] and "line 8 of process_video_async" in of(executed, "%%byoc")[1]
    (failing,) = of(executed, "%byoc status")
    assert "ZeroDivisionError" in failing and "line 13 of process_video_async: limit = 255" in failing
    (slow,) = of(executed, "%byoc params gain=4 delay=0.1")
    assert re.search(r"processor too slow \d\d", slow)
    (quick,) = of(executed, "%byoc params delay=0")
    assert "'delay': 0.0" in quick  # also where the processor is always in a frame
    (replayed,) = of(executed, "%byoc replay")
    assert re.search(r"hash [0-9a-f]{12}", replayed)
    (compared,) = of(executed, "%byoc compare")
    assert re.search(r"greatest difference  [01] of 255", compared)


@notebook("06_export")
def test_the_export_is_proven_and_serves_what_the_notebook_attaches_to(
    executed: nbformat.NotebookNode, tmp_path: Path
) -> None:
    (proof,) = of(executed, "import json")
    assert "'equal': True" in proof
    (attached,) = of(executed, "%byoc attach")
    assert attached.startswith("attached to http://127.0.0.1:")
    assert of(executed, "%byoc params strength=0.3") == ["{'strength': 0.3}"]
    assert of(executed, "%byoc stop")[-1].endswith("0")  # how the container ended
    assert (tmp_path / "sepia" / "Dockerfile").is_file()


@notebook("07_from_pytrickle")
def test_an_example_of_pytrickle_comes_and_goes(executed: nbformat.NotebookNode, tmp_path: Path) -> None:
    assert "GrayscaleHandlers is ready" in of(executed, "%%byoc")[0]
    (compared,) = of(executed, "%byoc compare")
    difference = re.search(r"greatest difference  (\d+) of 255", compared)
    assert difference and int(difference[1]) <= 2
    (refused,) = of(executed, "%byoc export quick")
    assert "pytrickle knows no Params" in refused
    assert "pytrickle==" in (tmp_path / "grayscale" / "requirements.in").read_text()


@notebook("08_webcam")
def test_without_a_camera_the_webcam_notebook_goes_on(executed: nbformat.NotebookNode) -> None:
    assert "nobody films, here is a test pattern instead" in printed(executed)
    shown = [output for cell in executed.cells if cell.source == "%byoc preview" for output in cell.outputs]
    assert len(shown) == 3 and all("image/jpeg" in output.data for output in shown)


@pytest.mark.parametrize("path", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_what_is_committed_is_small_and_of_no_machine(path: Path) -> None:
    text = path.read_text()
    assert len(text) < 200_000
    assert not re.search(r"widget-view|127\.0\.0\.1:(?!8000)\d|/tmp/|/home/|/root/|/work/|token=", text)
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert book.metadata.kernelspec.name == "byoc"
    assert clean(book, Path("/nowhere")).metadata.keys() == {"kernelspec", "language_info"}
    if "quickstart" not in path.name:
        code = [cell for cell in book.cells if cell.cell_type == "code" and cell.source != "%load_ext byoc_nb"]
        ran = [cell for cell in code if "skip-execution" not in cell.metadata.get("tags", ())]
        assert all(cell.execution_count for cell in ran)
