"""Two processors side by side."""

from __future__ import annotations

import io
import math
import tempfile
import threading

import numpy as np
import pytest
from kit import CLIP
from PIL import Image
from replay_kit import Paint, make_take

from byoc_nb.processor import FrameProcessor
from byoc_nb.replay.comparing import Comparison, Side, compare
from byoc_nb.replay.player import ReplayError
from byoc_nb.replay.takes import TakeError

pytestmark = pytest.mark.usefixtures("no_thread_left")


def brighter(frame):
    return frame.replace_array(np.minimum(frame.array.astype(np.int16) + 8, 255).astype(np.uint8))


def same(frame):
    return frame


def pixels(comparison: Comparison) -> np.ndarray:
    """The picture of a comparison."""
    assert comparison.png is not None
    return np.asarray(Image.open(io.BytesIO(comparison.png)))


def test_the_same_processor_twice_is_equal(tmp_path):
    make_take(tmp_path / "take", {0: 40, 17: 200})
    found = compare(Side("a", Paint), Side("b", Paint), tmp_path / "take")
    assert found.equal
    assert (found.psnr, found.ssim, found.difference, len(found.scores)) == (math.inf, 1.0, 0, 60)
    assert repr(found).splitlines()[0] == "a | b · equal"
    assert "∞ dB (equal)" in repr(found)


def test_others_are_told_apart_with_the_worst_frame(tmp_path):
    make_take(tmp_path / "take", {0: 40, 17: 42})

    class Late(Paint):
        def process_video(self, frame):
            bright = 60 if frame.timestamp == 33 * 3000 else self.params.level
            return frame.replace_array(np.full_like(frame.array, bright))

    found = compare(Side("a", Paint), Side("b", Late), tmp_path / "take")
    assert found.worst is not None and found.psnr is not None and not found.equal
    assert (found.worst.frame, round(found.worst.seconds, 2)) == (33, 1.1)
    assert [score.frame for score in found.scores if score.difference] == [33]
    assert 13 <= found.difference <= 18
    assert found.worst.psnr < found.psnr < math.inf
    a, b, between = (pixels(found)[40, x] for x in (40, 246, 452))
    assert (b.astype(int) - a > 10).all() and (between > 200).all()


def test_a_video_file_with_parameters_of_one_s_own():
    found = compare(Side("same", same), Side("brighter", brighter), CLIP, limit=10)
    assert found.frames == len(found.scores) == 10
    assert found.psnr is not None and 30 < found.psnr < 36  # eight steps of RGB are seven of Y
    assert found.ssim is not None and 0.9 < found.ssim < 1
    assert {"PSNR", "SSIM"} <= {row.split()[0] for row in repr(found).splitlines()}
    assert found._repr_png_() == found.png
    assert "data:image/png;base64," in found._repr_html_()
    levels = compare(Side("a", Paint), Side("b", same), CLIP, limit=1, params={"level": 0})
    assert levels.scores[0].difference > 100


def test_one_is_freed_before_the_other_is_loaded():
    alive: list[int] = []

    class Heavy(FrameProcessor):
        count = 0

        def load_model(self):
            type(self).count += 1
            alive.append(self.count)
            self.thread = threading.current_thread()

        def __del__(self):
            type(self).count -= 1

        def process_video(self, frame):
            return frame

    compare(Side("a", Heavy), Side("b", Heavy), CLIP, limit=2)
    assert alive == [1, 1]


def test_what_cannot_be_compared_is_told():
    def half(frame):
        return frame.replace_array(frame.array[::2, ::2])

    found = compare(Side("a", same), Side("b", half), CLIP, limit=2)
    assert found.scores == () and found.psnr is None and found.png is None
    assert found.notes == ("the pictures differ in size, 1280x720 | 640x360, and can't be compared",)
    assert "0 of 2 compared" in repr(found) and found._repr_html_()

    def nothing(frame):
        return None

    found = compare(Side("a", nothing), Side("b", same), CLIP, limit=2)
    assert found.notes == ("only b made a picture of 2 frames",)


def test_errors_are_told_by_side_and_the_frame_passes_through():
    def broken(frame):
        raise KeyError("weights")

    found = compare(Side("a", same), Side("b", broken), CLIP, limit=3)
    assert found.difference == 0
    assert found.notes[0].startswith("b raised at frame 0 at 0.00 s: KeyError: 'weights' (line")
    assert found.notes[1] == "b 3 errors in all"


def test_parameters_that_a_side_does_not_have_are_told():
    found = compare(Side("a", Paint), Side("b", Paint), CLIP, limit=1, params={"level": 5, "gone": 1})
    assert "a: the parameter gone could not be set: no longer declared" in found.notes


def test_no_picture_and_no_file(tmp_path):
    make_take(tmp_path / "take", {0: 40})
    (tmp_path / "take" / "input.ts").write_bytes(b"")
    with pytest.raises(ReplayError, match="no picture"):
        compare(Side("a", same), Side("b", same), tmp_path / "take")
    with pytest.raises(TakeError, match="no such file"):
        compare(Side("a", same), Side("b", same), tmp_path / "no.mp4")


def test_a_full_disk_is_told(monkeypatch):
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: io.FileIO("/dev/full", "r+"))
    with pytest.raises(ReplayError, match="a temporary file can't be written: No space left"):
        compare(Side("a", Paint), Side("b", Paint), CLIP)
