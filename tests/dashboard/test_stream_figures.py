"""What the figures mean, in words."""

from __future__ import annotations

import pytest

from byoc_nb.dashboard.figures import _Count, verdict
from byoc_nb.dashboard.pictures import Pace


def figures(process, encode=3.0, fps=30.0):
    return {
        "fps_in": fps,
        "stages_ms": {"process": {"p50": process}, "encode": {"p50": encode}, "queue": {"p50": 90.0}},
    }


@pytest.mark.parametrize(
    ("found", "dropped", "text"),
    [
        (figures(38.2), 12, "process 38 ms > 33 ms at 30 fps: 12 of 30 frames dropped"),
        (figures(5.0, encode=50.0), 12, "encode 50 ms > 33 ms at 30 fps: 12 of 30 frames dropped"),
        (figures(5.0), 2, "2 of 30 frames dropped (processor too slow)"),
        (figures(38.2), 0, "no frame dropped lately, though process took 38 of 33 ms"),
        (figures(None, None), 0, "keeps up: process 0 of 33 ms at 30 fps"),
        (figures(None, None, fps=0.0), 0, "no picture comes in"),
    ],
)
def test_the_verdict(found, dropped, text):
    drops = {"processor too slow": dropped, "processor returned None": 0}
    result = verdict(found, _Count(2.0, 30, dropped, drops))
    assert result == {"text": text, "good": not dropped and bool(found["fps_in"])}


@pytest.mark.parametrize(("load", "seconds"), [(1.9, 0.1), (0.3, 0.06)])
def test_pictures_wait_for_their_share_of_the_processor_time(monkeypatch, load, seconds):
    clock = {"process_time": 10.0, "monotonic": 100.0}
    for name in clock:
        monkeypatch.setattr(f"byoc_nb.dashboard.pictures.time.{name}", lambda name=name: clock[name])
    monkeypatch.setattr("byoc_nb.dashboard.pictures.os.getloadavg", lambda: (load, 0.0, 0.0))
    monkeypatch.setattr("byoc_nb.dashboard.pictures.os.cpu_count", lambda: 2)
    pace = Pace()
    assert pace.may()
    pace.took(0.003)
    assert not pace.may()
    clock["process_time"] += 0.048
    assert pace.may()
    pace.took(0.003)
    clock["monotonic"] += seconds - 0.01
    assert not pace.may()
    clock["monotonic"] += 0.02
    assert pace.may()
