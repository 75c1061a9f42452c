"""A trickle channel read back into a file.

What was recorded when a recording is stopped, or the stream ends, is kept: `Recording.ended` says why it is short.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, Generic, TypeVar

import av

from byoc_nb.errors import ByocError
from byoc_nb.frames import MPEG_TIME_BASE
from byoc_nb.media.mpegts import Demuxer
from byoc_nb.trickle import TrickleError, TrickleSubscriber

T = TypeVar("T")

CLOCK = 90_000  # ticks a second
FINISH_SECONDS = 10.0  # for a stopped recording to be written
RUNNING = "is the stream running? %byoc status"
STOPPED = "stopped before its time"
STREAM_ENDED = "the stream ended"
START_TAG = "byoc_start"  # metadata of the file: where on the stream's clock it begins, in seconds


class RecordError(ByocError, OSError):
    """Nothing could be recorded, or the file can't be written."""


@dataclass(frozen=True, repr=False)
class Recording:
    """What was recorded. `start` in seconds on the stream's clock; `seconds` long; `frames` pictures.

    `ended`: why it is shorter than it was to be, else empty.
    """

    path: Path
    frames: int
    seconds: float
    start: float
    ended: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.frames} frames, {self.seconds:.1f} s" + (f" · {self.ended}" if self.ended else "")

    __repr__ = __str__


class PendingRecording(Generic[T]):
    """A recording that goes on in the background; `stop` ends it before its time, from any thread."""

    def __init__(self, future: Future[T], path: Path, stop: Callable[[], None] = lambda: None) -> None:
        self._future, self.path, self._stop = future, path, stop

    def stop(self) -> None:
        """End it now; what has come so far is kept, and `wait` gives it."""
        self._stop()

    def wait(self, timeout: float | None = None) -> T:
        """Wait until it is complete; raises RecordError, or TimeoutError after `timeout` seconds."""
        try:
            return self._future.result(timeout)
        except CancelledError:
            raise RecordError(f"{self.path} was not written: the server was stopped before it was complete") from None

    def finish(self) -> T:
        """`wait` for a cell that may be interrupted: then what has come so far is kept, and returned."""
        try:
            return self.wait()
        except KeyboardInterrupt:
            self.stop()
            return self.wait(FINISH_SECONDS)

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


def begin(
    submit: Callable[[Coroutine[Any, Any, Any]], Future[Any]],
    path: Path,
    recording: Callable[[asyncio.Event], Coroutine[Any, Any, T]],
) -> PendingRecording[T]:
    """Begin a recording on the loop that `submit` hands coroutines to; it gets the event that is set to stop it."""
    over = asyncio.Event()
    future = submit(recording(over))

    async def set_it() -> None:
        over.set()

    def stop() -> None:
        setting = set_it()
        try:
            submit(setting)
        except RuntimeError:  # the loop has ended, and the recording with it
            setting.close()

    return PendingRecording(future, path, stop)


def check_target(path: Path) -> None:
    """Raise RecordError where a recording could not be written: better now than after it was made."""
    if not path.parent.is_dir():
        raise RecordError(f"there is no folder {path.parent}")
    existed = path.exists()
    if existed and not path.is_file():  # a pipe would wait for its reader
        raise RecordError(f"{path} can't be written: it is no file")
    try:
        av.open(str(path), "w").close()  # knows the type by its name, and writes nothing yet
        path.open("ab").close()
        if not existed:
            path.unlink()
    except (av.FFmpegError, OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        hint = "" if path.suffix else "a name such as clip.mp4 tells the type"
        raise RecordError(f"{path} can't be written: {why}", hint=hint) from None


async def record(
    url: str, path: Path, seconds: float, *, start: int = -1, wait: float = 15.0, over: asyncio.Event | None = None
) -> Recording:
    """Record `seconds` of the channel; returns earlier if the stream ends, nothing more comes or `over` is set.

    Cancelling it ends it in the same way: what has come is written and returned.

    `start` is a trickle sequence number: -1 begins with the next segment, so with nothing that was sent before now,
    -2 with the newest one, which may have begun two seconds ago. `wait`: how many seconds without a byte are too many.
    The packets are copied, not encoded again; the file's type follows its name (.mp4, .mkv, .ts, …).
    Raises RecordError.
    """
    check_target(path)
    with tempfile.TemporaryFile(suffix=".ts") as buffer:
        capture = Capture(url, buffer, start=start, wait=wait)
        ended = await capture.run(lambda first, pts: pts - first > seconds * CLOCK, over)
        if not buffer.tell():
            raise RecordError(f"nothing came from {url}: {ended}", hint=RUNNING)
        buffer.seek(0)
        return replace(await to_its_end(lambda: remux(buffer, path, seconds)), ended=ended)


class Capture:
    """The bytes of a channel, as they come, into a file."""

    def __init__(self, url: str, file: IO[bytes], *, start: int = -1, wait: float = 15.0) -> None:
        self._url, self._file, self._start, self._wait = url, file, start, wait
        self.first: int | None = None  # presentation time of the first picture, in ticks
        self.last: int | None = None  # the latest one of a picture that is there as a whole

    async def run(self, enough: Callable[[int, int], bool], over: asyncio.Event | None = None) -> str:
        """Until `enough(first, pts)`, asked at every picture, the end of the stream, a silence, `over` or cancellation.

        Returns why it ended early, else an empty string. Raises RecordError where the channel can't be read.
        """
        async with TrickleSubscriber(self._url, start=self._start) as channel:  # closed by this task, undisturbed
            reading = asyncio.create_task(self._read(channel, enough))
            stopping = asyncio.create_task((over or asyncio.Event()).wait())
            try:
                await asyncio.wait({reading, stopping}, return_when=asyncio.FIRST_COMPLETED)
                return await reading if reading.done() else STOPPED
            except asyncio.CancelledError:  # the server is stopped: what has come is kept
                return STOPPED
            except TrickleError as error:
                raise RecordError(f"{self._url} can't be recorded: {error}", hint=RUNNING) from None
            except OSError as error:  # a full disk
                raise RecordError(f"the recording can't be kept: {error.strerror or error}") from None
            finally:
                reading.cancel()
                stopping.cancel()
                await asyncio.gather(reading, stopping, return_exceptions=True)

    async def _read(self, channel: TrickleSubscriber, enough: Callable[[int, int], bool]) -> str:
        demuxer = Demuxer()
        try:
            while (segment := await self._within(anext(channel, None))) is not None:
                while data := await self._within(anext(segment, b"")):
                    self._file.write(data)
                    for unit in demuxer.feed(data):
                        if unit.stream.kind == "video" and unit.pts is not None:
                            self.first = unit.pts if self.first is None else self.first
                            if enough(self.first, unit.pts):
                                return ""
                            self.last = max(unit.pts, self.last or unit.pts)
        except TimeoutError:
            return f"nothing came for {self._wait:.0f} s"
        return STREAM_ENDED

    async def _within(self, coming: Awaitable[T]) -> T:
        async with asyncio.timeout(self._wait):  # Python 3.11's wait_for loses a cancellation that meets a result
            return await coming


async def to_its_end(work: Callable[[], T]) -> T:
    """Run it on another thread and wait for it, also where this is cancelled meanwhile."""
    running = asyncio.get_running_loop().run_in_executor(None, work)
    while True:
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            if running.cancelled():
                raise


def remux(buffer: IO[bytes], path: Path, seconds: float = float("inf")) -> Recording:
    """Copy `seconds` of the packets of an MPEG-TS file into another container, from its first key frame on.

    Raises RecordError.
    """
    try:
        return _remux(buffer, path, seconds)
    except RecordError:
        raise
    except (av.FFmpegError, OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise RecordError(f"{path} can't be written: {why}") from None


def _remux(buffer: IO[bytes], path: Path, seconds: float) -> Recording:
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
        flags = {"movflags": "use_metadata_tags+faststart"} if path.suffix == ".mp4" else {}
        with av.open(str(path), "w", options=flags) as target:
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
