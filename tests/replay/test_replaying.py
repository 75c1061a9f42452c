"""A take replayed: the same frames, each with its own parameters, the same every time."""

from __future__ import annotations

import io
import tempfile

import numpy as np
import pytest
from kit import CLOCK, encode, ffprobe_file, programme
from pydantic import BaseModel, Field
from replay_kit import Paint, make_take

from byoc_nb.frames import VideoFrame
from byoc_nb.network.record import RecordError
from byoc_nb.processor import FrameProcessor
from byoc_nb.replay.player import ReplayError
from byoc_nb.replay.replaying import replay
from byoc_nb.replay.takes import Entry, TakeError, Version

pytestmark = pytest.mark.usefixtures("no_thread_left")


def runs_of(shown) -> list[int]:
    """The numbers of the pictures at which another one begins."""
    return [number for number, one in enumerate(shown) if number == 0 or one.digest != shown[number - 1].digest]


def test_every_picture_has_the_parameters_that_held_at_it(tmp_path):
    make_take(tmp_path / "take", {0: 40, 17: 200, 18: 90, 59: 10})
    done = replay(Paint, tmp_path / "take")
    assert (done.frames, done.pictures, done.errors, done.name) == (60, 60, 0, "Paint")
    assert runs_of(done.shown) == [0, 17, 18, 59]
    assert done.seconds > 0 and done.fps > 0
    assert [one.pts for one in done.shown] == [number * CLOCK // 30 for number in range(60)]


def test_two_replays_are_equal_and_another_parameter_is_not(tmp_path):
    make_take(tmp_path / "take", {0: 40, 17: 200})
    make_take(tmp_path / "other", {0: 40, 18: 200})
    one, two, other = (replay(Paint, tmp_path / name) for name in ("take", "take", "other"))
    assert one.digest == two.digest != other.digest
    assert [a != b for a, b in zip(one.shown, other.shown, strict=True)].index(True) == 17


def test_a_change_at_a_picture_that_was_lost_holds_from_the_next_one_on(tmp_path):
    take = make_take(tmp_path / "take", {0: 40})
    entries = (take.timeline[0], Entry(20 * 3000 - 1, 0, {"level": 200}))
    make_take(tmp_path / "lost", {0: 40}, timeline=entries)
    assert runs_of(replay(Paint, tmp_path / "lost").shown) == [0, 20]


def test_it_is_held_against_the_recorded_output(tmp_path):
    plain = np.full((64, 96, 3), 40, np.uint8)
    sent = [f for f in programme(2.0) if not isinstance(f, VideoFrame) or f.timestamp >= 10 * 3000]
    made = encode(f.replace_array(plain) if isinstance(f, VideoFrame) else f for f in sent)
    make_take(tmp_path / "take", {0: 40, 45: 240}, output=b"".join(made))
    found = replay(Paint, tmp_path / "take").recorded
    assert found is not None
    assert found.pictures == 50  # ten were dropped then
    assert found.worst < 10 < found.psnr < 30
    assert found.worst_seconds >= 1.5
    make_take(tmp_path / "same", {0: 40}, output=b"".join(made))
    found = replay(Paint, tmp_path / "same").recorded
    assert found is not None and found.worst > 35


def test_it_is_written_with_its_sound(tmp_path):
    make_take(tmp_path / "take", {0: 40, 17: 200})
    done = replay(Paint, tmp_path / "take", path=tmp_path / "replay.mp4")
    assert f"written to {done.path}" in str(done)
    found = ffprobe_file(tmp_path / "replay.mp4", "-show_streams", "-count_frames")["streams"]
    assert [stream["codec_name"] for stream in found] == ["h264", "opus"]
    assert int(found[0]["nb_read_frames"]) == 60
    assert done.sounds > 90


def test_where_it_cannot_be_written_is_told_before_anything_is_played(tmp_path):
    make_take(tmp_path / "take", {0: 40})
    with pytest.raises(RecordError, match="can't be written"):
        replay(Paint, tmp_path / "take", path=tmp_path / "replay.xyz")


class Raises(Paint):
    def process_video(self, frame):
        if frame.timestamp == 5 * 3000:
            raise ValueError("the sixth")
        return super().process_video(frame)

    def process_audio_async(self, frame):
        raise RuntimeError("no ears")


def test_a_frame_that_raises_is_told_with_its_number_and_line_and_passes_through(tmp_path):
    make_take(tmp_path / "take", {0: 40})
    done = replay(Raises, tmp_path / "take")
    assert done.pictures == 60
    assert runs_of(done.shown) == [0, 5, 6]
    assert "raised at frame 5 at 0.17 s: ValueError: the sixth (line" in str(done)
    assert "RuntimeError: no ears" in str(done)
    assert f"{done.errors} errors in all" in str(done)
    assert done.sounds > 90  # untouched


def test_a_frame_of_which_nothing_is_made_has_no_hash(tmp_path):
    make_take(tmp_path / "take", {0: 40}, seconds=1.0)

    def every_second(frame):
        return frame if frame.timestamp % 6000 == 0 else None

    done = replay(every_second, tmp_path / "take")
    assert (done.frames, done.pictures) == (30, 15)
    assert [bool(one.digest) for one in done.shown[:4]] == [True, False, True, False]


def test_parameters_that_update_params_refuses_are_told(tmp_path):
    class Picky(FrameProcessor):
        class Params(BaseModel):
            level: int = 40

        def update_params(self, params):
            if params["level"] == 99:
                raise ValueError("not that one")

        def process_video(self, frame):
            return frame.replace_array(np.full_like(frame.array, self.params.level))

    make_take(tmp_path / "take", {0: 40, 10: 99, 20: 50})
    done = replay(Picky, tmp_path / "take")
    assert runs_of(done.shown) == [0, 20]
    assert "raised at frame 10 at 0.33 s: ValueError: not that one" in str(done)


def test_what_is_not_as_it_was_is_noted(tmp_path):
    make_take(tmp_path / "take", {0: 40})
    assert replay(Paint, tmp_path / "take", text="text").notes == ()
    assert replay(Paint, tmp_path / "take", text="other").notes == ("recorded with another version of its code",)

    def other(frame):
        return frame

    assert replay(other, tmp_path / "take").notes == ("recorded with Paint",)
    make_take(tmp_path / "two", {0: 40}, versions=(Version.of("A"), Version.of("B")))
    assert replay(Paint, tmp_path / "two").notes == ("recorded with 2 versions, replayed with one throughout",)
    make_take(tmp_path / "gone", {0: 40}, timeline=(Entry(0, 0, {"level": 40, "gone": 1}),))
    assert replay(Paint, tmp_path / "gone").notes == ("parameters that could not be set: gone no longer declared",)


def test_what_is_no_take(tmp_path):
    with pytest.raises(TakeError, match="holds no take"):
        replay(Paint, tmp_path)
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(TakeError, match="holds no take"):
        replay(Paint, tmp_path / "clip.mp4")
    make_take(tmp_path / "empty", {0: 40})
    (tmp_path / "empty" / "input.ts").write_bytes(b"")
    with pytest.raises(ReplayError, match="no picture"):
        replay(Paint, tmp_path / "empty")


def test_a_parameter_with_which_it_can_no_longer_be_loaded_ends_it_in_one_line(tmp_path):
    class Heavy(Paint):
        class Params(BaseModel):
            level: int = Field(40, json_schema_extra={"load": True})

        def load_model(self):
            if self.params.level > 100:
                raise ValueError("no room")

    make_take(tmp_path / "take", {0: 40, 17: 200})
    with pytest.raises(ReplayError, match="Heavy could not be loaded once more: ValueError: no room"):
        replay(Heavy, tmp_path / "take")


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    make_take(tmp_path / "take", {0: 40})
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **options: io.FileIO("/dev/full", "r+"))
    with pytest.raises(ReplayError, match="a temporary file can't be written: No space left"):
        replay(Paint, tmp_path / "take", path=tmp_path / "out.mp4")
