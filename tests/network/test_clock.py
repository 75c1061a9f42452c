"""The clock on which a source is shown."""

from __future__ import annotations

import time

import pytest

from byoc_nb.network import clock
from byoc_nb.network.clock import PlayClock

CLOCK = 90_000


@pytest.fixture
def now(monkeypatch):
    """A hand to set the time by."""

    class Now:
        seconds = 100.0

    monkeypatch.setattr(clock.time, "monotonic", lambda: Now.seconds)
    yield Now
    assert time is clock.time


def show(made, at, **options):
    shown, wait = made.due(at, **options)
    made.shown(at, shown, picture=True)
    return shown, pytest.approx(wait)


def test_frames_wait_for_their_time(now):
    made = PlayClock()
    assert show(made, 0) == (0, 0.0)
    now.seconds += 0.1
    assert show(made, 18_000) == (18_000, 0.1)


def test_without_real_time_nothing_waits(now):
    made = PlayClock(realtime=False)
    assert [show(made, at) for at in (0, 900_000)] == [(0, 0.0), (900_000, 0.0)]
    made.cut()
    assert show(made, 5) == (903_000, 0.0)


def test_what_is_a_little_late_hurries_and_what_is_very_late_does_not(now):
    made = PlayClock()
    show(made, 0)
    now.seconds += 0.9
    assert show(made, 9_000) == (9_000, -0.8)
    now.seconds += 5
    assert show(made, 18_000) == (18_000, 0.0)
    assert show(made, 27_000) == (27_000, 0.1)


def test_a_jump_of_the_sources_clock_is_not_waited_for(now):
    made = PlayClock()
    show(made, 0)
    assert show(made, 3600 * CLOCK) == (3600 * CLOCK, 0.0)


def test_behind_a_cut_the_next_frame_is_shown_at_once(now):
    made = PlayClock()
    show(made, 0)
    now.seconds += 0.04
    show(made, 3600)
    now.seconds += 0.5
    made.cut()
    assert show(made, 7 * CLOCK) == (round(0.54 * CLOCK), 0.0)
    made.cut()
    shown, wait = made.due(0)
    assert shown > round(0.54 * CLOCK) and wait < 0.05, "later than what went before"


def test_a_cut_before_the_first_frame_begins_at_zero(now):
    made = PlayClock()
    made.cut()
    assert show(made, 3 * CLOCK) == (0, 0.0)


@pytest.mark.parametrize("speed", [0.25, 0.5, 2.0, 4.0])
def test_another_speed_holds_from_the_newest_picture_on(now, speed):
    made = PlayClock()
    show(made, 0)
    show(made, CLOCK)
    made.change_speed(speed)
    assert show(made, 2 * CLOCK)[0] == CLOCK + round(CLOCK / speed)
    made.change_speed(1.0)
    assert show(made, 3 * CLOCK)[0] == 2 * CLOCK + round(CLOCK / speed)


def test_times_that_only_say_an_order_slip(now):
    made = PlayClock()
    show(made, 0)
    now.seconds += 0.3
    assert show(made, 3000, slips=True) == (27_000, 0.0)
    assert show(made, 6000) == (30_000, 1 / 30)
