"""Two processors side by side: the same clip with the same parameters, one after the other, frame against frame."""

from __future__ import annotations

import html
import math
import tempfile
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np

from byoc_nb.frames.colors import Color
from byoc_nb.replay import picture
from byoc_nb.replay.clips import Clip
from byoc_nb.replay.outcomes import Errors, Outcome, Picture, outcomes
from byoc_nb.replay.player import Player, ReplayError, no_room
from byoc_nb.replay.replaying import decibels
from byoc_nb.replay.similarity import Meter, Similarity, psnr
from byoc_nb.replay.takes import CLOCK, since

MAX_FRAMES = 300  # of the clip; ten seconds at 30 fps
MAX_BYTES = 2_000_000_000  # that the first side's pictures may take in the temporary folder


class Side(NamedTuple):
    """One of the two: what it is called, and its class or function."""

    name: str
    target: Any


@dataclass(frozen=True)
class Score:
    """How like one frame is on both sides: `psnr` in dB, `ssim` up to 1, `difference` of 255."""

    frame: int
    seconds: float  # from the clip's beginning
    psnr: float
    ssim: float
    difference: int


@dataclass(frozen=True, repr=False, eq=False)
class Comparison:
    """What came of two processors.

    `scores` has the frames of which both made a picture of one size; `frames` went in. `psnr` and `ssim` are over all
    scores, `worst` is the one with the lowest PSNR; these are None where nothing can be compared. `difference` is the
    greatest of any sample, of 255. `milliseconds` tells what a frame took on each side.
    """

    names: tuple[str, str]
    clip: Path
    frames: int
    scores: tuple[Score, ...]
    psnr: float | None
    ssim: float | None
    worst: Score | None
    difference: int
    milliseconds: tuple[float, float]
    notes: tuple[str, ...]
    _pair: tuple[Picture, Picture] | None

    @property
    def equal(self) -> bool:
        """Whether both made the very same pictures of every frame."""
        return self.difference == 0 and len(self.scores) == self.frames

    @cached_property
    def png(self) -> bytes | None:
        """The worst frame as a PNG: one side, the other, and their difference amplified; None without one."""
        if self._pair is None or self.worst is None:
            return None
        return picture.difference(self._pair, self.names, self.worst.frame, self.worst.seconds)

    def _rows(self) -> Iterator[tuple[str, str]]:
        yield "frames", f"{len(self.scores)} of {self.frames} compared, {self.clip.name}"
        if self.psnr is not None and self.ssim is not None and self.worst is not None:
            at = f"worst {{}} at frame {self.worst.frame} ({self.worst.seconds:.2f} s)"
            yield "PSNR", f"{decibels(self.psnr)}, {at.format(decibels(self.worst.psnr))}"
            yield "SSIM", f"{_ratio(self.ssim)}, there {_ratio(self.worst.ssim)}"
            yield "greatest difference", f"{self.difference} of 255"
        a, b = self.milliseconds
        yield "time a frame", f"{a:.1f} ms | {b:.1f} ms"
        yield from (("note", note) for note in self.notes)

    def __repr__(self) -> str:
        head = f"{self.names[0]} | {self.names[1]}" + (" · equal" if self.equal else "")
        return "\n".join([head, *(f"{name:<20} {value}" for name, value in self._rows())])

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in ("", " | ".join(self.names)))
        rows = "".join(
            f'<tr><th style="text-align:left">{html.escape(name)}</th>'
            f'<td style="text-align:left">{html.escape(value)}</td></tr>'
            for name, value in self._rows()
        )
        shown = ""
        if self.png is not None:
            shown = f'<img alt="the worst frame" src="data:image/png;base64,{b64encode(self.png).decode()}">'
        return f"<table><tr>{head}</tr>{rows}</table>{shown}"

    def _repr_png_(self) -> bytes | None:
        return self.png


def compare(
    a: Side,
    b: Side,
    path: Path,
    *,
    params: Mapping[str, Any] | None = None,
    limit: int = MAX_FRAMES,
) -> Comparison:
    """Put the first `limit` pictures of a take or a video file through new instances of both, one after the other.

    A take has its own parameters, else both get `params` as far as they have them. `a` is freed before `b` is loaded.
    Blocks. Raises TakeError or ReplayError; what a processor raises in a frame is noted, and the frame passes through.
    """
    clip = Clip(path)
    values = clip.timeline[0].values if clip.timeline else params or {}
    with tempfile.TemporaryFile() as file:
        kept: list[_Kept] = []

        def keep(outcome: Outcome) -> bool:
            try:
                kept.append(_keep(outcome, file))
            except OSError as error:
                raise no_room(error) from None
            return file.tell() < MAX_BYTES

        def measure(outcome: Outcome) -> bool:
            tally.add(outcome, kept[outcome.number].read(file), outcome.picture)
            return True

        tally, first, second = _Tally(), _Run(a, clip, values), _Run(b, clip, values)
        first.run(limit, keep)
        if not kept:
            raise ReplayError(f"{path} has no picture to compare with", hint="name a take's folder or a video file")
        second.run(len(kept), measure)
    found = [similarity for _, _, similarity in tally.found]
    total = psnr(sum(one.mse for one in found) / len(found)) if found else None
    return Comparison(
        (a.name, b.name),
        path,
        len(kept),
        tuple(_score(*one) for one in tally.found),
        total,
        sum(one.ssim for one in found) / len(found) if found else None,
        _score(*tally.worst) if tally.worst else None,
        max((one.difference for one in found), default=0),
        (first.milliseconds(len(kept)), second.milliseconds(len(kept))),
        (*first.notes(), *second.notes(), *tally.notes((a.name, b.name))),
        tally.pair,
    )


class _Run:
    """One side's way through the clip."""

    def __init__(self, side: Side, clip: Clip, values: Mapping[str, Any]) -> None:
        self._side, self._clip, self._values = side, clip, values
        self._errors = Errors()
        self._dropped: dict[str, str] = {}
        self._seconds = 0.0

    def run(self, limit: int, take: Callable[[Outcome], bool]) -> None:
        """Give every picture to `take`, until that says False."""
        with Player(self._side.target, self._values) as player:
            self._dropped |= player.dropped
            for outcome in outcomes(player, self._clip, self._values, limit=limit):
                self._errors.add(outcome.error)
                self._dropped |= player.dropped
                if outcome.is_picture and not take(outcome):
                    break
            self._seconds = player.busy_seconds

    def milliseconds(self, frames: int) -> float:
        return 1000 * self._seconds / frames

    def notes(self) -> Iterator[str]:
        for name, why in self._dropped.items():
            yield f"{self._side.name}: the parameter {name} could not be set: {why}"
        yield from (f"{self._side.name} {line}" for line in self._errors.lines())


class _Kept(NamedTuple):
    """A picture in the temporary file; none where the size is 0."""

    offset: int
    size: tuple[int, int]
    color: Color

    def read(self, file: IO[bytes]) -> Picture | None:
        width, height = self.size
        if not width:
            return None
        file.seek(self.offset)
        samples = np.frombuffer(file.read(width * height * 3 // 2), np.uint8)
        return Picture.from_samples(samples.reshape(height * 3 // 2, width), self.color)


def _keep(outcome: Outcome, file: IO[bytes]) -> _Kept:
    if outcome.picture is None:
        return _Kept(0, (0, 0), Color(0, False))
    offset = file.tell()
    file.write(outcome.picture.samples.tobytes())
    return _Kept(offset, outcome.picture.size, outcome.picture.color)


class _Tally:
    """Frame after frame of both sides, with the pictures of the worst one."""

    def __init__(self) -> None:
        self.found: list[tuple[int, float, Similarity]] = []
        self.worst: tuple[int, float, Similarity] | None = None
        self.pair: tuple[Picture, Picture] | None = None
        self._one_sided = [0, 0]  # frames of which only this side made a picture
        self._sizes: tuple[tuple[int, int], tuple[int, int]] | None = None  # of the first pair that differs in it
        self._meter: Meter | None = None
        self._begin: int | None = None

    def add(self, outcome: Outcome, a: Picture | None, b: Picture | None) -> None:
        self._begin = outcome.pts if self._begin is None else self._begin
        if a is None or b is None:
            if a is not None or b is not None:
                self._one_sided[a is None] += 1
            return
        if a.size != b.size:
            self._sizes = self._sizes or (a.size, b.size)
            return
        if self._meter is None or self._meter.size != a.size:
            self._meter = Meter(a.size)
        found = outcome.number, since(self._begin, outcome.pts) / CLOCK, self._meter.measure(a, b.like(a))
        self.found.append(found)
        if self.worst is None or found[2].mse > self.worst[2].mse:
            self.worst, self.pair = found, (a, b)

    def notes(self, names: tuple[str, str]) -> Iterator[str]:
        for name, count in zip(names, self._one_sided, strict=True):
            if count:
                yield f"only {name} made a picture of {count} frames"
        if self._sizes:
            (aw, ah), (bw, bh) = self._sizes
            yield f"the pictures differ in size, {aw}x{ah} | {bw}x{bh}, and can't be compared"


def _score(frame: int, seconds: float, found: Similarity) -> Score:
    return Score(frame, seconds, found.psnr, found.ssim, found.difference)


def _ratio(ssim: float) -> str:
    return f"{ssim:.4f}" if math.isfinite(ssim) else "–"
