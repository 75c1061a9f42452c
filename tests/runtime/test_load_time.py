"""Changes of load-time parameters that come together."""

from __future__ import annotations

import threading

import pytest
from kit import WAIT

from byoc_nb.runtime.load_time import LoadTimeChanges

pytestmark = pytest.mark.usefixtures("no_thread_left")


def test_whoever_put_a_change_hears_what_became_of_the_load_that_took_it():
    turn, loads = threading.Lock(), []

    def load(changes):
        loads.append(changes)
        if "bad" in changes:
            raise ValueError("no room")

    made = LoadTimeChanges(turn, load)
    with turn:
        one, two = made.put({"bad": 1}), made.put({"good": 2})
        assert made.pending
    for done in (one, two):
        assert str(done.exception(WAIT)) == "no room"
    assert loads == [{"bad": 1, "good": 2}]
    assert made.put({"good": 3}).result(WAIT) is None
