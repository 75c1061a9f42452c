"""The report: medians of undisturbed rounds, ratios, who stands in for whom, and what was not measured."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from byoc_nb.bench import chart, plan, report, soak
from byoc_nb.bench.clips import Clip
from byoc_nb.bench.figures import Figures
from byoc_nb.bench.links import Link
from byoc_nb.bench.meter import Meter
from byoc_nb.bench.peers import NotReady, Peer
from byoc_nb.bench.plan import Case, Run

SIZE = (1280, 720)
PLAIN = Figures(
    frames_in=100, frames_out=98, lost=2, unreadable=0, negative=False, fps=30.0, cpu_ms=10.0, peak_memory=200.0,
    memory=[199.0, 200.0], memory_growth=1.0, first_byte_ms=40.0, p50_ms=11.0, p90_ms=12.0, p99_ms=30.0,
    latencies_ms=[11.0, 12.0, 30.0], kbit_s=2700.0, elsewhere=0.0,
)  # fmt: skip
PEERS = ("ours", "pytrickle", "ffmpeg", "ffmpeg rgb24")


def run(peer: str, workload: str, *, paced: bool = True, number: int = 0, **values: Any) -> Run:
    return Run(peer, Case(workload, SIZE, paced), number, replace(PLAIN, **values))


def line(lines: list[report.Line], workload: str, quantity: str) -> report.Line:
    return next(found for found in lines if (found.case.workload, found.quantity.name) == (workload, quantity))


def test_a_figure_is_the_median_of_its_rounds_and_its_ratio_is_ours_to_theirs() -> None:
    runs = [run("ours", "pass", number=n, cpu_ms=value) for n, value in enumerate((9.0, 10.0, 14.0))]
    runs += [run("pytrickle", "pass", cpu_ms=40.0)]
    found = line(report.summary(runs, PEERS), "pass", "CPU, ms a frame")
    assert (dict(found.values), found.ratio("pytrickle")) == ({"ours": 10.0, "pytrickle": 40.0}, 0.25)
    assert found.ratio("ffmpeg") is None


def test_disturbed_rounds_count_only_where_there_are_no_others() -> None:
    runs = [run("ours", "pass", cpu_ms=10.0), run("ours", "pass", number=1, cpu_ms=30.0, elsewhere=1.2)]
    runs += [run("pytrickle", "pass", cpu_ms=60.0, elsewhere=0.9)]
    found = line(report.summary(runs, PEERS), "pass", "CPU, ms a frame")
    assert dict(found.values) == {"ours": 10.0, "pytrickle": 60.0}
    assert "2 of 3 runs" in report.disturbed(runs)
    assert list(found.disturbed) == ["pytrickle"]
    assert "~60.0 (×0.17)" in report.tables([found], PEERS)
    assert report.disturbed(runs[:1]) == ""


def test_who_lacks_a_workload_is_stood_in_for_and_that_is_told() -> None:
    runs = [run("ours", "uint8", fps=200.0, paced=False), run("pytrickle", "float32", fps=50.0, paced=False)]
    runs += [run("ffmpeg rgb24", "pass", fps=100.0, paced=False)]
    found = line(report.summary(runs, PEERS), "uint8", "frames a second").as_dict()
    assert found["values"] == {"ours": 200.0, "pytrickle": 50.0, "ffmpeg rgb24": 100.0}
    assert found["stand_ins"] == {"pytrickle": "float32", "ffmpeg rgb24": "pass"}
    assert found["ours_divided_by"] == {"pytrickle": 4.0, "ffmpeg rgb24": 2.0}
    assert not found["less_is_better"]


def test_the_tables_show_values_and_ratios_by_size_and_pace() -> None:
    runs = [run(peer, "pass", paced=paced, fps=fps) for peer, fps in (("ours", 120.0), ("pytrickle", 50.0))
            for paced in (True, False)]  # fmt: skip
    runs += [run("ours", "overload"), Run("ffmpeg", Case("pass", SIZE, True), 0, error="nothing came out")]
    text = report.tables(report.summary(runs, PEERS), PEERS)
    real_time, fast = text.split("\n\n")
    assert real_time.startswith("| 1280x720, in real time")
    assert "| pass: latency p50, ms " in real_time
    assert "11.0 (×1.00)" in real_time
    assert "overload: memory growth, MiB" in real_time
    assert "50.0 (×2.40)" in fast
    assert "ffmpeg" not in text
    assert len({len(row) for row in fast.splitlines()}) == 1


def test_the_document_holds_every_run_and_survives_json(tmp_path: Path) -> None:
    runs = [run("ours", "pass"), Run("pytrickle", Case("pass", SIZE, True), 0, error="it didn't start")]
    lines = report.summary(runs, PEERS)
    made = report.document(runs, lines, versions={"ours": "1"}, missing=["ffmpeg: none"], options={"rounds": 1})
    report.write_json(tmp_path / "bench.json", made)
    read = json.loads((tmp_path / "bench.json").read_text())
    assert read == json.loads(json.dumps(made))
    assert (read["runs"][0]["p50_ms"], read["runs"][1]["error"]) == (11.0, "it didn't start")
    assert read["not_measured"] == ["ffmpeg: none"]
    assert read["machine"]["cores"] >= 1


def test_the_chart_is_drawn_with_whatever_there_is(tmp_path: Path) -> None:
    everything = [run(peer, "pass", paced=paced) for peer in PEERS for paced in (True, False)]
    everything += [run("ours", "overload"), run("pytrickle", "overload"), run("ours", "uint8", paced=False)]
    for name, runs in (("all", everything), ("one", everything[:1])):
        chart.draw(tmp_path / f"{name}.png", runs, report.summary(runs, PEERS), PEERS, SIZE)
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_the_first_round_has_all_cases_and_the_others_the_main_ones() -> None:
    sizes = [SIZE, (640, 480)]
    first, others = (plan.cases(plan.WORKLOADS, sizes, first=first) for first in (True, False))
    assert set(others) < set(first)
    assert {case.size for case in others} == {SIZE}
    assert Case("overload", SIZE, True) in first
    assert Case("overload", SIZE, False) not in first
    assert Case("uint8", SIZE, True) not in others
    assert len(first) == len(set(first)) == 13


class Missing(Peer):
    """One whose process doesn't start."""

    name, workloads = "missing", ("pass",)

    async def version(self) -> str:
        return "0"

    @contextlib.asynccontextmanager
    async def run(self, workload: str, size: tuple[int, int], *, lossless: bool) -> AsyncIterator[tuple[Link, Meter]]:
        await asyncio.sleep(0)
        raise NotReady("it didn't start", hint="no such module")
        yield


async def test_a_peer_that_fails_is_told_and_does_not_end_the_others(clip: Clip) -> None:
    times = plan.Times(paced=1, fast=1)
    runs = [run async for run in plan.measure([Missing()], {clip.size: clip}, ["pass"], 2, times)]
    assert [(run.round, run.case.paced) for run in runs] == [(0, True), (0, False), (1, True), (1, False)]
    assert {run.error for run in runs} == {"it didn't start: no such module"}
    assert report.summary(runs, ["missing"]) == []


def test_a_soak_tells_growth_after_start_up_whatever_memory_does_between() -> None:
    mib = 1 << 20
    jumping = [(count, (300 + 40 * (count % 700 == 0)) * mib) for count in range(0, 30_001, 100)]
    flat = soak.document([(0, 50 * mib), *jumping], "float32", SIZE)
    assert (flat["growth_mib"], flat["frames"], len(flat["memory_mib"])) == (0, 30_000, soak.PARTS)
    growing = soak.document([(count, (300 + count // 1000) * mib) for count in range(0, 30_001, 100)], "pass", SIZE)
    assert growing["growth_mib"] > 15
    assert "growth after start-up: 0.0 MiB" in soak.table(flat)
