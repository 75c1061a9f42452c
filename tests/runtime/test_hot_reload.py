"""Exchanging processors while video runs: kept state, undone failures, hangs, released memory."""

import gc
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
from kit import WAIT, number_of, segments, until
from pydantic import BaseModel, Field
from test_pipeline import Pass, rig  # noqa: F401

from byoc_nb.runtime import watchdog
from byoc_nb.runtime.pipeline import HUNG
from byoc_nb.runtime.reload import TRIAL_FRAMES
from byoc_nb.runtime.slot import ProcessorSlot
from byoc_nb.takeover import StateDoesNotFit


class Live:
    """A rig that gets one picture after another until it is told to end; `numbers` are those that come out."""

    def __init__(self, made, fps=60, seconds=4.0):
        self.made, self._over = made, threading.Event()
        self._data = b"".join(segments(seconds, audio=False))
        self._pause, self._pictures = 1 / fps, round(seconds * 30)
        self._pool = ThreadPoolExecutor(2)
        self._receiving = self._pool.submit(made.receive)
        self._playing = self._pool.submit(self._play)

    def _play(self):
        step = -(-len(self._data) // 188 // self._pictures) * 188
        for start in range(0, len(self._data), step):
            self.made.send(self._data[start : start + step])
            if self._over.wait(self._pause):
                break
        self.made.end()

    def finish(self):
        """End now; the numbers of all pictures that came out."""
        self._over.set()
        self._playing.result(WAIT)
        pictures, _ = self._receiving.result(WAIT)
        self._pool.shutdown()
        return [number_of(frame) for frame in pictures]

    def finish_whole(self):
        """End now; every picture came out, once and in order."""
        numbers = self.finish()
        assert numbers == list(range(len(numbers)))
        assert len(numbers) >= self.made.stats.frames_in - 1
        assert not self.made.stats.dropped

    def some(self, frames=3):
        """Let some more pictures through."""
        stats = self.made.stats
        target = stats.frames_in + frames
        until(lambda: stats.frames_in >= target)


class Model(Pass):
    """Loads something and counts its frames."""

    loads: list

    def load_model(self):
        self.model = object()
        self.frames = 0
        self.loads.append(self)

    async def process_video_async(self, frame):
        self.frames += 1
        return frame


def version(label, base=Model, **members):
    return type(label, (base,), members)


# ---- kept


def test_a_hundred_kept_swaps_cost_no_frame_and_no_state(rig):  # noqa: F811
    loads = []
    made = rig(version("V0", loads=loads), policy="live")
    live = Live(made, fps=60, seconds=12.0)
    until(lambda: loads and getattr(loads[0], "frames", 0) > 2)
    model, state = loads[0].model, loads[0]
    for number in range(1, 101):
        made.slot.keep(version(f"V{number}", loads=loads))
        live.some(1)
    numbers = live.finish()
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 100
    assert len(loads) == 1
    assert made.instance is state
    assert made.instance.model is model
    assert type(made.instance).__name__ == "V100"
    assert made.instance.frames == len(numbers)
    assert made.slot.reloads == 100
    assert made.stats.dropped == {}


def test_a_kept_swap_happens_between_two_frames_of_an_async_processor(rig):  # noqa: F811
    """Also where the frame in work is only waiting for something."""
    import asyncio

    seen, begun = [], threading.Event()

    class Old(Pass):
        label = "old"

        async def process_video_async(self, frame):
            before = self.label
            begun.set()
            await asyncio.sleep(0.05)
            seen.append((before, self.label))
            return frame

    made = rig(Old)
    made.send(segments(0.5, audio=False)[0])
    assert begun.wait(WAIT)
    made.slot.keep(type("New", (Old,), {"label": "new"}))
    made.end()
    made.receive()
    assert set(seen) == {("old", "old"), ("new", "new")}
    assert len(seen) == 15


def test_parameters_stay_and_those_beyond_new_limits_are_told(rig):  # noqa: F811
    class Old(Pass):
        class Params(BaseModel):
            strength: float = Field(0.5, ge=0, le=1)
            mode: str = "soft"

    class New(Pass):
        class Params(BaseModel):
            strength: float = Field(0.1, ge=0, le=0.4)
            extra: int = 3

    made = rig(Old)
    made.slot.apply({"strength": 0.9, "mode": "x"}).result(WAIT)
    reload = made.slot.keep(New)
    assert reload.params_changed == {"strength": "0.9 → 0.4", "mode": "no longer declared"}
    assert made.instance.params == New.Params(strength=0.4)
    made.slot.apply({"extra": 4}).result(WAIT)
    assert made.instance.params.extra == 4


def test_a_state_that_does_not_fit_is_refused_and_nothing_has_changed(rig):  # noqa: F811
    class Slots:
        __slots__ = ("a",)

    made = rig(Model.__class__("Old", (Model,), {"loads": []}))
    instance = made.instance
    other = type("Other", (Slots, Pass), {"__slots__": ("b",)})
    with pytest.raises(TypeError):
        made.slot.keep(other)
    assert made.instance is instance
    assert type(instance).__name__ == "Old"
    assert len(made.through(segments(0.5)[0])[0]) == 15


def test_stream_hooks_run_again_when_they_changed(rig):  # noqa: F811
    calls = []

    def hooks(label):
        return {
            "on_stream_start": lambda self, params: calls.append(f"{label} starts"),
            "on_stream_stop": lambda self: calls.append(f"{label} stops"),
        }

    made = rig(version("One", loads=[], **hooks("one")))
    made.slot.keep(version("Two", loads=[], **hooks("two")))
    assert calls == ["one starts"], "the stream goes on, and so does the state"
    made.slot.keep(version("Three", loads=[], **hooks("three")), hooks_changed=True)
    assert calls == ["one starts", "two stops", "three starts"]


# ---- undone


def raising(self, frame):
    raise ValueError("first frames")


@pytest.mark.parametrize("way", ["keep", "replace"])
def test_a_processor_that_fails_in_its_first_frames_is_taken_back(rig, way, caplog):  # noqa: F811
    loads, stops = [], []
    made = rig(version("Good", loads=loads, on_stream_stop=lambda self: stops.append(1)), policy="live")
    live = Live(made)
    live.some()
    good, model = made.instance, made.instance.model
    # The picture that a new one is tried with goes well, the stream's do not
    members = {"loads": loads, "process_video_async": raising}
    if way == "replace":
        tried = []
        members["process_video_async"] = lambda self, frame: raising(self, frame) if tried else tried.append(frame)
    reload = getattr(made.slot, way)(version("Bad", **members))
    assert reload.wait(WAIT)
    assert "ValueError: first frames" in reload.rolled_back
    until(lambda: made.instance is good)
    seen = good.frames
    until(lambda: good.frames > seen + 3)
    assert (type(good).__name__, good.model) == ("Good", model)
    assert stops == [], "its stream never stopped"
    assert made.slot.reloads == 0
    live.finish_whole()
    assert [record.levelname for record in caplog.records if "taken back" in record.getMessage()] == ["WARNING"]


def test_what_the_failing_code_did_to_the_attributes_is_undone(rig):  # noqa: F811
    made = rig(version("Good", loads=[]), policy="live")
    live = Live(made)
    live.some()

    def spoil(self, frame):
        self.frames, self.junk = None, 1
        raise ValueError("spoilt")

    assert made.slot.keep(version("Bad", loads=[], process_video_async=spoil)).wait(WAIT)
    live.some()
    live.finish()
    assert isinstance(made.instance.frames, int)
    assert not hasattr(made.instance, "junk")


def test_after_ten_good_frames_the_old_one_is_released(rig):  # noqa: F811
    made = rig(version("Old", loads=[]), policy="live")
    live = Live(made)
    live.some()
    old = made.slot.current
    reload = made.slot.replace(version("New", loads=[]))
    assert reload.wait(WAIT)
    until(lambda: made.retired == [old])
    assert made.instance.frames >= TRIAL_FRAMES
    live.finish()


@pytest.mark.parametrize("where", ["__init__", "load_model", "on_stream_start", "process_video_async"])
def test_a_new_one_that_fails_before_its_swap_never_serves(rig, where):  # noqa: F811
    def fail(self, *args):
        raise RuntimeError(where)

    made = rig(version("Good", loads=[]), policy="live")
    live = Live(made)
    live.some()
    good = made.instance
    with pytest.raises(RuntimeError, match=where):
        made.slot.replace(version("Bad", loads=[], **{where: fail}))
    assert made.instance is good
    live.finish_whole()
    assert made.stats.error_count == 0


def test_an_endless_loop_while_loading_ends_with_the_wait_for_it(rig, monkeypatch, request):  # noqa: F811
    monkeypatch.setattr("byoc_nb.runtime.host.HOOK_SECONDS", 0.2)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)  # as the notebook has it
    request.addfinalizer(lambda: sys.setswitchinterval(interval))
    ended = threading.Event()

    def spin(self):
        try:
            while True:
                pass
        finally:
            ended.set()

    made = rig(version("Good", loads=[]), policy="live")
    live = Live(made, fps=30)
    live.some()
    with pytest.raises(TimeoutError):
        made.slot.replace(version("Endless", loads=[], load_model=spin), timeout=0.3)
    assert ended.wait(WAIT), "the loop doesn't go on in the background"
    live.finish_whole()


# ---- load-time parameters


class Sized(Pass):
    class Params(BaseModel):
        size: int = Field(1, json_schema_extra={"load": True})
        strength: float = 0.5

    def load_model(self):
        self.model = [0] * self.params.size


def test_a_load_time_parameter_loads_another_processor_with_it(rig):  # noqa: F811
    made = rig(Sized, policy="live")
    live = Live(made)
    live.some()
    first = made.instance
    made.slot.apply({"strength": 0.9}).result(WAIT)
    assert made.instance is first
    made.slot.apply({"size": 3}).result(WAIT)
    assert made.instance is not first
    assert made.instance.model == [0, 0, 0]
    assert made.instance.params == Sized.Params(size=3, strength=0.9)
    live.finish_whole()


def test_a_load_time_parameter_that_fails_keeps_the_old_value(rig):  # noqa: F811
    class Picky(Sized):
        def load_model(self):
            if self.params.size > 2:
                raise MemoryError("too big")

    made = rig(Picky)
    first = made.instance
    with pytest.raises(MemoryError):
        made.slot.apply({"size": 3}).result(WAIT)
    assert made.instance is first
    assert first.params.size == 1


# ---- memory


def test_the_old_one_can_be_freed_before_the_new_one_loads(rig):  # noqa: F811
    alive = []

    class Big(Pass):
        def load_model(self):
            gc.collect()
            alive.append(sum(ref() is not None for ref in models))
            self.model = np.ones(1000)
            models.append(weakref.ref(self.model))

    models = []
    made = rig(Big, policy="live")
    made.retire = lambda host: host.close_soon()
    live = Live(made)
    live.some()
    made.slot.apply({"a": 1}).result(WAIT)
    made.slot.replace(type("Bigger", (Big,), {}))
    made.slot.accept()
    made.slot.replace(type("Biggest", (Big,), {}), free_first=True)
    assert alive == [0, 1, 0], "the last one was alone"
    assert made.slot.current.processor.values == {"a": 1}
    live.finish_whole()


def test_if_the_new_one_fails_the_freed_one_is_loaded_again(rig):  # noqa: F811
    def fail(self):
        raise ValueError("no weights")

    loads = []
    made = rig(version("Old", loads=loads), policy="live")
    live = Live(made)
    live.some()
    with pytest.raises(ValueError, match="no weights"):
        made.slot.replace(version("New", loads=loads, load_model=fail), free_first=True)
    assert type(made.instance).__name__ == "Old"
    assert len(loads) == 2
    live.finish()


def test_nothing_of_a_replaced_processor_stays_in_memory(rig):  # noqa: F811
    made = rig(version("Old", loads=[]), policy="live")
    live = Live(made)
    live.some()
    gone = [weakref.ref(made.instance), weakref.ref(type(made.instance)), weakref.ref(made.slot.current)]
    made.instance.loads.clear()
    made.retire = lambda host: host.close_soon()
    reload = made.slot.replace(version("New", loads=[]))
    assert reload.wait(WAIT)

    def collected():
        gc.collect()
        return [ref() for ref in gone] == [None] * 3

    until(collected)
    live.finish()


def test_many_reloads_of_a_big_model_need_the_memory_of_one():
    class Big(Pass):
        def load_model(self):
            self.model = np.ones(25_000_000)  # 200 MB

    import asyncio

    slot = ProcessorSlot()
    asyncio.run(slot.load(Big))
    process = psutil.Process()
    slot.replace(type("Big1", (Big,), {}))
    gc.collect()
    one = process.memory_info().rss
    for number in range(50):
        slot.replace(type(f"Big{number}", (Big,), {}))
    gc.collect()
    grown = process.memory_info().rss - one
    slot.close()
    assert grown < 0.05 * one


# ---- hangs


def test_a_processor_that_hangs_is_told_with_its_line_and_passed_by(rig, monkeypatch, caplog):  # noqa: F811
    monkeypatch.setattr(watchdog, "HANG_SECONDS", 0.3)
    release, seen = threading.Event(), []

    class Hangs(Pass):
        def process_video_async(self, frame):
            seen.append(number_of(frame))
            if len(seen) == 5:
                release.wait(WAIT)
            return frame

    made = rig(Hangs, policy="live")
    live = Live(made, fps=60, seconds=4.0)
    until(lambda: made.pipeline.hanging)
    live.some(20)
    assert made.pipeline.newest[0] is made.pipeline.newest[1], "what passes by is what is seen"
    assert "release.wait(WAIT)" in made.stats.last_error
    assert "for over" in made.stats.last_error
    assert "in process_video_async" in caplog.text
    release.set()
    until(lambda: len(seen) > 8)
    numbers = live.finish()
    assert not made.pipeline.hanging
    assert 4 not in numbers
    assert numbers[-30:] == list(range(numbers[-1] - 29, numbers[-1] + 1))
    assert made.stats.dropped[HUNG] == 1


def test_one_that_hangs_is_replaced_at_once(rig, monkeypatch):  # noqa: F811
    monkeypatch.setattr(watchdog, "HANG_SECONDS", 0.3)
    release = threading.Event()

    class Hangs(Pass):
        def process_video_async(self, frame):
            release.wait(WAIT)
            return frame

    made = rig(Hangs, policy="live")
    live = Live(made)
    until(lambda: made.pipeline.hanging)
    at = time.monotonic()
    with pytest.raises(TimeoutError):
        made.slot.keep(Pass)
    made.slot.replace(version("New", loads=[]))
    assert time.monotonic() - at < 3.0
    until(lambda: made.instance.frames > 3)
    release.set()
    numbers = live.finish()
    assert numbers == sorted(numbers)
    assert len(numbers) + made.frames_dropped() + made.stats.dropped[HUNG] == made.stats.frames_in


def test_compiled_and_plain_modules_survive_a_kept_swap(rig):  # noqa: F811
    import torch

    class Nets(Pass):
        def load_model(self):
            self.plain = torch.nn.Linear(3, 3)
            self.compiled = torch.compile(torch.nn.Linear(3, 3), backend="eager")

        def process_video_async(self, frame):
            with torch.no_grad():
                self.seen = self.compiled(self.plain(frame.tensor)).shape
            return frame

    made = rig(Nets, policy="live")
    live = Live(made, fps=30)
    until(lambda: hasattr(made.instance, "seen"))
    plain, compiled = made.instance.plain, made.instance.compiled
    reload = made.slot.keep(type("Nets2", (Nets,), {}))
    assert reload.wait(WAIT)
    live.finish()
    assert (made.instance.plain, made.instance.compiled) == (plain, compiled)
    assert made.stats.error_count == 0


# ---- found by trying to break it


def test_a_processor_without_params_keeps_its_dict(rig):  # noqa: F811
    from byoc_nb import FrameProcessor

    class Free(FrameProcessor):
        def process_video_async(self, frame):
            self.params.get("gain", 1)
            return frame

    made = rig(Free, policy="live")
    live = Live(made)
    live.some()
    assert made.slot.keep(type("Free2", (Free,), {})).wait(WAIT)
    made.slot.apply({"gain": 3}).result(WAIT)
    assert made.slot.keep(type("Free3", (Free,), {})).wait(WAIT)
    assert made.instance.params == {"gain": 3}
    live.finish_whole()
    assert made.stats.error_count == 0


def test_slots_are_no_state_to_take_over(rig):  # noqa: F811
    made = rig(type("Bare", (), {"__slots__": ("m",), "process": lambda self, frame: frame}))
    with pytest.raises(StateDoesNotFit):
        made.slot.keep(type("Bare2", (), {"__slots__": ("m",), "process": lambda self, frame: frame}))


def hooks(label, calls, **more):
    return {
        "loads": [],
        "on_stream_start": lambda self, params: calls.append(f"{label} start"),
        "on_stream_stop": lambda self: calls.append(f"{label} stop"),
        **more,
    }


def test_taking_back_code_with_other_hooks_runs_the_old_ones_again(rig):  # noqa: F811
    calls = []
    made = rig(version("One", **hooks("one", calls)), policy="live")
    live = Live(made)
    live.some()
    bad = version("Two", **hooks("two", calls, process_video_async=raising))
    assert made.slot.keep(bad, hooks_changed=True).wait(WAIT)
    until(lambda: len(calls) == 5)
    assert calls == ["one start", "one stop", "two start", "two stop", "one start"]
    live.finish_whole()


def test_a_defect_in_the_old_stop_hook_does_not_keep_it_in_force(rig, caplog):  # noqa: F811
    calls = []

    def stop(self):
        raise ValueError("old hook")

    made = rig(version("Old", **hooks("old", calls, on_stream_stop=stop)))
    made.slot.keep(version("New", **hooks("new", calls)), hooks_changed=True)
    assert type(made.instance).__name__ == "New"
    assert calls == ["old start", "new start"]
    assert "old hook" in caplog.text


def test_parameters_that_change_while_another_one_loads_are_in_force_afterwards(rig):  # noqa: F811
    class Slow(Sized):
        def load_model(self):
            time.sleep(0.3)

    made = rig(Slow)
    for changes in ({"size": 3}, {"strength": 0.9}, {"size": 5}, {"size": 4}):
        last = made.slot.apply(changes)
    last.result(WAIT)
    until(lambda: (made.instance.params.size, made.instance.params.strength) == (4, 0.9))


@pytest.mark.parametrize("way", ["keep", "replace"])
def test_parameters_that_change_during_a_trial_survive_its_end(rig, way):  # noqa: F811
    gate = threading.Event()

    class Good(Sized):
        def process_video_async(self, frame):
            return frame

    class Bad(Good):
        tried = False

        def process_video_async(self, frame):
            if way == "replace" and not self.tried:
                self.tried = True
                return frame
            gate.wait(WAIT)
            raise ValueError("bad")

    made = rig(Good, policy="live")
    live = Live(made)
    live.some()
    reload = getattr(made.slot, way)(Bad)
    changing = made.slot.apply({"strength": 0.9})
    gate.set()
    changing.result(WAIT)
    assert reload.wait(WAIT)
    assert reload.rolled_back
    until(lambda: made.instance.params.strength == 0.9)
    assert type(made.instance).__name__ == "Good"
    live.finish()


def test_a_limit_that_came_nearer_is_told_to_the_processor(rig):  # noqa: F811
    class Old(Pass):
        class Params(BaseModel):
            strength: float = Field(0.5, le=1)

        def update_params(self, params):
            self.table = params["strength"]

    class Lower(Old):
        class Params(BaseModel):
            strength: float = Field(0.2, le=0.4)

    made = rig(Old)
    made.slot.apply({"strength": 0.9}).result(WAIT)

    assert made.slot.keep(Lower).params_changed == {"strength": "0.9 → 0.4"}
    assert made.instance.table == 0.4


def test_an_interrupt_while_the_old_frame_is_waited_for_undoes_the_swap(rig):  # noqa: F811
    """What Ctrl-C in a cell does, wherever the wait is."""
    begun, release = threading.Event(), threading.Event()

    class Slow(Pass):
        def process_video_async(self, frame):
            begun.set()
            release.wait(WAIT)
            return frame

    made = rig(Slow)
    made.send(segments(0.5, audio=False)[0])
    assert begun.wait(WAIT)
    old = made.slot.current

    class Interrupted(threading.Event):
        def wait(self, timeout=None):
            raise KeyboardInterrupt

    swapped = made.pipeline.swapped
    made.swapped = lambda host: (swapped(host), Interrupted())[1] if host is old else swapped(host)
    with pytest.raises(KeyboardInterrupt):
        made.slot.replace(Pass)
    assert made.slot.current is old
    assert made.slot.reloads == 0
    release.set()
    made.end()
    assert len(made.receive()[0]) == 15
    assert made.stats.error_count == 0
