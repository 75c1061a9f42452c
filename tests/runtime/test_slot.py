"""The slot: loading, replacing, parameters and hooks, and what is left behind. With frames: test_session.py."""

from __future__ import annotations

import asyncio
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from kit import WAIT, ours, until
from pydantic import BaseModel, Field

from byoc_nb.params import ParamsError
from byoc_nb.processor import FrameProcessor
from byoc_nb.runtime import slot as slot_module
from byoc_nb.runtime.host import Host, ProcessorExited
from byoc_nb.runtime.slot import ProcessorSlot

pytestmark = pytest.mark.usefixtures("no_thread_left")


class Plain(FrameProcessor):
    calls: list

    def __init__(self):
        self.calls = []

    async def on_stream_start(self, params):
        self.calls.append(("start", params))

    async def on_stream_stop(self):
        self.calls.append("stop")

    def shutdown(self):
        self.calls.append("shutdown")

    def update_params(self, params):
        self.calls.append(("update", params))

    async def process_video_async(self, frame):
        return frame


class Tuned(Plain):
    class Params(BaseModel):
        strength: float = Field(0.5, ge=0, le=1)
        mode: str = "soft"


class FakeStream:
    """What the slot needs of a stream, without any frames."""

    def __init__(self, slot, params=()):
        self.slot, self.params, self.old = slot, dict(params), []

    def frames_dropped(self):
        return 0

    def publish_data(self, value):
        return False

    def newest_input(self):
        return None

    def hangs(self):
        return False

    def exchanged(self):
        pass

    def retire(self, old):
        old.close_soon()

    def swapped(self, old):
        self.old.append(old)
        done = threading.Event()
        done.set()
        return done


@pytest.fixture
def slot():
    slot = ProcessorSlot()
    yield slot
    slot.close()


def load(slot, target):
    asyncio.run(slot.load(target))
    return slot.current.processor.instance


def in_thread(work, *args):
    pool = ThreadPoolExecutor(1)
    future = pool.submit(work, *args)
    pool.shutdown(wait=False)
    return future


# ---- loading


def test_the_processor_is_built_and_loaded_on_its_own_thread(slot):
    threads = []

    class Seen(Plain):
        def __init__(self):
            threads.append(threading.current_thread().name)

        async def load_model(self):
            threads.append(threading.current_thread().name)

    load(slot, Seen)
    assert threads == ["byoc-processor", "byoc-processor"]
    assert ours() == ["byoc-processor"]


@pytest.mark.parametrize("where", ["__init__", "load_model"])
@pytest.mark.parametrize("error", [ValueError("no weights"), SystemExit(3), KeyboardInterrupt()])
def test_a_load_that_fails_says_why_and_leaves_no_thread(slot, where, error):
    def fail(self):
        raise error

    broken = type("Broken", (Plain,), {where: fail})
    with pytest.raises(ValueError if isinstance(error, ValueError) else ProcessorExited) as caught:
        load(slot, broken)
    assert type(error).__name__ in repr(caught.value)
    assert slot.current is None
    until(lambda: not ours())


def test_giving_up_a_load_that_blocks_returns_at_once(slot):
    begun, release = threading.Event(), threading.Event()

    class Slow(Plain):
        def load_model(self):
            begun.set()
            release.wait(WAIT)

    async def give_up():
        loading = asyncio.create_task(slot.load(Slow))
        await asyncio.to_thread(begun.wait, WAIT)
        loading.cancel()
        async with asyncio.timeout(1.0):
            await asyncio.wait([loading])

    asyncio.run(give_up())
    release.set()


# ---- replacing without a stream


def test_replacing_while_nothing_runs_ends_the_old_thread(slot):
    old = load(slot, Plain)
    reload = slot.replace(Tuned)
    assert slot.current.processor.name == reload.name == "tuned"
    assert (slot.reloads, old.calls) == (1, [])
    assert "0 frames lost" in str(reload) and "params kept" in str(reload)
    assert ours() == ["byoc-processor"]


@pytest.mark.parametrize("where", ["__init__", "load_model", "on_stream_start"])
@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_a_replacement_that_fails_leaves_the_old_one_and_no_thread(slot, where, error):
    def fail(self, *args):
        raise error("not today")

    async def scenario():
        await slot.load(Plain)
        old = slot.current
        await slot.open_stream(FakeStream(slot))
        with pytest.raises(ValueError if error is ValueError else ProcessorExited, match="not today"):
            await asyncio.to_thread(slot.replace, type("Broken", (Plain,), {where: fail}))
        assert slot.current is old
        assert (slot.reloads, old.processor.instance.calls) == (0, [("start", {})])
        assert old.submit(asyncio.sleep(0, "alive")).result(WAIT) == "alive"
        slot.close_stream()

    asyncio.run(scenario())
    until(lambda: ours() == ["byoc-processor"])


def test_a_replacement_that_takes_too_long_is_given_up(slot):
    release = threading.Event()

    class Slow(Plain):
        def load_model(self):
            release.wait(WAIT)

    old = load(slot, Plain)
    with pytest.raises(TimeoutError):
        slot.replace(Slow, timeout=0.05)
    assert slot.current.processor.instance is old
    release.set()


def test_two_replacements_at_once_come_one_after_the_other(slot):
    load(slot, Plain)
    first = in_thread(slot.replace, type("First", (Plain,), {}))
    second = in_thread(slot.replace, type("Second", (Plain,), {}))
    assert {first.result(WAIT).name, second.result(WAIT).name} == {"first", "second"}
    assert slot.reloads == 2
    assert ours() == ["byoc-processor"]


def test_closing_while_a_replacement_loads_gives_it_up(slot):
    begun, release = threading.Event(), threading.Event()

    class Slow(Plain):
        def load_model(self):
            begun.set()
            release.wait(WAIT)

    load(slot, Plain)
    replacing = in_thread(slot.replace, Slow)
    assert begun.wait(WAIT)
    slot.close()  # does not wait for it
    assert slot.current is None
    release.set()
    with pytest.raises(ProcessorExited):
        replacing.result(WAIT)
    until(lambda: not ours())


def test_a_processor_that_blocks_for_ever_is_left_behind_and_logged(slot, monkeypatch, caplog):
    monkeypatch.setattr(slot_module, "HOOK_SECONDS", 0.05)
    load(slot, Plain)
    release = threading.Event()

    async def block():
        release.wait(WAIT)

    slot.current.submit(block())
    slot.close()
    assert "still blocks its thread" in caplog.text
    release.set()


# ---- parameters


def test_parameters_are_carried_by_name_and_the_others_are_named(slot):
    class Other(Plain):
        class Params(BaseModel):
            strength: float = Field(0.1, ge=0, le=0.4)
            mode: str = "hard"
            extra: int = 3

    load(slot, Tuned)
    slot.apply({"strength": 0.9, "mode": "x"}).result(WAIT)
    reload = slot.replace(Other)
    values = slot.current.processor.values
    assert (values.strength, values.mode, values.extra) == (0.4, "x", 3)
    assert reload.params_changed == {"strength": "0.9 → 0.4"}
    assert "params: strength 0.9 → 0.4" in str(reload)
    assert slot.current.processor.instance.calls == [("update", {"strength": 0.4, "mode": "x"})]


def test_a_raw_dict_of_parameters_is_carried_too(slot):
    load(slot, Plain)
    slot.apply({"prompt": "cat"}).result(WAIT)
    slot.replace(type("Next", (Plain,), {}))
    assert slot.current.processor.values == {"prompt": "cat"}


def test_what_params_refuse_changes_nothing(slot):
    instance = load(slot, Tuned)
    with pytest.raises(ParamsError) as caught:
        slot.apply({"strength": 7})
    assert list(caught.value.errors) == ["strength"]
    assert (instance.params.strength, instance.calls) == (0.5, [])


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_a_hook_that_refuses_keeps_the_old_values_and_the_thread(slot, error):
    class Refuses(Tuned):
        def update_params(self, params):
            raise error("not that")

    instance = load(slot, Refuses)
    with pytest.raises((ValueError, ProcessorExited), match="not that"):
        slot.apply({"strength": 0.9}).result(WAIT)
    assert instance.params.strength == 0.5
    assert slot.current.thread.alive


def test_updates_that_wait_for_a_busy_processor_all_count(slot):
    """The second is checked before the first is applied; it must not bring the first one's old value back."""
    instance = load(slot, Tuned)
    begun, release = threading.Event(), threading.Event()

    async def busy():
        begun.set()
        release.wait(WAIT)

    slot.current.submit(busy())
    assert begun.wait(WAIT)
    first, second = slot.apply({"strength": 0.9}), slot.apply({"mode": "hard"})
    release.set()
    first.result(WAIT)
    second.result(WAIT)
    assert (instance.params.strength, instance.params.mode) == (0.9, "hard")


def test_an_update_that_fails_late_does_not_undo_the_next(slot):
    gate = threading.Event()

    class Slow(Tuned):
        async def update_params(self, params):
            if "strength" in params:
                await asyncio.to_thread(gate.wait, WAIT)
                raise ValueError("too late")

    instance = load(slot, Slow)
    first, second = slot.apply({"strength": 0.9}), slot.apply({"mode": "hard"})
    gate.set()
    with pytest.raises(ValueError, match="too late"):
        first.result(WAIT)
    second.result(WAIT)
    assert (instance.params.strength, instance.params.mode) == (0.5, "hard")


def test_without_a_processor_there_is_nothing_to_apply(slot):
    assert slot.apply({"x": 1}).result(WAIT) is None


# ---- streams and their hooks


async def test_hooks_are_called_once_and_in_order(slot):
    await slot.load(Plain)
    host = await slot.open_stream(FakeStream(slot, {"a": 1}))
    assert slot.close_stream() is host
    for _ in range(2):
        await host.end_stream()
    assert host.processor.instance.calls == [("start", {"a": 1}), "stop", "shutdown"]


async def test_a_processor_without_a_stream_is_not_stopped(slot):
    await slot.load(Plain)
    await slot.current.end_stream()
    assert slot.current.processor.instance.calls == []


@pytest.mark.parametrize("error", [ValueError, SystemExit])
async def test_a_start_hook_that_fails_leaves_the_slot_ready(slot, error):
    class Fails(Plain):
        async def on_stream_start(self, params):
            if params.get("fail"):
                raise error("not today")

    await slot.load(Fails)
    with pytest.raises((ValueError, ProcessorExited), match="not today"):
        await slot.open_stream(FakeStream(slot, {"fail": True}))
    await slot.current.end_stream()
    assert slot.current.processor.instance.calls == []
    assert await slot.open_stream(FakeStream(slot)) is slot.current


@pytest.mark.parametrize("error", [ValueError, SystemExit])
async def test_a_stop_hook_that_fails_is_logged_and_shutdown_still_runs(slot, error, caplog):
    class Fails(Plain):
        async def on_stream_stop(self):
            raise error("not that way")

    await slot.load(Fails)
    host = await slot.open_stream(FakeStream(slot))
    await host.end_stream()
    assert host.processor.instance.calls == [("start", {}), "shutdown"]
    assert "a stop hook of fails raised" in caplog.text
    assert host.thread.alive


async def test_a_stop_hook_that_hangs_is_given_up(slot, monkeypatch, caplog):
    monkeypatch.setattr(slot_module, "HOOK_SECONDS", 0.05)

    class Hangs(Plain):
        async def on_stream_stop(self):
            await asyncio.Event().wait()

    await slot.load(Hangs)
    host = await slot.open_stream(FakeStream(slot))
    await host.end_stream()
    assert "took over" in caplog.text


async def test_stopping_a_processor_whose_thread_is_gone_is_silent(slot, caplog):
    await slot.load(Plain)
    host = await slot.open_stream(FakeStream(slot))
    host.close()
    await host.end_stream()
    assert not caplog.records


async def test_a_stream_that_ends_while_the_new_processor_starts_gets_its_stop_there(slot):
    stream, news = FakeStream(slot), []

    class New(Plain):
        async def on_stream_start(self, params):
            await super().on_stream_start(params)
            news.append(self)
            slot.close_stream()

    await slot.load(Plain)
    await slot.open_stream(stream)
    await asyncio.to_thread(slot.replace, New)
    assert news[0].calls == [("start", {}), "stop", "shutdown"]
    assert stream.old == []


async def test_a_stream_that_begins_while_the_new_processor_loads_reaches_it(slot):
    begun, release = threading.Event(), threading.Event()

    class New(Plain):
        def load_model(self):
            begun.set()
            release.wait(WAIT)

    await slot.load(Plain)
    old, stream = slot.current, FakeStream(slot, {"a": 1})
    replacing = asyncio.create_task(asyncio.to_thread(slot.replace, New))
    await asyncio.to_thread(begun.wait, WAIT)
    assert await slot.open_stream(stream) is old
    release.set()
    await replacing
    assert slot.current.processor.instance.calls == [("start", {"a": 1})]
    assert stream.old == [old]
    old.close()


async def test_no_stream_opens_without_a_processor(slot):
    with pytest.raises(RuntimeError, match="no processor"):
        await slot.open_stream(FakeStream(slot))


def test_a_host_whose_thread_is_gone_refuses_work():
    host = Host(Plain)
    host.close()
    with pytest.raises(ProcessorExited):
        host.submit(host.build())
    assert sys.exc_info() == (None, None, None)
