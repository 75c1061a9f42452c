"""`make demo`: the quickstart notebook, run for real, leaves what the README promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import av
import nbformat
import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(180)
def test_the_demo_leaves_its_videos_a_contact_sheet_the_notebook_and_the_exported_folder(tmp_path: Path) -> None:
    folder = tmp_path / "demo-output"
    environment = {key: value for key, value in os.environ.items() if key != "BYOC_PORT"}
    done = subprocess.run(
        [sys.executable, ROOT / "notebooks" / "demo.py", folder],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr

    for file in ("input.mp4", "output.mp4"):
        with av.open(str(folder / file)) as video:
            assert [stream.type for stream in video.streams] == ["video", "audio"]
            assert 7.9 < float(video.duration / av.time_base) < 8.2
    assert (folder / "contact-sheet.png").read_bytes().startswith(b"\x89PNG")
    for file in ("processor.py", "Dockerfile", "requirements.txt", ".dockerignore", "README.md"):
        assert (folder / "glowing-edges" / file).stat().st_size

    notebook = nbformat.read(folder / "01_quickstart.ipynb", as_version=4)
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    for measured in (
        r"frames per second in",
        r"\d+ frames in, \d+ out, \d+ dropped",
        r"reloaded in \d+ ms",
        r"latency",
    ):
        assert re.search(measured, done.stdout), done.stdout
