"""The benchmark as a whole: a quick run against what is there, and each kind of peer once."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

import pytest

from byoc_nb.bench import drive, soak
from byoc_nb.bench.clips import Clip
from byoc_nb.bench.figures import figures
from byoc_nb.bench.peers import Ffmpeg, Ours, Pytrickle
from byoc_nb.cli import main

PYTRICKLE = os.environ.get("BYOC_PYTRICKLE_PYTHON", "")


async def test_a_quick_run_measures_who_is_there_and_names_who_is_not(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "byoc_nb", "bench", "--quick", "--only", "pass", "--output", str(tmp_path)]
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "PATH": str(tmp_path)},  # where there is no ffmpeg
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, log = await process.communicate()
    assert process.returncode == 0, log.decode()
    found = json.loads((tmp_path / "bench.json").read_text())
    there = {"ours"} | ({"pytrickle"} if PYTRICKLE else set())
    assert set(found["versions"]) == there
    named = {text.partition(":")[0] for text in found["not_measured"]}
    assert named == {"ours", "pytrickle", "ffmpeg", "ffmpeg rgb24"} - there
    assert {(run["peer"], run["paced"]) for run in found["runs"]} == {
        (peer, p) for peer in there for p in (True, False)
    }
    for run in found["runs"]:
        assert "error" not in run
        assert (run["unreadable"], run["negative"]) == (0, False)
        assert run["frames_out"] == run["frames_in"] - run["lost"] > 0
        assert run["cpu_ms"] > 0
        assert run["peak_memory"] >= max(run["memory"]) * 0.9
        assert run["paced"] == bool(run["latencies_ms"])
    paced = next(run for run in found["runs"] if run["peer"] == "ours" and run["paced"])
    assert (paced["frames_in"], paced["lost"], len(paced["latencies_ms"])) == (30, 0, 30), "every number matched"
    assert 0 < paced["p50_ms"] <= paced["p90_ms"] <= paced["p99_ms"]
    for line in found["figures"]:
        assert line["values"]["ours"] is not None
        assert ("pytrickle" in line["ours_divided_by"]) == bool(PYTRICKLE)
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    text = out.decode()
    assert "| pass: latency p50, ms" in text
    assert "- ffmpeg: the ffmpeg program is not installed" in text


async def test_our_container_loses_nothing_as_fast_as_it_goes_and_shows_the_negative(clip: Clip) -> None:
    async with Ours().run("uint8", clip.size, lossless=True) as (link, meter):
        notes = await drive.flat_out(link, clip, meter, first=1, warm_up=0.2, seconds=0.5)
    found = figures(notes, clip, paced=False)
    assert (found.negative, found.lost, found.unreadable) == (True, 0, 0)


async def test_a_soak_counts_what_comes_and_keeps_none_of_it(clip: Clip) -> None:
    async with Ours().run("pass", clip.size, lossless=True) as (link, meter):
        seen = await soak.soak(link, clip, meter, pictures=100)
        assert seen[-1][0] >= 100
        assert all(memory > 0 for _, memory in seen)
        assert not link.received.chunks


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="the ffmpeg program is not installed")
async def test_the_ffmpeg_program_is_a_floor(clip: Clip) -> None:
    peer = Ffmpeg(rgb24=True)
    assert (await peer.missing(), peer.floor) == ("", True)
    assert await peer.version()
    async with peer.run("pass", clip.size, lossless=True) as (link, meter):
        notes = await drive.flat_out(link, clip, meter, warm_up=0.2, seconds=0.5)
    found = figures(notes, clip, paced=False)
    assert (found.lost, found.unreadable, found.negative) == (0, 0, False)


async def test_an_interpreter_without_pytrickle_is_told() -> None:
    assert "BYOC_PYTRICKLE_PYTHON" in await Pytrickle("").missing()
    assert "has no pytrickle" in await Pytrickle(shutil.which("false") or "/nowhere").missing()


def test_a_clip_that_is_not_there_is_told_with_what_to_type(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["bench", "--clip", str(tmp_path / "no.mp4"), "--output", str(tmp_path)]) == 1
    assert "byoc-nb bench --clip FILE" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--size", "1280"], ["--rounds", "0"], ["--only", "nothing"], ["--size", "63x64"]])
def test_wrong_options_are_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", *wrong])
