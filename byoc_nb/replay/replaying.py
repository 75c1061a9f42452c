"""The replay of a take: the same frames with the same parameters, through a processor of today."""

from __future__ import annotations

import hashlib
import html
import math
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from byoc_nb.frames import VideoFrame
from byoc_nb.frames.colors import color_of
from byoc_nb.media.encode import Chunk, SegmentEncoder
from byoc_nb.media.h264 import encoders
from byoc_nb.network.record import check_target, remux
from byoc_nb.replay.clips import Clip
from byoc_nb.replay.outcomes import Errors, Outcome, Picture, outcomes
from byoc_nb.replay.player import Player, ReplayError, no_room
from byoc_nb.replay.similarity import Meter, Similarity, psnr
from byoc_nb.replay.takes import CLOCK, TakeError, Version, since


@dataclass(frozen=True)
class Shown:
    """One picture of the clip after processing: its time in ticks, and what was made of it (SHA-256; "" for none)."""

    pts: int
    digest: str


@dataclass(frozen=True)
class Recorded:
    """How like the recorded output the pictures are, which was encoded with loss: `psnr` in dB over all, `worst`."""

    pictures: int
    psnr: float
    worst: float
    worst_seconds: float  # from the take's beginning


@dataclass(frozen=True, repr=False, eq=False)
class Replay:
    """What a replay did.

    `frames` of the take went in, `pictures` came out, `sounds` beside them; `seconds` in the processor. `shown` has
    every frame, and `digest` is one hash over them all: equal ones mean that every picture is, sample by sample.
    """

    take: Path
    name: str
    frames: int
    pictures: int
    sounds: int
    seconds: float
    digest: str
    shown: tuple[Shown, ...]
    recorded: Recorded | None  # None where nothing can be compared
    notes: tuple[str, ...]  # what is not as it was when the take was made, and errors
    errors: int
    path: Path | None

    @property
    def fps(self) -> float:
        """Frames a second that the processor does."""
        return self.frames / self.seconds if self.seconds else math.inf

    def __str__(self) -> str:
        done = (
            f"{self.take} replayed through a new {self.name}: {self.frames} frames in {self.seconds:.1f} s "
            f"({self.fps:.0f} fps), {self.pictures} pictures, hash {self.digest[:12]}"
        )
        like = self.recorded
        if like is not None:
            done += (
                f"\nPSNR to the recorded output {decibels(like.psnr)}, worst {decibels(like.worst)} "
                f"at {like.worst_seconds:.2f} s, of {like.pictures} pictures"
            )
        return "\n".join([done, *self.notes, *([f"written to {self.path}"] if self.path else [])])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def replay(target: Any, folder: Path, *, path: Path | None = None, text: str | None = None) -> Replay:
    """Run a take again through a new instance of `target`, a class or function; a running stream isn't touched.

    `path`: write the pictures and the sound there, coded as a stream's output is. `text`: the processor's code, to tell
    whether it is another than that of the take. Blocks. Raises TakeError, RecordError or ReplayError; what the
    processor raises in a frame is noted, and the frame passes through.
    """
    if not folder.is_dir():
        raise TakeError(f"{folder} holds no take", hint="%byoc record TAKE/ makes one")
    clip = Clip(folder)
    assert clip.take is not None
    if path is not None:
        check_target(path)
    values, errors, likeness = clip.timeline[0].values, Errors(), _Likeness(clip)
    shown: list[Shown] = []
    sounds = 0
    with tempfile.TemporaryFile(suffix=".ts") as file:
        writer = _Writer(clip, file) if path is not None else None
        with Player(target, values) as player:
            dropped = dict(player.dropped)
            for outcome in outcomes(player, clip, values):
                errors.add(outcome.error)
                dropped |= player.dropped
                if outcome.is_picture:
                    shown.append(Shown(outcome.pts, outcome.picture.digest if outcome.picture else ""))
                    likeness.add(outcome)
                else:
                    sounds += len(outcome.made)
                if writer is not None:
                    writer.add(outcome)
            seconds = player.busy_seconds
        if not shown:
            raise ReplayError(f"{folder} has no picture to replay", hint="record it again")
        if writer is not None and path is not None:
            writer.finish()
            remux(file, path)
    return Replay(
        folder,
        target.__name__,
        len(shown),
        sum(bool(one.digest) for one in shown),
        sounds,
        seconds,
        hashlib.sha256("".join(f"{one.pts} {one.digest}\n" for one in shown).encode()).hexdigest(),
        tuple(shown),
        likeness.result(),
        (*_notes(clip, target.__name__, text, dropped), *errors.lines()),
        errors.count,
        path,
    )


def decibels(value: float) -> str:
    """A PSNR in words; None of two equal pictures is a number."""
    return f"{value:.1f} dB" if math.isfinite(value) else "∞ dB (equal)"


def _notes(clip: Clip, name: str, text: str | None, dropped: dict[str, str]) -> Iterator[str]:
    assert clip.take is not None
    versions = clip.take.versions
    if len(versions) > 1:
        yield f"recorded with {len(versions)} versions, replayed with one throughout"
    elif versions[0].name != name:
        yield f"recorded with {versions[0].name}"
    elif text is not None and versions[0].sha256 and versions[0].sha256 != Version.of(name, 0, text).sha256:
        yield "recorded with another version of its code"
    if dropped:
        yield "parameters that could not be set: " + ", ".join(f"{key} {why}" for key, why in dropped.items())


class _Likeness:
    """Holds the pictures against those that were recorded at the same times."""

    def __init__(self, clip: Clip) -> None:
        self._recorded = clip.recorded()
        self._next: VideoFrame | None = next(self._recorded, None)
        self._meter: Meter | None = None
        self._begin: int | None = None
        self._found: list[tuple[int, Similarity]] = []

    def add(self, outcome: Outcome) -> None:
        """A picture of the replay, each after the one before it."""
        self._begin = outcome.pts if self._begin is None else self._begin
        while self._next is not None and since(outcome.pts, self._next.timestamp) < 0:
            self._next = next(self._recorded, None)
        if self._next is None or outcome.picture is None or since(outcome.pts, self._next.timestamp):
            return
        frame = self._next.to_av()
        recorded = Picture.of(frame, color_of(frame))
        if self._meter is None or self._meter.size != recorded.size:
            self._meter = Meter(recorded.size)
        self._found.append((outcome.pts, self._meter.measure(outcome.picture.like(recorded), recorded)))

    def result(self) -> Recorded | None:
        """Over all pictures; None without any."""
        if not self._found or self._begin is None:
            return None
        at, worst = max(self._found, key=lambda one: one[1].mse)
        mean = sum(one.mse for _, one in self._found) / len(self._found)
        return Recorded(len(self._found), psnr(mean), worst.psnr, since(self._begin, at) / CLOCK)


class _Writer:
    """Codes what was made as a stream's output is, into an MPEG-TS file."""

    def __init__(self, clip: Clip, file: IO[bytes]) -> None:
        self._encoder = SegmentEncoder(with_audio="audio" in clip.kinds, codecs=encoders())
        self._file = file

    def add(self, outcome: Outcome) -> None:
        for one in outcome.made:
            if one.picture is not None and one.color is not None:
                chunks = self._encoder.video(one.picture, one.pts, one.color)
            elif one.sound is not None:
                chunks = self._encoder.audio(one.sound)
            else:
                continue
            self._write(chunks)

    def finish(self) -> None:
        """What the encoder still holds; the file is at its beginning then."""
        self._write(self._encoder.flush())
        self._file.seek(0)

    def _write(self, chunks: Iterable[Chunk]) -> None:
        try:
            self._file.writelines(chunk.data for chunk in chunks)
        except OSError as error:
            raise no_room(error) from None
