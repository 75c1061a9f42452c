"""What a picture's latency is made of."""

import pytest

from byoc_nb.runtime import trip as trips
from byoc_nb.runtime.trip import STAGES, StageTimes, Trip


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands at `now[0]` seconds."""
    now = [100.0]
    monkeypatch.setattr(trips.time, "monotonic", lambda: now[0])
    return now


def test_the_stages_of_a_trip_add_up_to_its_latency(clock):
    clock[0] = 100.002
    trip = Trip(100.0)
    for passed, at in ((trip.processing, 100.003), (trip.processed, 100.013), (trip.encoding, 100.017)):
        clock[0] = at
        passed()
    clock[0] = 100.022
    trip.encoded()
    clock[0] = 100.030
    found = dict(zip(STAGES, trip.published(), strict=True))
    assert found == pytest.approx(
        {"decode": 0.002, "queue": 0.005, "process": 0.010, "encode": 0.005, "publish": 0.008}
    )
    assert sum(found.values()) == pytest.approx(0.030)


def test_percentiles_over_many_trips():
    times = StageTimes()
    assert times.snapshot()["stages_ms"]["encode"] == {"p50": None, "p99": None}
    for number in range(100):
        times.add((0.001, 0.0, number / 1000, 0.0, 0.0))
    found = times.snapshot()
    assert found["stages_ms"]["process"] == {"p50": 50.0, "p99": 99.0}
    assert (found["latency_ms_p50"], found["latency_ms_p99"]) == (51.0, 100.0)
    for _ in range(10_000):
        times.add((0.002, 0.0, 0.0, 0.0, 0.0))
    assert times.snapshot()["latency_ms_p99"] == 2.0, "old trips are forgotten"
