"""What is played again: takes and video files."""

from __future__ import annotations

import pytest
from kit import CLIP, number_of, segments, split
from replay_kit import make_take

from byoc_nb.replay.clips import Clip
from byoc_nb.replay.takes import INPUT, TakeError


def test_a_take_has_its_pictures_and_its_sound(tmp_path):
    make_take(tmp_path / "take", {0: 40})
    clip = Clip(tmp_path / "take")
    pictures, sounds = split(clip.frames())
    assert [number_of(frame) for frame in pictures] == list(range(60))
    assert len(sounds) > 90
    assert clip.kinds == {"video", "audio"}


def test_a_picture_that_is_there_by_half_is_left_out(tmp_path):
    make_take(tmp_path / "take", {0: 40}, ended="stopped before its time")
    whole = b"".join(segments(2.0))
    (tmp_path / "take" / INPUT).write_bytes(whole[: len(whole) // 2 // 188 * 188])
    cut, _ = split(Clip(tmp_path / "take").frames())
    numbers = [number_of(frame) for frame in cut]
    assert 10 < len(numbers) < 50
    assert numbers == list(range(len(numbers)))


def test_nothing_after_the_last_picture_of_a_take_is_played(tmp_path):
    make_take(tmp_path / "take", {0: 40}, last=9 * 3000)
    pictures, _ = split(Clip(tmp_path / "take").frames())
    assert len(pictures) == 10


def test_a_video_file_has_no_timeline():
    clip = Clip(CLIP)
    assert clip.timeline == ()
    pictures, sounds = split(clip.frames())
    assert (len(pictures), pictures[0].width) == (132, 1280)
    assert pictures[0].timestamp < pictures[-1].timestamp
    assert sounds


@pytest.mark.parametrize(("name", "said"), [("no.mp4", "no such file"), ("text.mp4", "holds no video|can't be read")])
def test_what_is_no_clip(tmp_path, name, said):
    (tmp_path / "text.mp4").write_text("not a video\n" * 50)
    with pytest.raises(TakeError, match=said):
        list(Clip(tmp_path / name).frames())
