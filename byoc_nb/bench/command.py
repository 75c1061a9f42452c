"""`byoc-nb bench`: its options, and the run from clips to report."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
from collections.abc import Callable, Coroutine, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import byoc_nb
from byoc_nb.bench import chart, report, soak
from byoc_nb.bench.clips import FPS, SEGMENT_SECONDS, Clip
from byoc_nb.bench.peers import Ffmpeg, Ours, Peer, Pytrickle
from byoc_nb.bench.plan import WORKLOADS, Run, Size, Times, measure
from byoc_nb.errors import ByocError

logger = logging.getLogger(__name__)

SIZES = ((1280, 720), (640, 480))
SOAK_PICTURES = 30_000
_CLIP = Path(byoc_nb.__file__).parents[1] / "notebooks" / "bigbuckbunny.mp4"
_NO_UINT8 = "pytrickle: uint8, which it has no view for"


def add_commands(add: Callable[[str, Any, str], argparse.ArgumentParser]) -> None:
    """Add it; `add` makes a subcommand of a name, what it runs, and its help."""
    command = add("bench", bench, "measure latency, processor time and memory beside pytrickle and ffmpeg")
    command.add_argument(
        "--pytrickle",
        metavar="PYTHON",
        default=os.environ.get("BYOC_PYTRICKLE_PYTHON", ""),
        help="an interpreter that has pytrickle (BYOC_PYTRICKLE_PYTHON)",
    )
    command.add_argument("--clip", metavar="FILE", help="the video to measure with (the one of the notebooks)")
    command.add_argument("--output", metavar="DIR", default="benchmarks/results", help="where JSON and chart go")
    command.add_argument("--rounds", type=_count, default=3, help="how often the main cases are measured (3)")
    command.add_argument("--seconds", type=_count, default=4, help="of video in each real-time run (4)")
    command.add_argument("--only", action="append", choices=WORKLOADS, help="this workload; may come again")
    command.add_argument("--size", action="append", type=_size, metavar="WxH", help="this size; may come again")
    command.add_argument("--quick", action="store_true", help="one short round at 640x480: does it work at all?")
    command.add_argument(
        "--soak",
        nargs="?",
        type=_count,
        const=SOAK_PICTURES,
        metavar="FRAMES",
        help=f"only this: does memory stay flat over many frames ({SOAK_PICTURES})?",
    )


def bench(options: argparse.Namespace) -> Coroutine[Any, Any, int]:
    """Measure, print the table, write JSON and chart; 1 if this package itself could not be measured."""
    folder = Path(options.output)
    folder.mkdir(parents=True, exist_ok=True)
    sizes = tuple(dict.fromkeys(options.size or (SIZES[1:] if options.quick else SIZES)))
    source = Path(options.clip) if options.clip else _CLIP
    if not source.is_file():
        raise ByocError("there is no video to measure with", hint="give one with sound: byoc-nb bench --clip FILE")
    logging.getLogger("byoc_nb.trickle").setLevel(logging.WARNING)  # containers that are killed leave their channels
    return (_soak if options.soak else _compare)(options, source, sizes, folder)


async def _compare(options: argparse.Namespace, source: Path, sizes: Sequence[Size], folder: Path) -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started shall not outlive this
    quick = options.quick
    workloads = [name for name in WORKLOADS if name in (options.only or WORKLOADS)]
    peers, versions, missing = await _peers(options.pytrickle)
    if any(peer.name == "pytrickle" for peer in peers) and "uint8" in workloads:
        missing.append(_NO_UINT8 + ("; its float32 stands in that place" if "float32" in workloads else ""))
    logger.info("making the clips")
    clips = {size: await asyncio.to_thread(Clip, source, size, 4 if quick else 20) for size in sizes}
    seconds = 1 if quick else options.seconds
    times = Times(paced=seconds, fast=seconds / 2, warm_up=SEGMENT_SECONDS)
    runs = [run async for run in measure(peers, clips, workloads, 1 if quick else options.rounds, times)]
    missing += _failures(runs)
    names = [peer.name for peer in peers]
    lines = report.summary(runs, names)
    settings = {"rounds": 1 if quick else options.rounds, "seconds": seconds, "workloads": workloads, "fps": FPS}
    content = report.document(runs, lines, versions=versions, missing=missing, options=settings)
    report.write_json(folder / "bench.json", content)
    written = [folder / "bench.json"]
    if find_spec("matplotlib") is None:
        missing.append("the chart: matplotlib is not installed (pip install 'byoc_nb[lab]')")
    elif lines:
        chart.draw(folder / "bench.png", runs, lines, names, sizes[0])
        written.append(folder / "bench.png")
    told = ["Not measured:", *(f"- {text}" for text in missing or ["nothing"])]
    if disturbed := report.disturbed(runs):
        told = [disturbed, "", *told]
    _print(report.tables(lines, names), "", *told, "", f"written: {', '.join(map(str, written))}")
    return 0 if lines else 1


async def _soak(options: argparse.Namespace, source: Path, sizes: Sequence[Size], folder: Path) -> int:
    size = sizes[0]
    workload = (options.only or ["float32"])[0]
    logger.info("soak: %d frames of %s at %dx%d, as fast as they go", options.soak, workload, *size)
    clip = await asyncio.to_thread(Clip, source, size)
    async with Ours().run(workload, size, lossless=True) as (link, meter):
        seen = await soak.soak(link, clip, meter, pictures=options.soak)
    result = soak.document(seen, workload, size)
    report.write_json(folder / "soak.json", result)
    _print(soak.table(result), "", f"written: {folder / 'soak.json'}")
    return 0


async def _peers(pytrickle: str) -> tuple[list[Peer], dict[str, str], list[str]]:
    """Who can be measured, the versions of all, and who is missing."""
    there: list[Peer] = []
    versions, missing = {}, []
    for peer in (Ours(), Pytrickle(pytrickle), Ffmpeg(rgb24=False), Ffmpeg(rgb24=True)):
        if why := await peer.missing():
            missing.append(f"{peer.name}: {why}")
        else:
            there.append(peer)
            versions[peer.name] = await peer.version()
    return there, versions, missing


def _failures(runs: Sequence[Run]) -> list[str]:
    return [f"{run.peer}: {run.case}, round {run.round + 1}: {run.error}" for run in runs if run.error]


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} isn't a whole number above 0")
    return int(text)


def _size(text: str) -> Size:
    width, x, height = text.partition("x")
    if not (x and width.isdecimal() and height.isdecimal()) or int(width) % 2 or int(height) % 2 or int(width) < 320:
        raise argparse.ArgumentTypeError(f"{text} isn't a size such as 1280x720")
    return int(width), int(height)


def _print(*lines: str) -> None:
    print(*lines, sep="\n", flush=True)  # noqa: T201
