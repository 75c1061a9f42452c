"""From notes to figures: whose picture came when, percentiles, medians and ratios. Nothing is measured here."""

from __future__ import annotations

import bisect
import io
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, NamedTuple

import av

from byoc_nb.bench import stamp
from byoc_nb.bench.clips import FPS, SEGMENT_PICTURES, Clip
from byoc_nb.bench.drive import Mark, NoOutput, Notes
from byoc_nb.bench.pictures import PictureEnds

MIB = 1 << 20
_PTS_MASK = (1 << 33) - 1


class Output(NamedTuple):
    """A picture that came: its `place` among those sent, and when its last byte came."""

    place: int
    at: float
    negative: bool


@dataclass(frozen=True)
class Figures:
    """One run. Latencies in milliseconds, memory in MiB, None for what the run doesn't tell."""

    frames_in: int  # pictures of the measured part
    frames_out: int  # of them, those that came back
    lost: int  # of them, those that didn't
    unreadable: int  # pictures that came with no readable number
    negative: bool  # whether the pictures were negatives, as a processor makes them
    fps: float  # that came out
    cpu_ms: float  # processor milliseconds for each picture that came out
    peak_memory: float
    memory: list[float]  # of the measured part, ten times a second
    memory_growth: float  # of the measured part, from its first fifth to its last
    first_byte_ms: float  # from the first byte in to the first byte out
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    latencies_ms: list[float]  # of every picture of the measured part that came
    kbit_s: float  # of the output, at the clip's own pace
    elsewhere: float  # cores that other programs took meanwhile

    def as_dict(self) -> dict[str, Any]:
        """For JSON, with numbers that people can read."""
        return {name: _rounded(value) for name, value in asdict(self).items()}


def figures(notes: Notes, clip: Clip, *, paced: bool) -> Figures:
    """What a run came to; decodes its output. Raises NoOutput if none of the measured part is there."""
    outputs, unreadable = outputs_of(notes.chunks, clip.pictures, notes.first * SEGMENT_PICTURES)
    begin, end = notes.marks
    if paced:
        measured = [output for output in outputs if begin.sent <= output.place < end.sent]
        frames_in = end.sent - begin.sent
    else:
        measured = [output for output in outputs if begin.at < output.at <= end.at]
        frames_in = measured[-1].place - measured[0].place + 1 if measured else 0
    if not measured:
        raise NoOutput("no picture of the measured part came out")
    latencies = [(output.at - notes.sent[output.place]) * 1000 for output in measured] if paced else []
    there = [output for output in outputs if begin.at < output.at <= end.at]
    fps = len(there) / (end.at - begin.at)
    memory = [size / MIB for at, size in notes.memory if begin.at <= at <= end.at]
    fifth = -(-len(memory) // 5)
    return Figures(
        frames_in=frames_in,
        frames_out=len({output.place for output in measured}),
        lost=frames_in - len({output.place for output in measured}),
        unreadable=unreadable,
        negative=all(output.negative for output in measured),
        fps=fps,
        cpu_ms=(end.cpu - begin.cpu) * 1000 / len(there) if there else math.inf,
        peak_memory=notes.peak_memory / MIB,
        memory=memory,
        memory_growth=_mean(memory[-fifth:]) - _mean(memory[:fifth]) if memory else 0.0,
        first_byte_ms=(notes.chunks[0][0] - notes.sent[0]) * 1000,
        p50_ms=percentile(latencies, 50),
        p90_ms=percentile(latencies, 90),
        p99_ms=percentile(latencies, 99),
        latencies_ms=latencies,
        kbit_s=_bits(notes.chunks, begin, end) / max(1, len(there)) * FPS / 1000,
        elsewhere=max(0.0, end.elsewhere - begin.elsewhere) / (end.at - begin.at),
    )


def outputs_of(chunks: Sequence[tuple[float, bytes]], numbers: int, first: int = 0) -> tuple[list[Output], int]:
    """The pictures in the output, and how many had no readable number.

    `numbers`: how many there are before they come again; `first`: the one in place 0. A picture's place follows from
    its number and from the picture before, which it can't be far from.
    """
    data = b"".join(part for _, part in chunks)
    arrived = list(itertools.accumulate(len(part) for _, part in chunks))  # bytes up to each chunk's end
    times = {pts: chunks[bisect.bisect_left(arrived, end)][0] for pts, end in PictureEnds().feed(data, last=True)}
    outputs: list[Output] = []
    unreadable, place = 0, 0
    try:
        container = av.open(io.BytesIO(data), "r", format="mpegts")
    except av.FFmpegError:
        raise NoOutput("what came out is no MPEG-TS") from None
    with container:
        if not container.streams.video:
            raise NoOutput("no picture came out")
        container.streams.video[0].thread_type = "AUTO"
        for picture in container.decode(video=0):
            shown = stamp.read(picture)
            at = None if picture.pts is None else times.get(picture.pts & _PTS_MASK)
            if shown is None or at is None:
                unreadable += 1
                continue
            step = (shown.number - first - place) % numbers
            place = max(0, place + (step if step <= numbers // 2 else step - numbers))
            outputs.append(Output(place, at, shown.negative))
    return outputs, unreadable


def percentile(values: Iterable[float], percent: float) -> float | None:
    """The smallest value that `percent` of all values don't exceed; None of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def middle(values: Iterable[float | None]) -> float | None:
    """The median of those that there are."""
    there = [value for value in values if value is not None]
    return median(there) if there else None


def ratio(value: float | None, other: float | None) -> float | None:
    """How many times `other` is `value`; None where one is missing or there is nothing to divide by."""
    return None if value is None or not other else value / other


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _bits(chunks: Sequence[tuple[float, bytes]], begin: Mark, end: Mark) -> int:
    return 8 * sum(len(part) for at, part in chunks if begin.at < at <= end.at)


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 3)
    return [_rounded(item) for item in value] if isinstance(value, list) else value
