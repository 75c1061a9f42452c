"""A soak: does the memory of a container stay flat over tens of thousands of frames?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from statistics import median
from typing import Any

from byoc_nb.bench.clips import Clip
from byoc_nb.bench.drive import SAMPLE_SECONDS, Feed, NoOutput, Notes
from byoc_nb.bench.figures import MIB
from byoc_nb.bench.links import Link
from byoc_nb.bench.meter import Meter
from byoc_nb.bench.report import machine, markdown

PARTS = 20  # that a run is told in
_STARTING, _COMPARED = 2, 5  # parts that hold start-up, and how many of the first and last others are compared
_PATIENCE_SECONDS = 10.0  # without a picture, it has got stuck


async def soak(link: Link, clip: Clip, meter: Meter, *, pictures: int) -> list[tuple[int, int]]:
    """As fast as it goes until `pictures` have come out; ten times a second, how many had come, and resident bytes.

    Nothing of the output is kept. Raises NoOutput when it gets stuck.
    """
    received, notes, seen = link.received, Notes(), [(0, meter.memory())]
    received.keep = False
    moved = time.monotonic()
    async with Feed(link, clip, notes):
        while received.pictures < pictures:
            await asyncio.sleep(SAMPLE_SECONDS)
            if received.pictures > seen[-1][0]:
                moved = time.monotonic()
            elif time.monotonic() - moved > _PATIENCE_SECONDS:
                raise NoOutput(f"nothing more came after {received.pictures} pictures")
            try:
                seen.append((received.pictures, meter.memory()))
            except OSError:
                raise NoOutput(f"the process ended after {received.pictures} pictures") from None
    return seen


def document(seen: Sequence[tuple[int, int]], workload: str, size: tuple[int, int]) -> dict[str, Any]:
    """What a soak came to, for JSON: the memory in each twentieth of it, and how much it has grown since start-up.

    `seen`: frames and bytes. All are medians: the frames under way make memory jump by dozens of MiB all the time.
    """
    frames = seen[-1][0]
    parts: list[list[float]] = [[] for _ in range(PARTS)]
    for count, memory in seen:
        parts[min(PARTS - 1, count * PARTS // frames)].append(memory / MIB)
    medians = [(frames * (part + 1) // PARTS, median(sizes)) for part, sizes in enumerate(parts) if sizes]
    settled = [size for _, size in medians[_STARTING:] or medians]
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "workload": workload,
        "size": list(size),
        "frames": frames,
        "growth_mib": round(median(settled[-_COMPARED:]) - median(settled[:_COMPARED]), 3),
        "memory_mib": [[count, round(size, 1)] for count, size in medians],
    }


def table(result: Mapping[str, Any]) -> str:
    """A Markdown table of a soak, and its growth."""
    rows = [["up to frame", "memory, MiB"], *([str(count), f"{memory:.1f}"] for count, memory in result["memory_mib"])]
    return f"{markdown(rows)}\n\ngrowth after start-up: {result['growth_mib']:.1f} MiB"
