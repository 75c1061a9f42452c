"""One forward-running time line, whatever the input's clock does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from byoc_nb.media.timeline import CLOCK, JUMP, STEP, Timeline


def test_times_are_kept_while_they_run_forward():
    line = Timeline()
    assert [line.place("video", pts) for pts in (500, 3500, 6500)] == [500, 3500, 6500]
    assert line.place("audio", 100) == 100  # another stream has its own order


def test_a_negative_beginning_is_kept():
    assert Timeline().place("audio", -1890) == -1890


def test_a_jump_forward_is_kept():
    line = Timeline()
    line.place("video", 0)
    assert line.place("video", 100 * CLOCK) == 100 * CLOCK


def test_a_late_frame_is_left_out_and_changes_nothing():
    line = Timeline()
    line.place("video", 9000)
    assert line.place("video", 9000) is None
    assert line.place("video", 6000) is None
    assert line.place("video", 12000) == 12000


def test_a_clock_that_starts_again_goes_on_where_it_was_for_all_streams():
    line = Timeline()
    line.place("video", 10 * CLOCK)
    line.place("audio", 10 * CLOCK + 900)
    again = line.place("video", 0)
    assert again == 10 * CLOCK + 900 + STEP
    assert line.place("audio", 1800) == again + 1800
    assert line.place("video", 3000) == again + 3000


def test_frames_of_the_old_clock_that_come_after_the_new_one_began_keep_their_place():
    line = Timeline()
    line.place("video", 10 * CLOCK)
    line.place("audio", 10 * CLOCK - 4000)
    again = line.place("video", 0)  # the sound of the old clock's end is still on its way
    assert line.place("audio", 10 * CLOCK - 2000) == 10 * CLOCK - 2000
    assert line.place("video", 3000) == again + 3000
    assert line.place("audio", 0) == again
    assert line.place("audio", 1800) == again + 1800


def test_pictures_that_a_decoder_held_back_keep_their_place():
    line = Timeline()
    line.place("video", 10 * CLOCK - 6000)
    line.place("audio", 10 * CLOCK)
    again = line.place("audio", 0)
    assert line.place("video", 10 * CLOCK - 3000) == 10 * CLOCK - 3000
    assert line.place("video", 10 * CLOCK) == 10 * CLOCK
    assert line.place("video", 0) == again
    assert line.place("audio", 1800) == again + 1800


def test_loop_after_loop():
    line, last = Timeline(), -1
    for _ in range(50):
        for pts in range(0, 5 * CLOCK, CLOCK // 25):
            placed = line.place("video", pts)
            assert placed is not None and placed > last
            last = placed
    assert last < 50 * (5 * CLOCK + STEP)


@given(st.lists(st.tuples(st.sampled_from(["video", "audio"]), st.integers(-(2**40), 2**40)), max_size=60))
def test_no_stream_ever_goes_back_or_stands_still(frames):
    line, last = Timeline(), {}
    for kind, pts in frames:
        placed = line.place(kind, pts)
        if placed is not None:
            assert placed > last.get(kind, placed - 1)
            last[kind] = placed


def test_what_counts_as_a_new_clock_is_half_a_second():
    assert JUMP == CLOCK // 2
    line = Timeline()
    line.place("video", CLOCK)
    assert line.place("video", CLOCK - JUMP + 1) is None
    assert line.place("video", CLOCK - JUMP) == CLOCK + STEP
