"""The chart of a benchmark: processor time, latency, speed and memory, a panel each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from byoc_nb.bench.plan import Case, Run, Size
from byoc_nb.bench.report import Line, text

_COLOURS = {"ours": "#1f77b4", "pytrickle": "#e6862c", "ffmpeg": "#9a9a9a", "ffmpeg rgb24": "#5f5f5f"}


def draw(path: Path, runs: Sequence[Run], lines: Sequence[Line], peers: Sequence[str], size: Size) -> None:
    """Write a PNG with what was measured at one size."""
    from matplotlib.figure import Figure  # not pyplot, which would look for a window

    figure = Figure(figsize=(12, 8), layout="constrained")
    panels = figure.subplots(2, 2)
    at_size = [line for line in lines if line.case.size == size]
    _bars(panels[0][0], at_size, peers, "CPU, ms a frame", paced=True)
    panels[0][0].set_title("Processor time, in real time")
    _latencies(panels[0][1], runs, peers, Case("pass", size, True))
    _bars(panels[1][0], at_size, peers, "frames a second", paced=False)
    panels[1][0].set_title("Speed, as fast as it goes")
    _memory(panels[1][1], runs, peers, Case("overload", size, True))
    if not panels[1][1].has_data():
        panels[1][1].clear()
        _bars(panels[1][1], at_size, peers, "peak memory, MiB", paced=True)
        panels[1][1].set_title("Peak memory, in real time")
    figure.suptitle(f"The same {size[0]}x{size[1]} clip with sound at 30 frames a second")
    marks = {
        name: mark
        for panel in [*panels.flat][::-1]
        for mark, name in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    figure.legend(marks.values(), marks.keys(), loc="outside lower center", ncols=len(peers), frameon=False)
    figure.savefig(path, dpi=110)


def _bars(panel: Any, lines: Sequence[Line], peers: Sequence[str], quantity: str, *, paced: bool) -> None:
    wanted = [
        line
        for line in lines
        if line.quantity.name == quantity and line.case.paced == paced and line.case.workload != "overload"
    ]
    shown = [peer for peer in peers if any(peer in line.values for line in wanted)]
    width = 0.8 / max(1, len(shown))
    for place, peer in enumerate(shown):
        values = [line.values.get(peer) or math.nan for line in wanted]
        at = [index + (place - (len(shown) - 1) / 2) * width for index in range(len(wanted))]
        bars = panel.bar(at, values, width * 0.92, label=peer, color=_COLOURS[peer])
        panel.bar_label(bars, labels=[text(value) for value in values], fontsize=8)
    panel.set_xticks(range(len(wanted)), [_label(line.case.workload, peers) for line in wanted])
    panel.set_ylabel(quantity)
    _tidy(panel)


def _label(workload: str, peers: Sequence[str]) -> str:
    return "uint8\n(pytrickle: float32)" if workload == "uint8" and "pytrickle" in peers else workload


def _latencies(panel: Any, runs: Sequence[Run], peers: Sequence[str], case: Case) -> None:
    """Of all rounds: which share of the frames came within a time."""
    for peer in peers:
        there = [run.figures.latencies_ms for run in runs if (run.peer, run.case) == (peer, case) and run.figures]
        values = sorted(value for part in there for value in part)
        if values:
            share = [100 * (index + 1) / len(values) for index in range(len(values))]
            panel.step(values, share, where="post", label=peer, color=_COLOURS[peer])
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter("{x:.0f}")
    panel.set_xlabel("latency from bytes in to bytes out, ms")
    panel.set_ylabel("% of frames")
    panel.set_title("Latency of pass-through, in real time")
    _tidy(panel)


def _memory(panel: Any, runs: Sequence[Run], peers: Sequence[str], case: Case) -> None:
    for peer in peers:
        for run in runs:
            if (run.peer, run.case) == (peer, case) and run.figures:
                seconds = [index / 10 for index in range(len(run.figures.memory))]
                panel.plot(seconds, run.figures.memory, label=peer, color=_COLOURS[peer])
                break
    panel.set_xlabel("seconds of overload: 50 ms a frame at 30 frames a second")
    panel.set_ylabel("memory, MiB")
    panel.set_ylim(bottom=0)
    panel.set_title("Memory under overload")
    _tidy(panel)


def _tidy(panel: Any) -> None:
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(alpha=0.25)
    panel.set_axisbelow(True)
