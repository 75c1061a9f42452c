"""A stream's last minutes as a chart: frame rates, latency and process time against the frame's budget, drops.

matplotlib is used by its objects alone, without pyplot: nothing is left behind in a notebook that plots on its own.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from byoc_nb.dashboard.samples import Sample
from byoc_nb.errors import ByocError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAPER = "#fafafa"  # a light one in dark themes too, so that the axes can be read in both
_IN, _OUT, _PROCESS, _BAD = "#7a7a7a", "#1f77b4", "#2a9d5c", "#c0392b"


class PlotError(ByocError, ValueError):
    """There is nothing to plot."""


def plot(samples: Iterable[Sample]) -> Figure:
    """The chart of a stream's samples, oldest first. Raises PlotError for fewer than two of them.

    A value that wasn't known then is a gap; dotted lines are reloads.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    samples = list(samples)
    if len(samples) < 2:
        raise PlotError("there is nothing to plot yet", hint="%byoc serve, and wait a second or two")
    figure = Figure(figsize=(9, 6), layout="constrained", facecolor=PAPER)
    FigureCanvasAgg(figure)
    panels = rates, times, drops = figure.subplots(3, 1, sharex=True, height_ratios=(3, 4, 2))
    at = [sample.at - samples[-1].at for sample in samples]
    _rates(rates, at, samples)
    _times(times, at, samples)
    _drops(drops, at, samples)
    reloaded = [now for now, (old, new) in zip(at[1:], pairwise(samples), strict=True) if new.reloads > old.reloads]
    for panel in panels:
        panel.set_facecolor(PAPER)
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
        panel.set_ylim(bottom=0)
        for number, moment in enumerate(reloaded):
            panel.axvline(moment, color="#555555", linestyle=":", linewidth=1, label=None if number else "reload")
    for panel in (rates, times):
        panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    drops.yaxis.set_major_locator(MaxNLocator(nbins=3, integer=True))
    drops.set_xlabel("time from now, s")
    drops.set_xlim(at[0], max(at[-1], at[0] + 1))
    return figure


def png(samples: Iterable[Sample]) -> bytes:
    """`plot` as PNG bytes."""
    buffer = io.BytesIO()
    plot(samples).savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def _rates(panel: Axes, at: list[float], samples: Sequence[Sample]) -> None:
    panel.plot(at, _gaps(sample.fps_in for sample in samples), color=_IN, label="in")
    panel.plot(at, _gaps(sample.fps_out for sample in samples), color=_OUT, label="out")
    panel.set_ylabel("frames a second")


def _times(panel: Axes, at: list[float], samples: Sequence[Sample]) -> None:
    middle = _gaps(sample.latency_ms_p50 for sample in samples)
    far = _gaps(sample.latency_ms_p99 for sample in samples)
    panel.fill_between(at, middle, far, color=_OUT, alpha=0.15, linewidth=0)
    panel.plot(at, far, color=_OUT, linewidth=0.8, label="latency p99")
    panel.plot(at, middle, color=_OUT, label="latency p50")
    panel.plot(at, _gaps(sample.process_ms_p50 for sample in samples), color=_PROCESS, label="process p50")
    budget = _gaps(1000 / sample.fps_in if sample.fps_in else None for sample in samples)
    panel.plot(at, budget, color=_BAD, linestyle="--", linewidth=1, label="budget of a frame")
    panel.set_ylabel("time, ms")


def _drops(panel: Axes, at: list[float], samples: Sequence[Sample]) -> None:
    # Since the sample before each; a count that went back is another stream's
    counts = [(old.frames_dropped, new.frames_dropped) for old, new in pairwise(samples)]
    lost = [0, *(new - old if new >= old else new for old, new in counts)]
    panel.bar(at, lost, width=0.8 * (at[-1] - at[0]) / len(at) or 0.8, color=_BAD)
    panel.set_ylim(top=max(1, *lost) * 1.1)
    panel.set_ylabel("frames dropped")


def _gaps(values: Iterable[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in values]
