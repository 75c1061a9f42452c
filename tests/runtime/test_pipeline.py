"""Decode, process, encode: frames through the three threads, without a network."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np
import pytest
from kit import CLOCK, WAIT, decode, encode, number_of, ours, programme, segments, until

from byoc_nb import BaseModel
from byoc_nb.dialects import VideoProcessingResult
from byoc_nb.frames import VideoFrame
from byoc_nb.media.decode import Decoder
from byoc_nb.processor import FrameProcessor
from byoc_nb.runtime.backlog import TOO_SLOW, WAITING_FRAMES
from byoc_nb.runtime.pipeline import CUT, ENCODING_FRAMES, Pipeline
from byoc_nb.runtime.slot import ProcessorSlot
from byoc_nb.runtime.stats import StreamStats
from byoc_nb.runtime.threads import Closed

pytestmark = pytest.mark.usefixtures("no_thread_left")


class Pass(FrameProcessor):
    async def process_video_async(self, frame):
        return frame


class Rig:
    """A pipeline around a processor, as the session has it."""

    def __init__(self, target, policy="lossless"):
        self.slot, self.stats, self.params, self.retired = ProcessorSlot(), StreamStats(), {}, []
        decoder = Decoder(on_drop=self.stats.drop, on_error=lambda error: self.stats.error("input", error))
        self.pipeline = Pipeline(decoder, self.slot, self.stats, policy=policy)
        asyncio.run(self.slot.load(target))
        self.pipeline.start(asyncio.run(self.slot.open_stream(self)))

    def retire(self, host):
        self.retired.append(host)
        host.close_soon()

    def hangs(self):
        return self.pipeline.hanging

    def exchanged(self):
        self.pipeline.exchanged()

    def newest_input(self):
        return self.pipeline.newest and self.pipeline.newest[0].to("cpu")

    def abandon(self, old):
        self.pipeline.abandon(old)

    def frames_dropped(self):
        return self.pipeline.overflowed

    def publish_data(self, value):
        return False

    def swapped(self, old):
        return self.pipeline.swapped(old)

    @property
    def instance(self):
        return self.slot.current.processor.instance

    def send(self, *parts):
        for part in parts:
            self.pipeline.bytes_in.put(None if part is None else (part, time.monotonic()))

    def end(self):
        self.pipeline.bytes_in.close()

    def receive(self):
        """Everything until the end of the output."""
        data = bytearray()
        with contextlib.suppress(Closed):
            while True:
                data += self.pipeline.bytes_out.get()[0].data
        return decode(bytes(data))

    def through(self, *parts):
        with ThreadPoolExecutor(1) as pool:
            receiving = pool.submit(self.receive)
            self.send(*parts)
            self.end()
            return receiving.result(WAIT)


@pytest.fixture
def rig():
    rigs = []

    def make(target, **options):
        rigs.append(Rig(target, **options))
        return rigs[-1]

    yield make
    for made in rigs:
        made.pipeline.stop(1.0)
        made.slot.close()


# ---- through


def test_lossless_brings_every_frame_in_order_with_its_time(rig):
    made = rig(Pass)
    pictures, sounds = made.through(*segments(10.0))
    assert [number_of(frame) for frame in pictures] == list(range(300))
    assert [frame.timestamp for frame in pictures] == [3000 * n for n in range(300)]
    assert abs(sounds[-1].seconds - pictures[-1].seconds) < 0.1
    assert made.stats.snapshot()["frames_dropped"] == 0


def test_lossless_waits_for_a_slow_processor(rig):
    class Slow(Pass):
        def process_video(self, frame):
            time.sleep(0.005)
            return frame

        process_video_async = process_video

    pictures, _ = rig(Slow).through(*segments(2.0))
    assert len(pictures) == 60


def test_live_drops_the_oldest_and_counts(rig):
    gate, begun = threading.Event(), threading.Event()

    class Stuck(Pass):
        async def process_video_async(self, frame):
            begun.set()
            gate.wait(WAIT)
            return frame

    made = rig(Stuck, policy="live")
    first, *rest = segments(4.0, audio=False)
    made.send(first, *rest)
    assert begun.wait(WAIT)
    until(lambda: made.stats.frames_in == 120)
    gate.set()
    made.end()
    pictures, _ = made.receive()
    numbers = [number_of(frame) for frame in pictures]
    assert numbers[-WAITING_FRAMES:] == list(range(120 - WAITING_FRAMES, 120)), "the newest are kept"
    assert made.stats.dropped == {TOO_SLOW: 120 - len(numbers)}
    assert made.frames_dropped() >= 110


def test_a_processor_that_never_keeps_up_gets_the_newest_picture(rig):
    """So that latency is that of its own work, not of a queue that stays full."""
    ages = []

    class Slow(Pass):
        async def process_video_async(self, frame):
            ages.append(made.stats.frames_in - 1 - number_of(frame))  # pictures that have come in since
            time.sleep(0.05)
            return frame

    made = rig(Slow, policy="live")
    for part in segments(3.0, audio=False):
        for start in range(0, len(part), 188):  # at about 60 fps
            made.send(part[start : start + 188])
            time.sleep(0.016 * 188 * 90 / sum(map(len, segments(3.0, audio=False))))
    made.end()
    made.receive()
    assert made.stats.dropped[TOO_SLOW] > 30
    assert made.frames_dropped() < made.stats.dropped[TOO_SLOW] / 2, "a reload would count what is usual"
    assert max(ages[12:-1]) <= 5  # what comes while it works
    assert sorted(ages[12:-1])[len(ages[12:-1]) // 2] <= 1


def test_sound_behind_a_processor_that_hangs_is_bounded_too(rig):
    gate = threading.Event()

    class Deaf(Pass):
        async def process_audio_async(self, frame):
            gate.wait(WAIT)
            return [frame]

    made = rig(Deaf, policy="live")
    made.send(*segments(20.0, video=False))
    until(lambda: made.stats.audio_in >= 999)
    assert len(made.pipeline._frames) <= 300
    gate.set()
    made.end()
    _, sounds = made.receive()
    assert sounds[-1].seconds > 19.9
    assert made.stats.audio_dropped > 600
    assert made.stats.snapshot()["frames_dropped"] == 0, "they are pictures"


def test_sound_does_not_displace_pictures(rig):
    """A burst of sound, as some muxers send it, takes no room from the pictures."""
    gate = threading.Event()

    class Stuck(Pass):
        async def process_video_async(self, frame):
            gate.wait(WAIT)
            return frame

    made = rig(Stuck, policy="live")
    made.send(*encode([*programme(0.1), *programme(2.0, video=False, start=CLOCK // 10)]))
    until(lambda: made.stats.audio_in >= 90)
    gate.set()
    made.end()
    pictures, _ = made.receive()
    assert [number_of(frame) for frame in pictures] == [0, 1, 2]


@pytest.mark.parametrize("options", [{"audio": False}, {"video": False}])
def test_one_kind_alone(rig, options):
    pictures, sounds = rig(Pass).through(*segments(3.0, **options))
    assert (len(pictures) == 90) == ("audio" in options)
    assert (len(sounds) >= 149) == ("video" in options)


def test_what_the_processor_made_is_what_comes_out(rig):
    class Invert(Pass):
        async def process_video_async(self, frame):
            return frame.replace_array(255 - frame.array)

        async def process_audio_async(self, frame):
            frame.samples[:] = 0
            return [frame]

    pictures, sounds = rig(Invert).through(*segments(1.0))
    assert [number_of(frame) for frame in pictures] == [4095 - n for n in range(30)]
    assert max(np.abs(sound.samples).max() for sound in sounds) < 0.01


def test_frames_that_the_processor_withholds_are_counted(rig):
    class Half(Pass):
        count = 0

        async def process_video_async(self, frame):
            Half.count += 1
            return None if Half.count % 2 else VideoProcessingResult.WITHHELD if Half.count % 4 else frame

    made = rig(Half)
    pictures, _ = made.through(*segments(4.0))
    assert len(pictures) == 30
    assert made.stats.dropped == {"processor returned None": 90}


# ---- a processor that misbehaves


class Raises(Pass):
    async def process_video_async(self, frame):
        self.frames = getattr(self, "frames", 0) + 1
        frame.tensor[:] = 0  # what it had done until then does not count
        raise ValueError("broken")


@pytest.mark.parametrize("error", [ValueError("broken"), SystemExit(1), KeyboardInterrupt(), asyncio.CancelledError()])
def test_a_processor_that_raises_passes_the_pictures_untouched(rig, error, caplog):
    class Fails(Pass):
        async def process_video_async(self, frame):
            raise error

        async def process_audio_async(self, frame):
            raise error

    made = rig(Fails)
    pictures, sounds = made.through(*segments(1.0))
    assert [number_of(frame) for frame in pictures] == list(range(30))
    assert len(sounds) >= 49
    assert made.stats.error_count >= 79
    lines = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(lines) == len(made.stats.errors) <= 2, "one line a distinct error"


def test_a_change_in_place_before_an_error_is_not_sent(rig):
    pytest.importorskip("torch")
    pictures, _ = rig(Raises).through(*segments(0.5))
    assert [number_of(frame) for frame in pictures] == list(range(15))


@pytest.mark.parametrize(
    "result", ["a string", 5, np.zeros((4, 4, 4, 4)), np.zeros((1, 1, 3)), [1, 2], b"", "no time", "no time base"]
)
def test_whatever_the_processor_returns_the_stream_goes_on(rig, result):
    class Odd(Pass):
        async def process_video_async(self, frame):
            if isinstance(result, str) and result.startswith("no time"):
                out = VideoFrame(frame.array, frame.timestamp)
                setattr(out, "timestamp" if result == "no time" else "time_base", None)
                return out
            return result

        async def process_audio_async(self, frame):
            return result

    made = rig(Odd)
    pictures, _ = made.through(*segments(0.5))
    assert [number_of(frame) for frame in pictures] == list(range(15))
    assert made.stats.error_count >= 15


def test_pictures_of_another_size_and_pictures_kept_for_later_are_fine(rig):
    kept = []

    class Keeps(Pass):
        async def process_video_async(self, frame):
            kept.append(frame)
            size = 64 + 2 * (len(kept) % 5)
            return frame.replace_array(np.full((size, size + 2, 3), 100, np.uint8))

    pictures, _ = rig(Keeps).through(*segments(1.0))
    assert {(frame.width, frame.height) for frame in pictures} == {(68, 66)}
    assert [number_of(frame) for frame in kept] == list(range(30))


# ---- the input


def test_a_cut_is_passed_to_the_decoder_in_its_place(rig):
    first, second, third = segments(6.0, audio=False)
    pictures, _ = rig(Pass).through(first[: len(first) // 2 - 1000], CUT, third)
    assert [number_of(frame) for frame in pictures][-60:] == list(range(120, 180))
    assert second


def test_an_input_that_is_no_video_is_one_error(rig):
    made = rig(Pass)
    assert made.through(*[b"\x00" * 65_536] * 5) == ([], [])
    assert made.stats.error_count == 1
    assert "MPEG-TS" in str(made.stats.last_error) or "programme" in str(made.stats.last_error)


def test_an_error_while_decoding_costs_some_bytes_not_the_stream(rig, monkeypatch):
    made = rig(Pass)
    real, count = Decoder._frames, iter(range(10_000))

    def sometimes(self, *args):
        if next(count) == 20:
            raise RuntimeError("libav found something new")
        return real(self, *args)

    monkeypatch.setattr(Decoder, "_frames", sometimes)
    pictures, _ = made.through(*segments(6.0))
    assert len(pictures) >= 120
    assert made.stats.error_count == 1


# ---- stopping


def test_stop_leaves_no_thread(rig):
    made = rig(Pass)
    made.send(segments(1.0)[0])
    assert made.pipeline.stop(3.0)
    assert ours() == ["byoc-processor"]


def test_stop_before_anything_came(rig):
    assert rig(Pass).pipeline.stop(3.0)


def test_stop_lets_the_frame_in_work_finish(rig):
    begun, ended = threading.Event(), threading.Event()

    class Slow(Pass):
        def process_video_async(self, frame):
            begun.set()
            time.sleep(0.2)
            ended.set()
            return frame

    made = rig(Slow)
    made.send(segments(1.0)[0])
    assert begun.wait(WAIT)
    assert made.pipeline.stop(3.0)
    assert ended.is_set()


def test_stop_is_not_held_up_by_a_processor_that_hangs(rig, caplog):
    begun, release = threading.Event(), threading.Event()

    class Hangs(Pass):
        def process_video_async(self, frame):
            begun.set()
            release.wait(WAIT)
            return frame

    made = rig(Hangs)
    made.send(segments(1.0)[0])
    assert begun.wait(WAIT)
    at = time.monotonic()
    assert not made.pipeline.stop(0.2)
    assert time.monotonic() - at < 2.0
    assert "did not finish its frame" in caplog.text
    release.set()


def test_stop_works_where_nobody_takes_the_output(rig, monkeypatch):
    monkeypatch.setattr("byoc_nb.runtime.pipeline.WAITING_BYTES", 2000)
    made = rig(Pass)
    made.send(segments(2.0)[0])
    until(lambda: len(made.pipeline._processed) >= ENCODING_FRAMES)
    at = time.monotonic()
    assert made.pipeline.stop(1.0), "the processor was not at fault"
    assert time.monotonic() - at < 3.0
    assert ours() == ["byoc-processor"]


# ---- replacing


def named(label, **more):
    class Marks(Pass):
        async def process_video_async(self, frame):
            seen.append((label, number_of(frame)))
            return frame

    seen = more.setdefault("seen", [])
    return type(label, (Marks,), {key: value for key, value in more.items() if key != "seen"})


def test_a_swap_happens_between_two_frames_and_loses_none(rig):
    seen = []
    made = rig(named("one", seen=seen))
    parts = segments(8.0)
    with ThreadPoolExecutor(1) as pool:
        receiving = pool.submit(made.receive)
        made.send(parts[0], parts[1])
        until(lambda: len(seen) > 20)
        for label in ("two", "three"):
            until(lambda: made.newest_input() is not None)
            made.slot.replace(named(label, seen=seen))
        made.send(parts[2], parts[3])
        made.end()
        pictures, _ = receiving.result(WAIT)
    assert [number_of(frame) for frame in pictures] == list(range(240))
    labels = list(dict.fromkeys(label for label, _ in seen))
    tried = [(label, next(number for one, number in seen if one == label)) for label in labels[1:]]
    for once in tried:  # each new one was tried with a picture before
        seen.remove(once)
    assert [number for _, number in seen] == list(range(240)), "each frame once, in order"
    assert labels[0] == "one" and labels[-1] == "three"
    assert [host.processor.name for host in dict.fromkeys(made.retired)] == ["one", "two"]


def test_a_processor_that_takes_long_to_load_costs_no_frame(rig):
    class Heavy(Pass):
        def load_model(self):
            time.sleep(2.0)

    made = rig(Pass, policy="live")
    parts, stop = segments(2.0, audio=False), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        receiving = pool.submit(made.receive)

        def play():
            at = 0
            while not stop.wait(0.02):
                data = parts[0]
                step = len(data) // 188 // 60 * 188
                made.send(data[at : at + step] if at + step < len(data) else data[at:])
                at = at + step if at + step < len(data) else 0

        playing = pool.submit(play)
        until(lambda: made.stats.frames_in > 5)
        reload = made.slot.replace(Heavy)
        counted = made.stats.frames_in
        until(lambda: made.stats.frames_in > counted + 5)
        stop.set()
        playing.result(WAIT)
        made.end()
        receiving.result(WAIT)
    assert reload.seconds >= 2.0
    assert (reload.frames_lost, made.stats.dropped[TOO_SLOW]) == (0, 0)
    assert counted > 40


def test_a_swap_waits_for_the_frame_in_work(rig):
    begun, release = threading.Event(), threading.Event()

    class Slow(Pass):
        def process_video_async(self, frame):
            begun.set()
            release.wait(WAIT)
            return frame

    made = rig(Slow)
    made.send(segments(0.5)[0])
    assert begun.wait(WAIT)
    with ThreadPoolExecutor(1) as pool:
        swapping = pool.submit(made.slot.replace, Pass)
        until(lambda: made.slot.reloads == 1)
        assert not swapping.done() and not made.retired
        release.set()
        swapping.result(WAIT)
        assert not made.retired, "it may be needed again"
        until(lambda: len(made.retired) == 1)
    made.end()
    assert len(made.receive()[0]) == 15


def test_a_swap_after_the_last_frame_retires_the_old_processor(rig):
    made = rig(Pass)
    assert len(made.through(segments(0.5)[0])[0]) == 15
    old = made.slot.current
    made.slot.replace(Pass)
    made.slot.accept()
    assert made.retired == [old]


def test_newest_shows_the_last_picture_before_and_after(rig):
    class Black(Pass):
        async def process_video_async(self, frame):
            return frame.replace_array(np.zeros_like(frame.array))

    made = rig(Black)
    made.through(segments(0.5)[0])
    before, after = made.pipeline.newest
    assert number_of(before) == 14
    assert after.array.max() < 5


def test_a_processor_that_never_waits_takes_new_parameters_between_two_frames(rig):
    class Busy(FrameProcessor):
        class Params(BaseModel):
            level: int = 0

        seen: ClassVar[list[int]] = []
        begun = threading.Event()

        def process_video_async(self, frame):
            self.seen.append(self.params.level)
            if len(self.seen) == 20:  # by now, the next frame is always there
                self.begun.set()
            time.sleep(0.01)
            return frame

    made = rig(Busy)
    made.send(*segments(4))
    assert Busy.begun.wait(WAIT)
    made.slot.apply({"level": 1}).result(WAIT)
    at = len(Busy.seen)
    made.end()
    made.receive()
    assert at < len(Busy.seen) == 120 and set(Busy.seen[at:]) == {1}
