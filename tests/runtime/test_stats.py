"""Counters, rates, latency and errors of a stream."""

from __future__ import annotations

import json
import logging
import threading
import time

import pytest

from byoc_nb.runtime.stats import DISTINCT_ERRORS, Rate, StreamStats, describe
from byoc_nb.runtime.trip import Trip


def test_a_rate_is_events_a_second_over_two_seconds():
    rate = Rate()
    for number in range(300):
        rate.tick(number / 30)
    assert rate.value(299 / 30) == pytest.approx(30, rel=0.01)


def test_a_rate_falls_to_zero_when_nothing_comes():
    rate = Rate()
    for number in range(60):
        rate.tick(number / 30)
    assert rate.value(2.0) > rate.value(3.0) > rate.value(3.9)
    assert rate.value(4.5) == 0


def test_a_burst_at_the_beginning_is_no_rate():
    rate = Rate()
    for number in range(10):
        rate.tick(number / 1000)
    assert 0 < rate.value(0.01) < 30


@pytest.mark.parametrize("times", [[], [1.0], [1.0, 1.0], [1.0, 1.0, 1.0]])
def test_a_rate_of_too_little_is_zero(times):
    rate = Rate()
    for moment in times:
        rate.tick(moment)
    assert rate.value(1.0) == 0


def test_the_snapshot_is_json_and_complete():
    stats = StreamStats()
    assert stats.snapshot()["latency_ms_p50"] is None
    stats.frame_in()
    stats.frame_out(None)
    for _ in range(3):
        trip = Trip(time.monotonic() - 0.02)
        for passed in (trip.processing, trip.processed, trip.encoding, trip.encoded):
            passed()
        stats.frame_out(trip)
    stats.drop("rate", 3)
    stats.drop("damaged")
    found = json.loads(json.dumps(stats.snapshot()))
    assert (found["frames_in"], found["frames_out"], found["frames_dropped"]) == (1, 4, 4)
    assert found["drops"] == {"rate": 3, "damaged": 1}
    assert 20 <= found["latency_ms_p50"] <= found["latency_ms_p99"]
    assert list(found["stages_ms"]) == ["decode", "queue", "process", "encode", "publish"]
    assert found["stages_ms"]["decode"]["p50"] >= 20
    assert (found["errors"], found["last_error"]) == (0, None)


def test_an_error_is_logged_once_and_counted_always(caplog):
    stats = StreamStats()
    with caplog.at_level(logging.WARNING):
        for _ in range(50):
            stats.error("the processor raised", ValueError("bad"))
        stats.error("the processor raised", ValueError("worse"))
    assert len(caplog.records) == 2
    assert stats.error_count == 51
    assert stats.errors == {"the processor raised: ValueError: bad": 50, "the processor raised: ValueError: worse": 1}
    assert stats.last_error == "the processor raised: ValueError: worse"


def test_errors_that_are_all_different_do_not_flood(caplog):
    stats = StreamStats()
    for number in range(500):
        stats.error("x", ValueError(f"frame {number}"))
    assert (len(caplog.records), len(stats.errors), stats.error_count) == (DISTINCT_ERRORS, DISTINCT_ERRORS, 500)


def test_an_error_names_the_users_line():
    try:
        exec(compile("def work():\n    return 1 / 0\n\nwork()", "/tmp/cell.py", "exec"), {})
    except ZeroDivisionError as error:
        assert describe(error) == "ZeroDivisionError: division by zero (line 2)"


def test_an_error_is_one_line():
    assert describe(ValueError("two\n  lines")) == "ValueError: two lines"
    assert describe(ValueError()) == "ValueError: no message"


def test_counting_from_many_threads():
    stats = StreamStats()

    def work():
        for _ in range(500):
            stats.frame_in()
            stats.frame_out(Trip(time.monotonic()))
            stats.drop("rate")
            stats.error("x", ValueError("y"))
            stats.snapshot()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (stats.frames_in, stats.frames_out, stats.dropped["rate"], stats.error_count) == (2000,) * 4
