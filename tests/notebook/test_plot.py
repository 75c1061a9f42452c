"""The chart of a stream's last minutes."""

from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from byoc_nb.dashboard.samples import Sample
from byoc_nb.notebook.plot import PlotError, plot, png


def sample(at: float, **figures) -> Sample:
    usual = {
        "fps_in": 30.0,
        "fps_out": 30.0,
        "latency_ms_p50": 20.0,
        "latency_ms_p99": 40.0,
        "process_ms_p50": 10.0,
        "process_ms_p99": 15.0,
        "frames_dropped": 0,
        "reloads": 0,
        "process_bytes": None,
        "gpu_bytes": None,
    }
    return Sample(at=at, **(usual | figures))


def lines(panel) -> dict[str, list[float]]:
    """The values of a panel's lines by their labels."""
    return {line.get_label(): list(line.get_ydata()) for line in panel.get_lines()}


def test_figures_are_drawn_over_the_time_before_the_newest():
    figure = plot([sample(1000.0, fps_out=20.0), sample(1000.5, fps_out=25.0), sample(1001.0, fps_in=25.0)])
    rates, times, _ = figure.axes
    assert list(rates.get_lines()[0].get_xdata()) == [-1.0, -0.5, 0.0]
    assert lines(rates) == {"in": [30, 30, 25], "out": [20, 25, 30]}
    assert lines(times)["latency p99"] == [40, 40, 40]
    assert lines(times)["process p50"] == [10, 10, 10]
    assert [round(value) for value in lines(times)["budget of a frame"]] == [33, 33, 40]
    assert [panel.get_ylabel() for panel in figure.axes] == ["frames a second", "time, ms", "frames dropped"]
    assert figure.axes[-1].get_xlabel() == "time from now, s"


def test_drops_are_those_since_the_sample_before_also_after_another_stream_began():
    counts = [5, 5, 12, 0, 3]
    figure = plot(sample(float(at), frames_dropped=count) for at, count in enumerate(counts))
    assert [bar.get_height() for bar in figure.axes[2].patches] == [0, 0, 7, 0, 3]


def test_what_was_not_known_is_a_gap():
    nothing = dict.fromkeys(("fps_in", "fps_out", "latency_ms_p50", "latency_ms_p99", "process_ms_p50"))
    figure = plot([sample(0.0), sample(1.0, **nothing), sample(2.0, fps_in=0.0)])
    assert np.isnan(lines(figure.axes[0])["in"]).tolist() == [False, True, False]
    assert np.isnan(lines(figure.axes[1])["budget of a frame"]).tolist() == [False, True, True]
    assert png([sample(0.0, **nothing), sample(1.0, **nothing)])


def test_a_reload_is_marked():
    figure = plot([sample(0.0), sample(1.0), sample(2.0, reloads=1)])
    assert lines(figure.axes[0])["reload"] and figure.axes[0].get_lines()[-1].get_xdata()[0] == 0.0
    assert "reload" not in lines(plot([sample(0.0), sample(1.0)]).axes[0])


def test_the_png_has_a_light_paper_for_dark_themes_too():
    picture = np.asarray(Image.open(io.BytesIO(png([sample(0.0), sample(1.0)]))).convert("RGB"))
    assert picture.shape[1] > 900
    assert picture[2, 2].tolist() == [250, 250, 250]
    assert picture.min() < 60  # and dark ink on it


def test_there_must_be_something_to_plot():
    with pytest.raises(PlotError, match="nothing to plot yet"):
        plot([sample(0.0)])


def test_the_user_s_own_pyplot_is_left_alone():
    code = """
import sys
from byoc_nb.dashboard.samples import Sample
from byoc_nb.notebook.plot import png
png(Sample(float(at), *[1.0] * 10) for at in range(2))
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
