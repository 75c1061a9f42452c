"""The proof of an export: its program gives the notebook's pictures for the same clip, in a clean process.

The notebook's side is a new instance of its processor, with the parameters as they are set, so a running stream is
left alone. Pictures are compared by digest, where those differ by pixel.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from byoc_nb.errors import ByocError
from byoc_nb.export import upstream
from byoc_nb.export.replay import Outcome, replay, write_frames
from byoc_nb.runtime.stats import describe

PYTRICKLE_PROVER = Path(__file__).with_name("pytrickle_prover.py")
BUNDLED = Path(__file__).with_name("clip.ts")  # two seconds of Big Buck Bunny, © Blender Foundation, CC BY 3.0
CLEAN_SECONDS = 300.0  # for the clean process to load a model and do its frames
_OWN = ("PYTHONPATH", "PYTHONSTARTUP", "PYTHONHASHSEED", "MPLBACKEND")  # the kernel's, nothing that a container has


class ProofError(ByocError, AssertionError):
    """The exported program doesn't do what the notebook's processor does, or that couldn't be found out."""


@dataclass(frozen=True)
class Proof:
    """What is to be proven: with which clip (MPEG-TS), called what, and how far pixels may be off (of 255)."""

    clip: bytes
    source: str
    tolerance: int = 0


@dataclass(frozen=True)
class Subject:
    """The notebook's processor: what it is called in both programs, the object, and the parameters that were set."""

    name: str
    target: Any
    params: Mapping[str, Any]


@dataclass(frozen=True)
class Difference:
    """Where two pictures differ first, and how much."""

    text: str
    size: int = 255  # of 255, over all frames


def bundled(tolerance: int = 0) -> Proof:
    """A proof with the clip that comes with byoc_nb."""
    return Proof(BUNDLED.read_bytes(), "bundled clip", tolerance)


def prove(folder: Path, subject: Subject, proof: Proof, *, keep: Path, runtime: str = "byoc_nb") -> dict[str, Any]:
    """Compare the exported `folder` with the notebook's processor; what byoc.json says of it.

    Raises ProofError; where pictures differ, those of both sides are then in `keep`. On pytrickle a picture may be off
    by one, which it cuts off where the notebook rounds; where no Python here has pytrickle, nothing is proven.
    """
    said: dict[str, Any] = {}
    if runtime == "pytrickle":
        if not upstream.python():
            return {"skipped": f"no Python here has pytrickle {upstream.VERSION}: {upstream.VARIABLE} names one"}
        proof, said = replace(proof, tolerance=max(proof.tolerance, 1)), {"runtime": f"pytrickle {upstream.VERSION}"}
    with tempfile.TemporaryDirectory(prefix="byoc-proof-") as temporary:
        here = Path(temporary)
        ours, theirs = here / "notebook.rgb", here / "export.rgb"
        expected = _in_the_notebook(subject, proof, ours)
        found = _in_a_clean_process(folder, subject, proof, theirs, count=len(expected), runtime=runtime)
        difference = compare(expected, ours, found, theirs)
        result = {"equal": difference is None, "frames": len(expected), "clip": proof.source, **said}
        if difference is None:
            return result
        if difference.size <= proof.tolerance:
            return result | {"difference": difference.size, "tolerance": proof.tolerance}
        _refuse_what_varies(subject, proof, expected, ours)
        kept = [_keep(keep / "notebook.mkv", expected, ours), _keep(keep / "export.mkv", found, theirs)]
        raise ProofError(
            f"the exported {subject.name} gives other pictures than the notebook's: {difference.text}; "
            f"both sides are kept in {', '.join(map(str, filter(None, kept)))}",
            hint=_tolerate(difference),
        )


def compare(expected: list[Outcome], ours: Path, found: list[Outcome], theirs: Path) -> Difference | None:
    """The first difference in words, with the greatest size of all; None where everything is bit-equal."""
    first, greatest = "", 0
    for number, (mine, other) in enumerate(zip(expected, found, strict=True)):
        if (mine.digest, mine.width, mine.height, mine.error) == (other.digest, other.width, other.height, other.error):
            continue
        if not mine.digest or not other.digest or (mine.width, mine.height) != (other.width, other.height):
            return Difference(first or f"frame {number}: {_said(mine)} in the notebook, {_said(other)} in the export")
        one, two = mine.picture(ours), other.picture(theirs)
        apart = np.abs(one.astype(np.int16) - two)
        greatest = max(greatest, int(apart.max()))
        if not first:
            y, x, channel = (int(at) for at in np.argwhere(apart)[0])
            first = (
                f"frame {number}, pixel x={x} y={y}: {'RGB'[channel]} is {one[y, x, channel]} in the notebook and "
                f"{two[y, x, channel]} in the export; {int(apart.any(axis=2).sum())} pixels of it differ, "
                f"by up to {int(apart.max())} of 255"
            )
    return Difference(first, greatest) if first else None


def _said(outcome: Outcome) -> str:
    if outcome.error:
        return outcome.error
    return f"a picture of {outcome.width}x{outcome.height}" if outcome.digest else "no picture"


def _tolerate(difference: Difference) -> str:
    accept = f"--tolerance {difference.size} accepts that, " if difference.size < 255 else ""
    return f"{accept}--no-prove exports without a proof"


# ---- the two sides


def _in_the_notebook(subject: Subject, proof: Proof, file: Path, count: int | None = None) -> list[Outcome]:
    name = subject.name
    try:
        outcomes = replay(subject.target, proof.clip, file, params=subject.params, count=count)
    except Exception as error:
        raise ProofError(
            f"{name} could not be built once more in the notebook to be compared: {describe(error)}",
            hint="mend it, or --no-prove",
        ) from error
    if not outcomes:
        raise ProofError(f"the {proof.source} has no picture to prove the export with", hint="--no-prove")
    if all(outcome.error for outcome in outcomes):
        raise ProofError(f"{name} raised in every frame of the {proof.source}: {outcomes[0].error}", hint="mend it")
    return outcomes


def _in_a_clean_process(
    folder: Path, subject: Subject, proof: Proof, pictures: Path, *, count: int, runtime: str
) -> list[Outcome]:
    if runtime == "pytrickle":
        given = pictures.with_name("clip.rgb")
        write_frames(proof.clip, given, count)
        command = [upstream.python(), "-c", PYTRICKLE_PROVER.read_text(), str(given), str(pictures)]
    else:
        clip = pictures.with_name("clip.ts")
        clip.write_bytes(proof.clip)
        command = [sys.executable, "-m", "byoc_nb.export.prover", subject.name, str(count), str(clip), str(pictures)]
    environment = {key: value for key, value in os.environ.items() if key not in _OWN}
    environment["PYTHONDONTWRITEBYTECODE"] = "1"  # nothing but the export's own files in its folder
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=CLEAN_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ProofError(
            f"the exported {subject.name} was not done with {count} frames after {CLEAN_SECONDS:.0f} s",
            hint="--no-prove",
        ) from None
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        raise ProofError(
            f"the exported {subject.name} fails in a process of its own: "
            f"{lines[-1] if lines else f'exit {done.returncode}'}",
            hint="what it needs must be in the notebook's cells; --no-prove exports it as it is",
        )
    return [Outcome(**one) for one in json.loads(done.stdout)]


def _refuse_what_varies(subject: Subject, proof: Proof, expected: list[Outcome], ours: Path) -> None:
    """Raise ProofError where the notebook's processor doesn't even repeat itself."""
    again = ours.with_name("again.rgb")
    difference = compare(expected, ours, _in_the_notebook(subject, proof, again, len(expected)), again)
    if difference is not None:
        raise ProofError(
            f"{subject.name} gives other pictures every time, so nothing can be compared ({difference.text})",
            hint="keep its state in self and seed what it draws from in __init__, as in "
            f"np.random.default_rng(0) or torch.manual_seed(0); {_tolerate(difference)}",
        )


def _keep(file: Path, outcomes: list[Outcome], pictures: Path) -> Path | None:
    """A side's pictures as a video without loss (FFV1), as far as they have one size; None without any."""
    shown = [one for one in outcomes if one.digest]
    if not shown:
        return None
    file.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(file), "w") as target:
        stream: Any = target.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = shown[0].width, shown[0].height, "bgr0"
        stream.time_base = Fraction(1, 25)
        for number, one in enumerate(outcomes):
            if (one.width, one.height) == (stream.width, stream.height):
                frame = av.VideoFrame.from_ndarray(one.picture(pictures), format="rgb24").reformat(format="bgr0")
                frame.pts, frame.time_base = number, stream.time_base
                target.mux(stream.encode(frame))
        target.mux(stream.encode(None))
    return file
