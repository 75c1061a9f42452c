"""The figures of the last minutes."""

from __future__ import annotations

from byoc_nb.dashboard.samples import SAMPLES, Sample, Samples

RUNNING = {
    "state": "running",
    "fps_in": 30.0,
    "fps_out": 29.5,
    "latency_ms_p50": 12.0,
    "latency_ms_p99": 30.0,
    "stages_ms": {"process": {"p50": 5.0, "p99": 9.0}},
    "frames_dropped": 3,
    "reloads": 2,
    "memory": {"process": 1000, "gpu": 500},
}


def test_a_sample_has_the_streams_figures():
    assert Sample.of(RUNNING, 7.0) == Sample(7.0, 30.0, 29.5, 12.0, 30.0, 5.0, 9.0, 3, 2, 1000, 500)


def test_without_a_stream_there_are_gaps_and_what_the_process_takes():
    ended = Sample.of(RUNNING | {"state": "ended"}, 1.0)
    assert ended.fps_in is None and ended.process_ms_p50 is None and ended.process_bytes == 1000
    waiting = Sample.of({"state": "waiting", "memory": {}, "processor": ""}, 1.0)
    assert waiting.frames_dropped == 0 and waiting.gpu_bytes is None


def test_ten_minutes_are_kept():
    samples = Samples()
    for _ in range(SAMPLES + 5):
        samples.add(RUNNING)
    assert len(samples) == SAMPLES == 600 / 0.5
    assert samples[0].at <= samples[-1].at and len(samples[-10:]) == 10
    assert [sample.fps_in for sample in samples][:2] == [30.0, 30.0]
