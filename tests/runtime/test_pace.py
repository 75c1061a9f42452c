"""Whether a processor keeps up."""

import pytest

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
