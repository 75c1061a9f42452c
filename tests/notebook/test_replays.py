"""Takes by the workbench: recorded, replayed and compared as a notebook does it."""

from __future__ import annotations

import pytest
from kit import WAIT, until
from notebook_kit import Notebook

CELL = """%%byoc
class Tint(FrameProcessor):
    class Params(BaseModel):
        level: int = 40

    def process_video(self, frame):
        out = frame.array.copy()
        out[..., 1] = self.params.level
        return frame.replace_array(out)
"""


@pytest.fixture
def serving(notebook: Notebook, tmp_path) -> Notebook:
    notebook.run(CELL)
    notebook.run("%byoc serve --port 0 --size 96x64 --fps 25")
    until(lambda: notebook.bench.status()["frames_out"] > 5)
    return notebook


def test_a_take_is_recorded_replayed_and_compared(serving: Notebook, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    serving.run("taking = %byoc record take/ --seconds 4 --background")
    at = serving.bench.status()["frames_out"]
    until(lambda: serving.bench.status()["frames_out"] > at + 60)  # its first segment begins within 50
    serving.run("%byoc params level=200")
    take = serving.shell.user_ns["taking"].wait(WAIT)
    assert [entry.values["level"] for entry in take.timeline] == [40, 200]
    assert take.versions[0].number == 1 and take.versions[0].text == CELL.partition("\n")[2]

    serving.run("one = %byoc replay take/")
    serving.run("two = %byoc replay take/ --output again.mp4")
    one, two = serving.shell.user_ns["one"], serving.shell.user_ns["two"]
    assert one.digest == two.digest and one.frames == 101 and one.notes == ()
    assert one.recorded.worst > 30 and (tmp_path / "again.mp4").exists()

    serving.run("%byoc compare 1 Tint --clip take")
    assert serving.result.equal
    serving.run(CELL.replace("out[..., 1]", "out[..., 0]"))
    serving.run("%byoc compare 1 2 --clip take")
    assert serving.result.difference > 50 and serving.result.png
    serving.run("%byoc replay take/")
    assert serving.result.notes == ("recorded with another version of its code",)
    assert serving.result.digest != one.digest
    assert serving.bench.streaming


def test_mistakes_are_told_in_one_line(serving: Notebook, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "file.txt").touch()
    assert "holds other files" in serving.refused("%byoc record work/")
    assert "holds no take" in serving.refused("%byoc replay work/")
    assert "no version 7" in serving.refused("%byoc compare 1 7")
    serving.run("%byoc stop")
    assert "%byoc serve" in serving.refused("%byoc record take/")


def test_what_is_being_recorded_is_kept_when_the_server_is_stopped(serving: Notebook, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    serving.run("taking = %byoc record take/ --seconds 60 --background")
    serving.run("recording = %byoc record clip.mp4 --seconds 60 --background")
    at = serving.bench.status()["frames_out"]
    until(lambda: serving.bench.status()["frames_out"] > at + 65)
    serving.run("%byoc stop")
    for pending in ("taking", "recording"):
        made = serving.shell.user_ns[pending].wait(WAIT)
        assert made.frames > 10 and made.ended
