"""A take of a stream that really runs: exact to the frame, and kept when it is cut short."""

from __future__ import annotations

import gc
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from kit import WAIT, decode, until
from pydantic import BaseModel
from replay_kit import SIZE, Paint, make_take

from byoc_nb.frames import MPEG_TIME_BASE, VideoFrame
from byoc_nb.network.local import LocalNetwork
from byoc_nb.network.record import STOPPED, STREAM_ENDED, PendingRecording, begin, record
from byoc_nb.network.source import Source
from byoc_nb.processor import FrameProcessor
from byoc_nb.replay.replaying import replay
from byoc_nb.replay.takes import INPUT, OUTPUT, Take, TakeError, Version
from byoc_nb.replay.taking import Watch, record_take
from byoc_nb.runtime.slot import ProcessorSlot
from byoc_nb.runtime.threads import LoopThread

pytestmark = pytest.mark.usefixtures("no_thread_left")


class Brighter(Paint):
    def process_video(self, frame):
        return frame.replace_array(np.full_like(frame.array, self.params.level + 50))


class Live:
    """A stream of the test pattern through a processor."""

    def __init__(self, target: type) -> None:
        self.io, self.slot = LoopThread("byoc-io"), ProcessorSlot()
        self.network = LocalNetwork(self.slot, target, host="127.0.0.1", port=0)
        self.io.run(self.network.listen())
        self.io.run(self.slot.load(target))
        self.io.run(self.network.play(Source("testsrc", size=SIZE, fps=25)))

    @property
    def session(self):
        assert self.network.server.session is not None
        return self.network.server.session

    def take(self, folder: Path, seconds: float, versions: dict[type, Version] | None = None) -> PendingRecording[Take]:
        """Begin a take."""
        known, processor, urls = (versions or {}).get, self.slot.current.processor, self.network.urls
        pipeline = self.session.pipeline
        return begin(
            self.io.submit,
            folder,
            lambda over: record_take(pipeline, processor, urls, folder, seconds, known=known, over=over),
        )

    def close(self) -> None:
        self.io.run(self.network.close())
        self.slot.close()
        self.io.stop()


@pytest.fixture
def live() -> Iterator[Live]:
    made = Live(Paint)
    yield made
    made.close()


def watched(live: Live) -> Watch:
    """The take that is being recorded."""
    until(lambda: live.session.pipeline.observers)
    return live.session.pipeline.observers[0]


def more_frames(watch: Watch, count: int) -> None:
    """So many have come to the processor; the recording's first segment begins within 50."""
    begun = len(watch.times)
    until(lambda: len(watch.times) >= begun + count)


def levels(data: bytes) -> dict[int, int]:
    """How bright each picture of a stream is, by its time."""
    return {frame.timestamp: round(float(frame.array.mean())) for frame in decode(data)[0]}


def test_the_parameters_are_known_for_every_frame_and_the_replay_shows_them(tmp_path, live):
    pending = live.take(tmp_path / "take", 4.0)
    assert repr(pending) == f"recording {tmp_path / 'take'} …"
    more_frames(watched(live), 60)
    live.slot.apply({"level": 200}).result(WAIT)
    take = pending.wait(WAIT)
    assert take == Take.load(tmp_path / "take")
    assert (take.ended, len(take.timeline)) == ("", 2)
    assert 80 <= take.frames <= 101  # a machine that is busy drops some
    assert abs(take.seconds - 4.0) < 0.05
    assert [entry.values for entry in take.timeline] == [{"level": 40}, {"level": 200}]
    assert take.versions == (Version.of("Paint"),)
    assert take.schema is not None and take.schema["properties"]["level"]["maximum"] == 255
    assert {"python", "av", "byoc_nb", "numpy"} <= take.software.keys()
    assert live.session.pipeline.observers == ()

    change = take.timeline[1].pts
    sent = levels((tmp_path / "take" / "output.ts").read_bytes())
    assert all(abs(level - (200 if pts >= change else 40)) <= 6 for pts, level in sent.items())
    assert min(sent) <= take.first and max(sent) >= take.last

    one, two = replay(Paint, take.folder), replay(Paint, take.folder)
    assert one.digest == two.digest and one.frames == 101 and one.notes == ()
    changed = [b.pts for a, b in zip(one.shown, one.shown[1:], strict=False) if a.digest != b.digest]
    assert changed == [change]
    assert one.recorded is not None
    assert 80 <= one.recorded.pictures <= take.frames and one.recorded.worst > 35


def test_versions_that_came_meanwhile_are_in_it_with_their_text(tmp_path, live):
    versions = {Paint: Version.of("Paint", 1, "one"), Brighter: Version.of("Brighter", 2, "two")}
    pending = live.take(tmp_path / "take", 4.0, versions)
    more_frames(watched(live), 60)
    live.slot.keep(Brighter)
    take = pending.wait(WAIT)
    assert take.versions == tuple(versions.values())
    assert [entry.version for entry in take.timeline] == [0, 1]
    change = take.timeline[1].pts
    sent = levels((tmp_path / "take" / "output.ts").read_bytes())
    assert all(abs(level - (90 if pts >= change else 40)) <= 6 for pts, level in sent.items())


@pytest.mark.parametrize("how", ["stopped", "interrupted", "stream ended"])
def test_what_was_recorded_is_kept_when_it_is_cut_short(tmp_path, live, how):
    pending = live.take(tmp_path / "take", 600)
    more_frames(watched(live), 65)
    if how == "stopped":
        pending.stop()
        take = pending.wait(WAIT)
    elif how == "interrupted":
        timer = threading.Timer(0.1, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
        timer.start()
        take = pending.finish()
        timer.join()
    else:
        live.io.run(live.network.halt())
        take = pending.wait(WAIT)
    assert take.ended == (STREAM_ENDED if how == "stream ended" else STOPPED)
    assert str(take).endswith(f" · {take.ended}")
    assert 10 <= take.frames < 90
    done = replay(Paint, take.folder)
    assert done.frames >= take.frames  # what waited when the stream ended was dropped
    assert done.recorded is not None and done.recorded.pictures >= take.frames - 3


def test_a_stopped_recording_of_one_channel_is_kept(tmp_path, live):
    path, url = tmp_path / "clip.mp4", live.network.urls["input"]
    pending = begin(live.io.submit, path, lambda over: record(url, path, 600, over=over))
    until(lambda: live.session.stats.frames_in > 70)
    pending.stop()
    made = pending.wait(WAIT)
    assert made.frames > 10 and made.path.exists()
    assert str(made).endswith("· stopped before its time")
    pending.stop()  # again, and after its end: nothing


def test_an_earlier_take_is_replaced_when_the_new_one_is_complete(tmp_path, live):
    old = make_take(tmp_path / "take", {0: 40})
    pending = live.take(tmp_path / "take", 0.5)
    assert Take.load(tmp_path / "take") == old
    assert pending.wait(WAIT) == Take.load(tmp_path / "take") != old
    assert sorted(path.name for path in tmp_path.iterdir()) == ["take"]


def test_a_take_without_a_picture_leaves_nothing_behind(tmp_path, live):
    until(lambda: live.session.stats.frames_in > 5)  # the next segment is over a second away
    pending = live.take(tmp_path / "take", 5.0)
    pending.stop()
    with pytest.raises(OSError, match="no picture came"):
        pending.wait(WAIT)
    assert list(tmp_path.iterdir()) == []


class FullDisk(tempfile.TemporaryDirectory):
    def __enter__(self):
        for name in (INPUT, OUTPUT):
            (Path(self.name) / name).symlink_to("/dev/full")
        return super().__enter__()


def test_a_full_disk_costs_the_take_not_the_stream(tmp_path, live, monkeypatch, caplog):
    monkeypatch.setattr(tempfile, "TemporaryDirectory", FullDisk)
    pending = live.take(tmp_path / "take", 5.0)
    with pytest.raises(OSError, match="No space left"):
        pending.wait(WAIT)
    until(lambda: not live.session.pipeline.observers)
    del pending
    gc.collect()
    assert "never retrieved" not in caplog.text and not live.session.ended
    assert list(tmp_path.iterdir()) == []


def test_parameters_that_are_no_data_cost_the_take_not_the_stream(tmp_path):
    class Odd(FrameProcessor):
        class Params(BaseModel, arbitrary_types_allowed=True):
            tool: object = None

        def process_video(self, frame):
            return frame

    live = Live(Odd)
    try:
        pending = live.take(tmp_path / "take", 0.5)
        watched(live)
        live.slot.current.processor.put(Odd.Params(tool=threading.Lock()))
        with pytest.raises(TakeError, match="can't be written down"):
            pending.wait(WAIT)
        assert live.network.server.active and not live.session.stats.errors
    finally:
        live.close()


def test_only_the_entries_that_hold_within_the_take_are_kept():
    class Made:
        """What a Watch asks of a processor."""

        def __init__(self, level):
            self.values, self.target, self.model = {"level": level}, Paint, None

    watch = Watch(Made(1))
    for pts, level in ((10, 1), (20, 2), (30, 2), (40, 3), (50, 3), (60, 4)):
        watch(VideoFrame(np.zeros((2, 2, 3), np.uint8), pts, MPEG_TIME_BASE), Made(level))
    kept = watch.timeline(25, 55)
    assert [(entry.pts, entry.values["level"]) for entry in kept] == [(25, 2), (40, 3)]
