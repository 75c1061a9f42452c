"""A trickle channel read back into a file."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO

import av

from byoc_nb.errors import ByocError
from byoc_nb.frames import MPEG_TIME_BASE
from byoc_nb.media.mpegts import Demuxer
from byoc_nb.trickle import TrickleError, TrickleSubscriber

CLOCK = 90_000  # ticks a second
RUNNING = "is the stream running? %byoc status"
START_TAG = "byoc_start"  # metadata of the file: where on the stream's clock it begins, in seconds


class RecordError(ByocError, OSError):
    """Nothing could be recorded, or the file can't be written."""


@dataclass(frozen=True, repr=False)
class Recording:
    """What was recorded. `start` in seconds on the stream's clock; `seconds` long; `frames` pictures."""

    path: Path
    frames: int
    seconds: float
    start: float

    def __str__(self) -> str:
        return f"{self.path}: {self.frames} frames, {self.seconds:.1f} s"

    __repr__ = __str__


class PendingRecording:
    """A recording that goes on in the background."""

    def __init__(self, future: Future[Recording], path: Path) -> None:
        self._future, self.path = future, path

    def wait(self, timeout: float | None = None) -> Recording:
        """Wait until it is complete; raises RecordError, or TimeoutError after `timeout` seconds."""
        try:
            return self._future.result(timeout)
        except CancelledError:
            raise RecordError(f"{self.path} was not written: the server was stopped before it was complete") from None

    @property
    def done(self) -> bool:
        return self._future.done()

    def __repr__(self) -> str:
        if not self.done:
            return f"recording {self.path} …"
        if self._future.cancelled():
            return f"{self.path}: cancelled"
        error = self._future.exception()
        return f"{self.path}: {error}" if error else str(self._future.result())


def check_target(path: Path) -> None:
    """Raise RecordError where a recording could not be written: better now than after it was made."""
    if not path.parent.is_dir():
        raise RecordError(f"there is no folder {path.parent}")
    existed = path.exists()
    try:
        av.open(str(path), "w").close()  # knows the type by its name, and writes nothing yet
        path.open("ab").close()
        if not existed:
            path.unlink()
    except (av.FFmpegError, OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        hint = "" if path.suffix else "a name such as clip.mp4 tells the type"
        raise RecordError(f"{path} can't be written: {why}", hint=hint) from None


async def record(url: str, path: Path, seconds: float, *, start: int = -1, wait: float = 15.0) -> Recording:
    """Record `seconds` of the channel; returns earlier if the stream ends or nothing more comes.

    `start` is a trickle sequence number: -1 begins with the next segment, so with nothing that was sent before now,
    -2 with the newest one, which may have begun two seconds ago. `wait`: how many seconds without a byte are too many.
    The packets are copied, not encoded again; the file's type follows its name (.mp4, .mkv, .ts, …).
    Raises RecordError.
    """
    check_target(path)
    with tempfile.TemporaryFile(suffix=".ts") as buffer:
        try:
            await _capture(url, buffer, seconds, start, wait)
        except TrickleError as error:
            raise RecordError(f"{url} can't be recorded: {error}", hint=RUNNING) from None
        if not buffer.tell():
            raise RecordError(f"nothing came from {url} for {wait:.0f} s", hint=RUNNING)
        buffer.seek(0)
        try:
            return await asyncio.to_thread(_remux, buffer, path, seconds)
        except RecordError:
            raise
        except (av.FFmpegError, OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise RecordError(f"{path} can't be written: {why}") from None


async def _capture(url: str, buffer: IO[bytes], seconds: float, start: int, wait: float) -> None:
    """Write what comes into `buffer`, until it is enough, the stream ends or nothing comes for `wait` seconds."""
    demuxer, begin = Demuxer(), None
    async with TrickleSubscriber(url, start=start) as channel:
        with contextlib.suppress(TimeoutError):
            while (segment := await asyncio.wait_for(anext(channel, None), wait)) is not None:
                while (data := await asyncio.wait_for(anext(segment, b""), wait)) != b"":
                    buffer.write(data)
                    for unit in demuxer.feed(data):
                        if unit.stream.kind == "video" and unit.pts is not None:
                            begin = unit.pts if begin is None else begin
                            if unit.pts - begin > seconds * CLOCK:
                                return


def _remux(buffer: IO[bytes], path: Path, seconds: float) -> Recording:
    """Copy the packets of an MPEG-TS file into another container, from its first key frame on."""
    nothing = RecordError("the stream had no picture to record", hint=RUNNING)
    try:
        source = av.open(buffer, "r", format="mpegts")
    except av.FFmpegError:
        raise nothing from None
    with source:
        if not source.streams.video:
            raise nothing
        kept = [*source.streams.video[:1], *source.streams.audio[:1]]
        packets = [
            (_ticks(packet.pts, packet.time_base), packet) for packet in source.demux(*kept) if packet.dts is not None
        ]
        first = next((at for at, p in packets if p.stream.type == "video" and p.is_keyframe and at is not None), None)
        if first is None:
            raise nothing
        with av.open(str(path), "w", options={"movflags": "use_metadata_tags+faststart"}) as target:
            target.metadata[START_TAG] = f"{first / CLOCK:.6f}"
            streams = {stream.index: target.add_stream_from_template(stream) for stream in kept}
            frames, last = 0, first
            for at, packet in packets:
                if at is None or not first <= at <= first + seconds * CLOCK:
                    continue
                if packet.stream.type == "video":
                    frames, last = frames + 1, max(last, at)
                packet.pts, packet.dts = at - first, (_ticks(packet.dts, packet.time_base) or 0) - first
                packet.time_base = MPEG_TIME_BASE
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    return Recording(path, frames, (last - first) / CLOCK, first / CLOCK)


def _ticks(time: int | None, base: Fraction) -> int | None:
    return None if time is None else round(time * base * CLOCK)
