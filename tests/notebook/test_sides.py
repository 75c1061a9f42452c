"""What a comparison may be asked for: versions, files, names."""

from __future__ import annotations

from typing import Any

import pytest
from kit import CLIP
from notebook_kit import Notebook

from byoc_nb.find import FindError
from byoc_nb.notebook.history import NoVersion
from byoc_nb.notebook.sides import side
from byoc_nb.replay.comparing import Side, compare
from byoc_nb.replay.player import ReplayError
from byoc_nb.runtime.load import LoadError

BRIGHT = """%%byoc
class Bright(FrameProcessor):
    def process_video(self, frame):
        return frame.replace_array(np.minimum(frame.array.astype(np.int16) + {}, 255).astype(np.uint8))
"""


def found(notebook: Notebook, spec: str) -> Side:
    shell: Any = notebook.shell
    return side(spec, notebook.bench.history, shell.user_ns, shell.transform_cell)


@pytest.fixture
def versions(notebook: Notebook) -> Notebook:
    """Three versions of a processor, the first of them again at last."""
    notebook.run("import numpy as np")
    for amount in (5, 40, 5):
        notebook.run(BRIGHT.format(amount))
    return notebook


def test_versions_of_the_session_are_run_again(versions: Notebook) -> None:
    before = versions.shell.user_ns["Bright"]
    one, two, three = (found(versions, number) for number in "123")
    assert one.name == "Bright, version 1"
    assert compare(one, three, CLIP, limit=2).equal
    other = compare(one, two, CLIP, limit=2)
    assert other.difference > 20 and "Bright, version 1 | Bright, version 2" in repr(other)
    assert versions.shell.user_ns["Bright"] is before
    assert versions.bench.cell.target is before


def test_names_of_the_notebook_and_files(versions: Notebook, tmp_path) -> None:
    versions.run("def plain(frame):\n    return frame\nnumber = 3")
    assert found(versions, "plain") == ("plain", versions.shell.user_ns["plain"])
    (tmp_path / "a.py").write_text("def dark(frame):\n    return frame\n\n\ndef light(frame):\n    return frame\n")
    made = found(versions, f"{tmp_path / 'a.py'}:light")
    assert (made.name, made.target.__name__) == ("a.py:light", "light")
    for spec, kind, said in [
        ("nothing", FindError, "there is no nothing"),
        ("number", FindError, "number can't take frames"),
        ("99", NoVersion, "no version 99"),
        (str(tmp_path / "no.py"), LoadError, "no such file"),
    ]:
        with pytest.raises(kind, match=said):
            found(versions, spec)


def test_a_version_that_needs_what_is_gone_is_told_with_its_line(versions: Notebook) -> None:
    versions.run("level = 3\n")
    versions.run("%%byoc\nbase = level + 1\ndef flat(frame):\n    return frame\n")
    versions.run("del level")
    with pytest.raises(ReplayError, match=r"flat, version 4, could not be run again: NameError.*line 2.*level \+ 1"):
        found(versions, "4")


def test_a_frame_of_a_version_that_raises_is_told_with_its_line(versions: Notebook) -> None:
    versions.run("%%byoc\ndef bad(frame):\n    return frame.nothing\n")
    notes = compare(found(versions, "1"), found(versions, "4"), CLIP, limit=1).notes
    assert "bad, version 4 raised at frame 0" in notes[0]
    assert "return frame.nothing" in notes[0]
