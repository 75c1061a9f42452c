"""Whether a processor keeps up."""

import time

import pytest
from test_hot_reload import Live
from test_pipeline import Pass, rig  # noqa: F401

from byoc_nb.runtime.pace import PICTURES, Pace


def behind(apart, took, count=PICTURES + 1):
    pace = Pace()
    for number in range(count):
        pace.came(number * apart)
        pace.took(took)
    return pace.behind


@pytest.mark.parametrize(("apart", "took", "expected"), [(0.033, 0.010, False), (0.033, 0.050, True)])
def test_one_that_takes_longer_than_its_pictures_are_apart_is_behind(apart, took, expected):
    assert behind(apart, took) is expected


def test_nothing_is_said_before_enough_is_known():
    assert not behind(0.033, 1.0, count=PICTURES - 1)
    assert not Pace().behind


def test_a_few_slow_pictures_decide_nothing_and_a_change_is_noticed():
    pace = Pace()
    for number in range(30):
        pace.came(number * 0.033)
        pace.took(0.5 if number % 5 == 0 else 0.01)
    assert not pace.behind
    for _ in range(PICTURES):
        pace.took(0.05)
    assert pace.behind


def test_a_processor_that_keeps_up_loses_nothing_in_real_time(rig):  # noqa: F811
    class Ten(Pass):
        def process_video_async(self, frame):
            time.sleep(0.01)
            return frame

    made = rig(Ten, policy="live")
    live = Live(made, fps=30, seconds=4.0)
    live.some(100)
    live.finish_whole()
