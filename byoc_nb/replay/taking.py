"""Recording a take of a running stream, without a hand in it: two channels are read, the processor's thread watched."""

from __future__ import annotations

import asyncio
import contextlib
import platform
import shutil
import sys
import tempfile
from array import array
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from byoc_nb import params as params_
from byoc_nb.dialects import Processor
from byoc_nb.frames import VideoFrame
from byoc_nb.network.record import RUNNING, Capture, RecordError, to_its_end
from byoc_nb.replay.takes import CLOCK, INPUT, OUTPUT, WRAP, Entry, Take, TakeError, Version, check_folder, since
from byoc_nb.runtime.pipeline import Pipeline

LAG_SECONDS = 5.0  # for the last picture that was recorded to come out of the processor
SOFTWARE = ("byoc_nb", "av", "numpy", "torch")  # whose versions may make a difference

Known = Callable[[Any], Version | None]


class Watch:
    """Observes a pipeline: which parameters and which processor each frame is given to.

    Values are replaced as a whole when they change, so a look at which object it is tells.
    """

    def __init__(self, processor: Processor) -> None:
        self.targets: list[Any] = []
        self.schema: dict[str, Any] | None = None
        self.times = array("q")  # of all frames
        self.entries: list[tuple[int | None, int, dict[str, Any]]] = []  # the first holds from before
        self.error: Exception | None = None
        self._processor: Processor | None = None
        self._values: params_.Values | None = None
        self._note(None, processor)

    def __call__(self, frame: VideoFrame, processor: Processor) -> None:
        self.times.append(frame.timestamp)
        if processor.values is not self._values or processor is not self._processor:
            self._note(frame.timestamp, processor)

    def _note(self, pts: int | None, processor: Processor) -> None:
        values = processor.values
        try:
            held = params_.public(values)
        except Exception as error:  # a type of the user's own that isn't data; the stream goes on
            self.error = error
            held = {}
        if processor.target not in self.targets:
            self.targets.append(processor.target)
        if processor.model is not None and processor is not self._processor:
            self.schema = processor.model.model_json_schema()
        self._processor, self._values = processor, values
        entry = (pts, self.targets.index(processor.target), held)
        if not self.entries or self.entries[-1][1:] != entry[1:]:
            self.entries.append(entry)

    def timeline(self, first: int, last: int) -> tuple[Entry, ...]:
        """The entries that concern the frames from `first` to `last`."""
        found: list[Entry] = []
        for pts, version, values in self.entries:
            if pts is None or since(first, pts) <= 0:
                found = [Entry(first % WRAP, version, values)]
            elif since(last, pts) <= 0:
                found.append(Entry(pts % WRAP, version, values))
        return tuple(found)


async def record_take(
    pipeline: Pipeline,
    processor: Processor,
    urls: Mapping[str, str],
    folder: Path,
    seconds: float,
    *,
    known: Known = lambda target: None,
    over: asyncio.Event | None = None,
) -> Take:
    """Record `seconds` of a stream, less if it ends or `over` is set; on the loop that the stream's channels are on.

    `processor` is the current one, `urls` has the channels `input` and `output`, `known(target)` tells which version of
    the session a class or function is. The input begins with its next segment, the output with the one before. An
    earlier take in the folder is replaced when this one is complete. Cancelling ends it as `over` does.
    Raises TakeError or RecordError.
    """
    check_folder(folder)
    watch = Watch(processor)
    pipeline.observers = (*pipeline.observers, watch)
    try:
        with tempfile.TemporaryDirectory(prefix=".take-", dir=folder.parent) as temporary:
            here = Path(temporary)
            ended, capture = await _capture(urls, here, seconds, over or asyncio.Event())
            take = _take(folder, watch, capture, ended, known)
            await to_its_end(lambda: _move(here, take))
            return take
    except OSError as error:
        if isinstance(error, TakeError | RecordError):
            raise
        raise TakeError(f"{folder} can't be written: {error.strerror}") from None
    finally:
        pipeline.observers = tuple(other for other in pipeline.observers if other is not watch)


async def _capture(urls: Mapping[str, str], here: Path, seconds: float, over: asyncio.Event) -> tuple[str, Capture]:
    """Both channels into files: why it ended early, and the input's capture."""
    with (here / INPUT).open("wb") as into, (here / OUTPUT).open("wb") as out:
        given = Capture(urls["input"], into)
        made = Capture(urls["output"], out, start=-2)
        through, enough = asyncio.Event(), asyncio.Event()

        def caught_up(first: int, pts: int) -> bool:
            return through.is_set() and given.last is not None and since(given.last, pts) >= 0

        coming = asyncio.create_task(made.run(caught_up, enough))
        try:
            ended = await given.run(lambda first, pts: pts - first > seconds * CLOCK, over)
            through.set()
            if given.first is None or given.last is None:
                raise RecordError(f"no picture came: {ended}", hint=RUNNING)
            if made.last is None or since(given.last, made.last) < 0:
                with contextlib.suppress(asyncio.CancelledError):  # the server is stopped
                    await asyncio.wait({coming}, timeout=LAG_SECONDS)
        finally:
            enough.set()
            await asyncio.wait({coming})
            if not coming.cancelled():
                coming.exception()  # where both fail, the first one tells
        coming.result()
    return ended, given


def _take(folder: Path, watch: Watch, capture: Capture, ended: str, known: Known) -> Take:
    first, last = capture.first, capture.last
    assert first is not None and last is not None
    if watch.error is not None:
        raise TakeError(f"the parameters can't be written down: {watch.error}", hint="give Params fields that are data")
    timeline = watch.timeline(first, last)
    versions = [known(target) or Version.of(target.__name__) for target in watch.targets]
    used = sorted({entry.version for entry in timeline})
    return Take(
        folder,
        first % WRAP,
        last % WRAP,
        ended,
        sum(0 <= since(first, at) <= since(first, last) for at in watch.times),
        tuple(Entry(entry.pts, used.index(entry.version), entry.values) for entry in timeline),
        tuple(versions[number] for number in used),
        watch.schema,
        _software(),
    )


def _move(here: Path, take: Take) -> None:
    """The complete take into its folder."""
    take.folder.mkdir(exist_ok=True)
    for name in (INPUT, OUTPUT):
        shutil.move(here / name, take.folder / name)
    take.save()


def _software() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in SOFTWARE:
        if name in sys.modules:
            found[name] = metadata.version(name)
    return found
