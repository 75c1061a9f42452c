"""What is measured, in what order: rounds in which those who are compared take turns.

A round measures each case once, the peers of a case one after another, so that what else the machine does at a time
meets all of them. What the first round alone has is measured for the record and isn't worth the others' time.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from byoc_nb.bench import drive
from byoc_nb.bench.clips import SEGMENT_SECONDS, Clip
from byoc_nb.bench.drive import Notes
from byoc_nb.bench.figures import Figures, figures
from byoc_nb.bench.peers import Peer
from byoc_nb.errors import ByocError

logger = logging.getLogger(__name__)

Size = tuple[int, int]
WORKLOADS = ("pass", "float32", "uint8", "overload")
_NEGATIVE = ("float32", "uint8")  # workloads whose pictures must come out as negatives
_FAST_WARM_UP = 0.7  # seconds after the first output; queues are full by then


class Case(NamedTuple):
    """One thing to measure. `paced`: in real time, else as fast as it goes."""

    workload: str
    size: Size
    paced: bool

    def __str__(self) -> str:
        pace = "in real time" if self.paced else "as fast as it goes"
        return f"{self.workload}, {self.size[0]}x{self.size[1]}, {pace}"


@dataclass(frozen=True)
class Run:
    """A case of one peer in one round (from 0), with its figures, or `error` if it couldn't be measured."""

    peer: str
    case: Case
    round: int
    figures: Figures | None = None
    error: str = ""


@dataclass(frozen=True)
class Times:
    """How long each run is, in seconds: of video in real time (twice that under overload), as fast as it goes."""

    paced: float
    fast: float
    warm_up: float = 2.0


def cases(workloads: Sequence[str], sizes: Sequence[Size], *, first: bool) -> list[Case]:
    """The cases of a round; the `first` one has more: the smaller sizes, the overload, uint8 in real time."""
    found = []
    for size in sizes if first else sizes[:1]:
        for workload in workloads:
            if workload != "overload":
                found += [Case(workload, size, paced) for paced in (True, False)]
            elif first and size == sizes[0]:
                found.append(Case(workload, size, True))
    return [case for case in found if first or (case.workload, case.paced) != ("uint8", True)]


async def measure(
    peers: Sequence[Peer], clips: Mapping[Size, Clip], workloads: Sequence[str], rounds: int, times: Times
) -> AsyncIterator[Run]:
    """Each run of each round, in order. One that fails is told in its `error`; the others go on."""
    order = [
        (number, case, peer)
        for number in range(rounds)
        for case in cases(workloads, list(clips), first=number == 0)
        for peer in peers
        if case.workload in peer.workloads and (number == 0 or not (case.paced and peer.floor))
    ]
    before: asyncio.Task[Run] | None = None
    for count, (number, case, peer) in enumerate(order, 1):
        logger.info("[%d/%d] %s: %s", count, len(order), peer.name, case)
        notes = await _notes(peer, case, clips[case.size], times, number, before=before)
        if before is not None:
            yield await before
        before = asyncio.create_task(_analyse(peer, case, number, notes, clips[case.size]))
    if before is not None:
        yield await before


async def _notes(
    peer: Peer, case: Case, clip: Clip, times: Times, number: int, *, before: asyncio.Task[Run] | None
) -> Notes | ByocError:
    """Measure one case, once the analysis of the run `before` is done, which goes on while the next process starts."""
    try:
        async with peer.run(case.workload, case.size, lossless=not case.paced) as (link, meter):
            if before is not None:
                await asyncio.wait([before])
            first = number * math.ceil(times.paced / SEGMENT_SECONDS)  # each round has another part of the clip
            if not case.paced:
                return await drive.flat_out(link, clip, meter, first=first, warm_up=_FAST_WARM_UP, seconds=times.fast)
            if case.workload == "overload":  # it never settles; its queues are to be full
                return await drive.at_pace(
                    link, clip, meter, first=first, warm_up=times.warm_up, seconds=2 * times.paced, settle=False
                )
            return await drive.at_pace(link, clip, meter, first=first, warm_up=times.warm_up, seconds=times.paced)
    except ByocError as error:
        return error
    except (TimeoutError, OSError) as error:
        return ByocError(str(error) or type(error).__name__)


async def _analyse(peer: Peer, case: Case, number: int, notes: Notes | ByocError, clip: Clip) -> Run:
    error = notes if isinstance(notes, ByocError) else None
    found: Figures | None = None
    if isinstance(notes, Notes):
        try:
            found = await asyncio.to_thread(figures, notes, clip, paced=case.paced)
        except ByocError as raised:
            error = raised
        else:
            if found.negative != (case.workload in _NEGATIVE):
                error = ByocError("the pictures that came out aren't what the processor makes of them")
    if error is not None:
        logger.warning("%s: %s was not measured: %s", peer.name, case, error.one_line())
        return Run(peer.name, case, number, error=error.one_line())
    return Run(peer.name, case, number, found)
