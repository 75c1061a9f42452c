"""What the runs come to: a table with ratios, JSON, and what could not be measured."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from byoc_nb.bench.figures import Figures, middle, ratio
from byoc_nb.bench.plan import Case, Run

OURS = "ours"
QUIET_CORES = 0.2  # that other programs may take before a run counts as disturbed
# What is shown beside a workload that a peer doesn't have: the ffmpeg program has the bare way of a picture alone
_NEAREST = {
    ("pytrickle", "uint8"): ("float32",),
    **{(floor, workload): ("pass",) for floor in ("ffmpeg", "ffmpeg rgb24") for workload in ("float32", "uint8")},
}


class Quantity(NamedTuple):
    """A figure of a run: what it is called with its unit, how to get it, and whether less of it is better."""

    name: str
    of: Callable[[Figures], float | None]
    less_is_better: bool = True


_CPU = Quantity("CPU, ms a frame", lambda f: f.cpu_ms)
_LATENCY = [
    Quantity("latency p50, ms", lambda f: f.p50_ms),
    Quantity("latency p90, ms", lambda f: f.p90_ms),
    Quantity("latency p99, ms", lambda f: f.p99_ms),
]
_FIRST = Quantity("first byte out after first in, ms", lambda f: f.first_byte_ms)
_PEAK = Quantity("peak memory, MiB", lambda f: f.peak_memory)
_LOST = Quantity("frames lost, %", lambda f: 100 * f.lost / f.frames_in)
_GROWTH = Quantity("memory growth, MiB", lambda f: f.memory_growth)
_FPS = Quantity("frames a second", lambda f: f.fps, less_is_better=False)


def quantities(case: Case) -> list[Quantity]:
    """What a case is measured for."""
    if case.workload == "overload":
        return [_FPS, _LOST, *_LATENCY, _PEAK, _GROWTH]
    if case.paced:
        return [_CPU, *_LATENCY, _FIRST, _LOST, _PEAK]
    return [_FPS, _CPU, _LOST, _PEAK]


@dataclass(frozen=True)
class Line:
    """One figure of one case: the median of the rounds, by peer."""

    case: Case
    quantity: Quantity
    values: Mapping[str, float | None]
    stand_ins: Mapping[str, str]  # the workload that a peer's figure is of, where it isn't the case's
    disturbed: Collection[str] = ()  # peers of which every round was disturbed by other programs

    def ratio(self, peer: str) -> float | None:
        """Our figure divided by theirs."""
        return ratio(self.values.get(OURS), self.values.get(peer))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "figure": self.quantity.name,
            "less_is_better": self.quantity.less_is_better,
            "workload": self.case.workload,
            "size": list(self.case.size),
            "paced": self.case.paced,
            "values": {peer: _short(value) for peer, value in self.values.items()},
            "stand_ins": dict(self.stand_ins),
            "disturbed": list(self.disturbed),
            "ours_divided_by": {peer: _short(self.ratio(peer)) for peer in self.values if peer != OURS},
        }


def summary(runs: Sequence[Run], peers: Sequence[str]) -> list[Line]:
    """The medians of all rounds, a line for each figure of each case, in the order in which the cases came."""
    lines = []
    for case in dict.fromkeys(run.case for run in runs):
        found = {peer: found for peer in peers if (found := _figures(runs, peer, case))[1]}
        stand_ins = {peer: workload for peer, (workload, _) in found.items() if workload != case.workload}
        noisy = [peer for peer, (_, there) in found.items() if all(map(_disturbed, there))]
        for quantity in quantities(case) if OURS in found else ():
            values = {peer: middle(map(quantity.of, there)) for peer, (_, there) in found.items()}
            lines.append(Line(case, quantity, values, stand_ins, noisy))
    return lines


def disturbed(runs: Sequence[Run]) -> str:
    """A line about what other programs took from the runs; empty where they were left alone."""
    there = [run.figures for run in runs if run.figures]
    count = sum(map(_disturbed, there))
    if not count:
        return ""
    return (
        f"Other programs disturbed {count} of {len(there)} runs. Rounds that they left alone are preferred; "
        "~ stands where there was none."
    )


def _disturbed(figures: Figures) -> bool:
    return figures.elsewhere >= QUIET_CORES


def _figures(runs: Sequence[Run], peer: str, case: Case) -> tuple[str, list[Figures]]:
    """What stands beside a case, and the workload that it is of: that of the case, or what comes nearest.

    Only the rounds in which other programs left the machine alone count, or all if there was none.
    """
    for workload in (case.workload, *_NEAREST.get((peer, case.workload), ())):
        wanted = case._replace(workload=workload)
        there = [run.figures for run in runs if run.peer == peer and run.case == wanted and run.figures]
        if there:
            return workload, [figures for figures in there if not _disturbed(figures)] or there
    return case.workload, []


def tables(lines: Sequence[Line], peers: Sequence[str]) -> str:
    """Markdown tables, one for each size and pace; behind a value of others, ours divided by it."""
    parts = []
    for size, paced in dict.fromkeys((line.case.size, line.case.paced) for line in lines):
        there = [line for line in lines if (line.case.size, line.case.paced) == (size, paced)]
        shown = [peer for peer in peers if any(peer in line.values for line in there)]
        title = f"{size[0]}x{size[1]}, {'in real time' if paced else 'as fast as it goes'}"
        rows = [[title, *shown]]
        for line in there:
            cells = [f"{line.case.workload}: {line.quantity.name}"]
            for peer in shown:
                shows = ("~" if peer in line.disturbed else "") + text(line.values.get(peer))
                times = line.ratio(peer) if peer != OURS and line.quantity is not _LOST else None
                cells.append(shows if times is None or line.quantity is _GROWTH else f"{shows} (×{times:.2f})")
            rows.append(cells)
        parts.append(markdown(rows))
    return "\n\n".join(parts)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row is its head and whose first column is text."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(cells: Iterable[str]) -> str:
        first, *others = (cell for cell in cells)
        padded = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = "|".join(["", "-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:]), ""])
    return "\n".join([line(rows[0]), rule, *map(line, rows[1:])])


def document(
    runs: Sequence[Run], lines: Sequence[Line], *, versions: Mapping[str, str], missing: Sequence[str], options: Any
) -> dict[str, Any]:
    """Everything, for JSON."""
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": dict(versions),
        "options": options,
        "not_measured": list(missing),
        "figures": [line.as_dict() for line in lines],
        "runs": [
            {
                "peer": run.peer,
                "workload": run.case.workload,
                "size": list(run.case.size),
                "paced": run.case.paced,
                "round": run.round,
                **({"error": run.error} if run.figures is None else run.figures.as_dict()),
            }
            for run in runs
        ],
    }


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a document, each entry of its lists on a line of its own."""
    parts = []
    for name, value in content.items():
        if isinstance(value, list) and value:
            entries = ",\n".join(f"    {json.dumps(entry, ensure_ascii=False)}" for entry in value)
            parts.append(f"  {json.dumps(name)}: [\n{entries}\n  ]")
        else:
            parts.append(f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}")
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """What the figures depend on, with nothing that names the machine."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "processor": model or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def text(value: float | None) -> str:
    """A value as people read it."""
    if value is None or math.isnan(value):
        return "–"
    return f"{value:.1f}" if abs(value) < 100 else f"{value:.0f}"


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
