"""From what was sent and what came to figures: each picture with its own time, percentiles, ratios."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time

import pytest

from byoc_nb.bench.clips import FPS, SEGMENT_PICTURES, Clip
from byoc_nb.bench.drive import Mark, NoOutput, Notes
from byoc_nb.bench.figures import figures, middle, outputs_of, percentile, ratio
from byoc_nb.bench.meter import Meter


@pytest.mark.parametrize(
    ("percent", "expected"), [(50, 50), (90, 90), (99, 99), (100, 100), (1, 1), (0, 1), (99.5, 100)]
)
def test_a_percentile_is_a_value_that_was_there(percent: float, expected: int) -> None:
    assert percentile(reversed(range(1, 101)), percent) == expected


def test_percentiles_of_few_and_of_none() -> None:
    assert percentile([3.0], 99) == 3.0
    assert percentile([], 50) is None


def test_the_middle_leaves_out_what_was_not_measured() -> None:
    assert middle([3, None, 1, 2]) == 2
    assert middle([None]) is None


def test_a_ratio_needs_both_values() -> None:
    assert ratio(1.0, 4.0) == 0.25
    assert ratio(None, 4.0) is ratio(1.0, None) is ratio(1.0, 0.0) is None


def slices(clip: Clip, count: int, first: int = 0) -> list[bytes]:
    return list(itertools.islice(itertools.chain.from_iterable(clip.segments(first)), count))


def test_every_picture_gets_the_time_at_which_its_last_byte_came(clip: Clip) -> None:
    """Over the end of the clip, where the numbers begin again; in chunks that end within pictures."""
    parts = slices(clip, 200)
    data, ends = b"".join(parts), list(itertools.accumulate(map(len, parts)))
    chunks = [(float(at), data[at : at + 1000]) for at in range(0, len(data), 1000)]
    outputs, unreadable = outputs_of(chunks, clip.pictures)
    assert ([output.place for output in outputs], unreadable) == (list(range(200)), 0)
    expected = [float((end - 1) // 1000 * 1000) for end in ends]
    # behind a segment's last picture there is sound, which its slice has as well
    whole = [n for n in range(200) if n % SEGMENT_PICTURES != SEGMENT_PICTURES - 1]
    assert [outputs[n].at for n in whole] == [expected[n] for n in whole]


def notes(clip: Clip, *, lose: range, delay: float, first: int = 0) -> Notes:
    """Two segments sent in real time, of which the first one's last pictures may be lost; the middle was measured."""
    parts = slices(clip, 2 * SEGMENT_PICTURES, first)
    found = Notes(first)
    found.sent = [n / FPS for n in range(len(parts))]
    found.chunks = [(n / FPS + delay, part) for n, part in enumerate(parts) if n not in lose]
    found.marks = [Mark(1.0, 1.0, 5.0, 30), Mark(3.0, 1.6, 6.0, 90)]
    found.memory = [(n / 10, (100 + n) << 20) for n in range(40)]
    found.peak_memory = 150 << 20
    return found


@pytest.mark.parametrize("first", [0, 1])
def test_the_figures_of_a_run_in_real_time(clip: Clip, first: int) -> None:
    found = figures(notes(clip, lose=range(57, 60), delay=0.040, first=first), clip, paced=True)
    assert (found.frames_in, found.frames_out, found.lost, found.unreadable) == (60, 57, 3, 0)
    assert found.p50_ms == pytest.approx(40.0)
    assert found.p99_ms == pytest.approx(40.0)
    assert found.first_byte_ms == pytest.approx(40.0)
    assert found.fps == pytest.approx(57 / 2, abs=1)
    assert found.cpu_ms == pytest.approx(600 / (found.fps * 2))
    assert (found.peak_memory, found.memory_growth, found.elsewhere) == (150, pytest.approx(16), pytest.approx(0.5))
    assert not found.negative


def test_as_fast_as_it_goes_the_lost_are_those_missing_in_between(clip: Clip) -> None:
    found = figures(notes(clip, lose=range(57, 60), delay=0.040), clip, paced=False)
    assert found.lost == 3
    assert found.frames_in == found.frames_out + 3
    assert found.p50_ms is None


@pytest.mark.parametrize("chunks", [[], [(0.0, b"no MPEG-TS at all" * 100)]])
def test_no_output_is_told(clip: Clip, chunks: list[tuple[float, bytes]]) -> None:
    empty = notes(clip, lose=range(0), delay=0.0)
    empty.chunks = chunks
    with pytest.raises(NoOutput):
        figures(empty, clip, paced=True)


def test_a_meter_sees_the_other_process_alone() -> None:
    work = "import sys; sum(range(3_000_000)); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", work], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        meter, own = Meter(process.pid), time.process_time()
        used = meter.cpu()
        assert used > 0
        sum(range(3_000_000))
        assert time.process_time() > own
        assert meter.cpu() < used + (time.process_time() - own) / 2
        assert 0 < meter.memory() <= meter.peak_memory()
        assert isinstance(meter.elsewhere(), float)
        process.communicate()
    with pytest.raises(ProcessLookupError):
        meter.cpu()
