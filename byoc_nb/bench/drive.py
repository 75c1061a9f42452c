"""Drives one stream through what is measured, at the pace of real time or as fast as it goes, and takes notes.

Between two marks the process is watched: what comes before the first is start-up, which is noted apart.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

from byoc_nb.bench.clips import FPS, SEGMENT_PICTURES, Clip
from byoc_nb.bench.links import Link
from byoc_nb.bench.meter import Meter
from byoc_nb.errors import ByocError

SAMPLE_SECONDS = 0.1  # between two looks at the memory
TAIL_SECONDS = 0.5  # of video after the measured part, so that its last pictures aren't the last of all
QUIET_SECONDS, PATIENCE_SECONDS = 0.4, 6.0  # without a byte it's all through; and the longest wait for that
FIRST_OUTPUT_SECONDS = 20.0
AHEAD_BYTES = 256 * 1024  # that the input may be ahead of its reader, when it goes as fast as it can
AHEAD_LOOK_SECONDS = 0.002  # between two looks at how far ahead it is


class NoOutput(ByocError, RuntimeError):
    """What is measured gave nothing, or ended."""


class Mark(NamedTuple):
    """One instant: `at` on the monotonic clock, processor seconds so far, pictures `sent`."""

    at: float
    cpu: float
    elsewhere: float  # of other programs
    sent: int


@dataclass
class Notes:
    """What was seen of one stream, which began with the clip's segment `first`. Times are `time.monotonic()`."""

    first: int = 0
    sent: list[float] = field(default_factory=list)  # when each picture's last byte was handed over
    chunks: list[tuple[float, bytes]] = field(default_factory=list)  # the output
    memory: list[tuple[float, int]] = field(default_factory=list)  # resident bytes
    marks: list[Mark] = field(default_factory=list)  # where the measured part begins and ends
    peak_memory: int = 0  # bytes, up to the end of the measured part


async def at_pace(
    link: Link, clip: Clip, meter: Meter, *, first: int = 0, warm_up: float, seconds: float, settle: bool = True
) -> Notes:
    """Send pictures when their time has come, from segment `first`: `warm_up` seconds of video, then those measured.

    With `settle` the clip pauses between the two until all that was sent is through, so that the latency of a start
    (a decoder that waits for a second of video) isn't that of the stream. Raises NoOutput.
    """
    notes = Notes(first, chunks=link.received.chunks)
    slices, measured = _slices(clip, first), round(seconds * FPS)
    async with _Watch(meter, notes) as watch:
        await _pace(link, notes, islice(slices, round(warm_up * FPS)))
        if settle:
            await _settle(link, notes, slices)
        watch.mark()
        await _pace(link, notes, islice(slices, measured))
        watch.mark()
        await _pace(link, notes, islice(slices, round(TAIL_SECONDS * FPS)))
        await _until_quiet(notes)
    return notes


async def flat_out(link: Link, clip: Clip, meter: Meter, *, first: int = 0, warm_up: float, seconds: float) -> Notes:
    """Send pictures as fast as they are taken. What is measured begins `warm_up` seconds after the first output.

    Raises NoOutput.
    """
    notes = Notes(first, chunks=link.received.chunks)
    async with _Watch(meter, notes) as watch, Feed(link, clip, notes):
        await _first_output(link)
        await asyncio.sleep(warm_up)
        watch.mark()
        await asyncio.sleep(seconds)
        watch.mark()
    return notes


async def _pace(link: Link, notes: Notes, slices: Iterator[tuple[bytes, bool]]) -> None:
    begin = time.monotonic()
    for index, (data, opens) in enumerate(slices):
        await asyncio.sleep(begin + index / FPS - time.monotonic())
        notes.sent.append(time.monotonic())
        await link.send(data, opens_segment=opens)
    await asyncio.sleep(begin + (index + 1) / FPS - time.monotonic())


def _slices(clip: Clip, first: int) -> Iterator[tuple[bytes, bool]]:
    for segment in clip.segments(first):
        for index, data in enumerate(segment):
            yield data, index == 0


async def _first_output(link: Link) -> None:
    try:
        async with asyncio.timeout(FIRST_OUTPUT_SECONDS):
            await link.received.begun.wait()
    except TimeoutError:
        raise NoOutput(f"nothing came out within {FIRST_OUTPUT_SECONDS:.0f} s") from None


async def _settle(link: Link, notes: Notes, slices: Iterator[tuple[bytes, bool]]) -> None:
    deadline = time.monotonic() + FIRST_OUTPUT_SECONDS
    while not link.received.begun.is_set() and time.monotonic() < deadline:  # who probes the input may want more of it
        await _pace(link, notes, islice(slices, SEGMENT_PICTURES))
    await _until_quiet(notes)


async def _until_quiet(notes: Notes) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        count = len(notes.chunks)
        await asyncio.sleep(QUIET_SECONDS)
        if len(notes.chunks) == count:
            return


class Feed:
    """While the context is open, pictures are sent as fast as they are taken."""

    def __init__(self, link: Link, clip: Clip, notes: Notes) -> None:
        self._link, self._clip, self._notes = link, clip, notes

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._send())

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _send(self) -> None:
        for data, opens in _slices(self._clip, self._notes.first):
            self._notes.sent.append(time.monotonic())
            await self._link.send(data, opens_segment=opens)
            while self._link.backlog() > AHEAD_BYTES:  # noqa: ASYNC110  # a server tells nobody what it has sent
                await asyncio.sleep(AHEAD_LOOK_SECONDS)


class _Watch:
    """Samples a process' memory while the context is open. Leaving it raises NoOutput if the process has ended."""

    def __init__(self, meter: Meter, notes: Notes) -> None:
        self._meter, self._notes = meter, notes

    async def __aenter__(self) -> _Watch:
        self._sampling = asyncio.create_task(self._sample())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._sampling.cancel()
        done = await asyncio.gather(self._sampling, return_exceptions=True)
        if (kind is not None and issubclass(kind, OSError)) or isinstance(done[0], OSError):
            raise NoOutput("the process ended while it was measured") from None
        if kind is None and not self._notes.chunks:
            raise NoOutput("nothing came out")

    def mark(self) -> None:
        """Note the time, what was used up to now, and the peak of memory."""
        cpu, elsewhere = self._meter.cpu(), self._meter.elsewhere()
        self._notes.marks.append(Mark(time.monotonic(), cpu, elsewhere, len(self._notes.sent)))
        self._notes.peak_memory = self._meter.peak_memory()

    async def _sample(self) -> None:
        while True:
            self._notes.memory.append((time.monotonic(), self._meter.memory()))
            await asyncio.sleep(SAMPLE_SECONDS)
