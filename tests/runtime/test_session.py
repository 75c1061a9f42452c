"""A whole stream over real trickle channels: its media, its side channels, its end, and what it leaves behind."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time

import numpy as np
import pytest
from kit import (
    CLIP,
    CLOCK,
    WAIT,
    auntil,
    collect,
    collect_json,
    decode,
    number_of,
    open_sockets,
    ours,
    publish,
    segments,
)

from byoc_nb.network.source import Source
from byoc_nb.processor import FrameProcessor
from byoc_nb.runtime.requests import StreamStart
from byoc_nb.runtime.session import StreamSession
from byoc_nb.runtime.slot import ProcessorSlot
from byoc_nb.trickle import TricklePublisher

pytestmark = pytest.mark.usefixtures("no_thread_left")


class Pass(FrameProcessor):
    calls: list

    def __init__(self):
        self.calls = []

    async def on_stream_start(self, params):
        self.calls.append("start")

    async def on_stream_stop(self):
        self.calls.append("stop")

    async def process_video_async(self, frame):
        return frame


async def ignore(message):
    pass


class Desk:
    """A session on channels of a trickle server."""

    def __init__(self, trickle):
        self.trickle, self.slot, self.session = trickle, ProcessorSlot(), None

    async def start(
        self, *, target=Pass, channels=("in", "out"), policy="lossless", params=None, urls=None, control=ignore
    ):
        names = {"in": "subscribe_url", "out": "publish_url", "control": "control_url", "events": "events_url"}
        where = {names[name]: self.trickle.channel(name) for name in channels} | (urls or {})
        if self.slot.current is None:
            await self.slot.load(target)
        request = StreamStart(gateway_request_id="test", params=params, **where)
        self.session = StreamSession(request, self.slot, policy=policy)
        await self.session.start(control)
        return self.session

    @property
    def instance(self):
        return self.slot.current.processor.instance

    def url(self, name):
        return f"{self.trickle.base}/{name}"

    async def ended(self):
        await asyncio.wait_for(self.session.wait_ended(), WAIT)


@pytest.fixture
async def desk(trickle):
    made = Desk(trickle)
    yield made
    if made.session is not None and not made.session.ended:
        await made.session.stop()
    await asyncio.to_thread(made.slot.close)


async def through(desk, parts, **options):
    """Everything that comes out when these segments go in."""
    await desk.start(**options)
    reading = asyncio.create_task(collect(desk.url("out")))
    await publish(desk.url("in"), parts)
    await desk.ended()
    return decode(b"".join(await asyncio.wait_for(reading, WAIT)))


# ---- media


async def test_the_real_clip_lossless_every_frame_in_order_and_sound_in_step(desk):
    """300 pictures of 1280x720 with 5.1 sound, in real time as from the gateway."""
    input_url, count, started = desk.trickle.channel("in"), 300, asyncio.Event()
    seen = []

    class Notes(Pass):
        async def process_video_async(self, frame):
            seen.append(frame.timestamp)
            return frame

    await desk.start(target=Notes, channels=("out",), urls={"subscribe_url": input_url})
    original = asyncio.create_task(collect(input_url))
    result = asyncio.create_task(collect(desk.url("out")))
    source = Source(str(CLIP), loop=True)
    playing = asyncio.create_task(source.run(input_url))
    started.set()
    await auntil(lambda: source.frames_sent > count + 1, 30.0)
    source.stop()
    await asyncio.wait_for(playing, WAIT)
    await desk.ended()
    given, got = decode(b"".join(await original)), decode(b"".join(await result))
    pictures, sounds = got
    assert len(pictures) >= count
    assert [frame.timestamp for frame in pictures] == [frame.timestamp for frame in given[0]] == seen
    assert all(b.timestamp - a.timestamp == 3600 for a, b in itertools.pairwise(pictures))
    assert desk.session.stats.snapshot()["frames_dropped"] == 0
    assert desk.session.reason == "the input ended"
    assert abs(sum(s.nb_samples for s in sounds) - sum(s.nb_samples for s in given[1])) < 48_000 * 0.1
    envelope = [level_by_time(sounds), level_by_time(given[1])]
    length = min(map(len, envelope)) - 20
    shifts = {
        shift: np.abs(envelope[0][10 + shift : length + shift] - envelope[1][10:length]).mean()
        for shift in range(-8, 9)
    }
    assert abs(min(shifts, key=shifts.get)) <= 4, "sound within 40 ms of where it was"


def level_by_time(sounds):
    """Loudness every 10 ms of the stream's clock."""
    levels = np.zeros(2000)
    for sound in sounds:
        samples = np.abs(sound.samples[0])
        for index in range(0, sound.nb_samples, 480):
            slot = int((sound.seconds + index / sound.rate) * 100)
            if 0 <= slot < len(levels):
                levels[slot] = samples[index : index + 480].mean()
    return levels[: int(sounds[-1].seconds * 100)]


async def test_the_end_of_the_input_drains_everything_then_ends_the_output(desk):
    class Slow(Pass):
        def process_video_async(self, frame):
            time.sleep(0.005)
            return frame

    pictures, sounds = await through(desk, segments(4.0), target=Slow)
    assert [number_of(frame) for frame in pictures] == list(range(120))
    assert sounds[-1].seconds > 3.9
    assert "out" not in desk.trickle.server.names()
    assert desk.session.reason == "the input ended"


async def test_live_drops_the_oldest_and_counts_them(desk):
    class Slow(Pass):
        def process_video_async(self, frame):
            time.sleep(0.02)
            return frame

    pictures, _ = await through(desk, segments(4.0), target=Slow, policy="live")
    dropped = desk.session.stats.snapshot()["drops"]["processor too slow"]
    assert len(pictures) + dropped == 120
    assert dropped > 20
    assert number_of(pictures[-1]) == 119


async def test_width_height_and_rate_of_the_request(desk):
    pictures, _ = await through(desk, segments(2.0), params={"width": 64, "height": 64, "max_framerate": 15})
    assert {(frame.width, frame.height) for frame in pictures} == {(64, 64)}
    assert [frame.timestamp for frame in pictures] == [6000 * n for n in range(30)]


async def test_the_rate_may_change_while_the_stream_runs(desk):
    await desk.start()
    parts = segments(4.0, audio=False)
    async with TricklePublisher(desk.url("in")) as channel:
        async with await channel.next() as segment:
            await segment.write(parts[0])
        await auntil(lambda: desk.session.stats.frames_out == 60)
        desk.session.update_stream_params({"max_framerate": 10})
        async with await channel.next() as segment:
            await segment.write(parts[1])
        await auntil(lambda: desk.session.stats.frames_out == 80)
        await channel.close(delete=True)
    await desk.ended()
    assert desk.session.stats.dropped["rate"] == 40


async def test_an_input_that_was_cut_in_a_segment_goes_on_with_the_next(desk):
    """The publisher's connection breaks in mid-segment; go-livepeer's next segment begins with a key frame."""
    first, second = segments(4.0, audio=False)
    await desk.start()
    reading = asyncio.create_task(collect(desk.url("out")))
    async with TricklePublisher(desk.url("in")) as channel:
        segment = await channel.next()
        await segment.write(first[: len(first) // 2])
        await auntil(lambda: desk.session.stats.frames_out > 10)
        await segment.abort()
        async with await channel.next() as segment:
            await segment.write(second)
        await channel.close(delete=True)
    await desk.ended()
    pictures, _ = decode(b"".join(await reading))
    assert [number_of(frame) for frame in pictures[-60:]] == list(range(60, 120))


async def test_a_jump_in_the_input_costs_only_what_was_skipped(desk, monkeypatch):
    """A reader that fell out of the ring gets 470 and jumps; the decoder must hear of it."""
    gate, begun = threading.Event(), threading.Event()
    monkeypatch.setattr("byoc_nb.runtime.pipeline.WAITING_BYTES", 1000)

    class Waits(Pass):
        def process_video_async(self, frame):
            begun.set()
            gate.wait(WAIT)
            return frame

    parts = segments(24.0, audio=False)
    await desk.start(target=Waits)
    reading = asyncio.create_task(collect(desk.url("out")))
    async with TricklePublisher(desk.url("in")) as channel:
        for part in parts[:10]:
            async with await channel.next() as segment:
                await segment.write(part)
            await asyncio.to_thread(begun.wait, WAIT)  # it holds the first segment when the others come
        gate.set()
        await auntil(lambda: desk.session.stats.frames_out >= 120)
        for part in parts[10:]:
            async with await channel.next() as segment:
                await segment.write(part)
        await auntil(lambda: desk.session.stats.frames_out >= 180)
        await channel.close(delete=True)
    await desk.ended()
    numbers = [number_of(frame) for frame in decode(b"".join(await reading))[0]]
    assert all(
        frame.timestamp == 3000 * n for frame, n in zip(decode(b"".join(await reading))[0], numbers, strict=True)
    )
    assert len(numbers) < 720, "some were skipped"
    assert numbers == sorted(set(numbers))
    jumps = [b for a, b in itertools.pairwise(numbers) if b != a + 1]
    assert jumps and all(number % 60 == 0 for number in jumps), "each jump lands on a key frame and loses nothing more"


async def test_an_input_that_is_no_video_says_so_in_the_status(desk):
    await desk.start()
    await publish(desk.url("in"), [b"<html>not video</html>" * 10_000])
    await desk.ended()
    assert "no programme" in desk.session.stats.last_error
    assert "no programme" in desk.session.status_event()["inference_status"]["last_error"]
    assert desk.session.stats.error_count == 1


async def test_only_an_output_or_only_events_is_a_legal_stream(desk):
    for channels in (("out",), ("events",), ()):
        await desk.start(channels=channels)
        await asyncio.wait_for(desk.session.stop(), WAIT)


async def test_an_input_alone_is_processed_too(desk):
    await desk.start(channels=("in",))
    await publish(desk.url("in"), segments(1.0))
    await desk.ended()
    assert desk.session.stats.frames_out == 30


# ---- the end


async def end_by(desk, act, *, channels=("in", "out")):
    await desk.start(channels=channels)
    channel = TricklePublisher(desk.url("in"))
    segment = await channel.next()
    await segment.write(segments(1.0)[0])
    await auntil(lambda: desk.session.stats.frames_out == 30)
    await act()
    await desk.ended()
    await segment.abort()
    await channel.close()
    assert desk.instance.calls == ["start", "stop"]
    return desk.session.reason


async def test_deleting_the_input_channel_ends_the_stream(desk):
    async def act():
        desk.trickle.server.close("in")

    assert await end_by(desk, act) == "the input ended"


async def test_deleting_the_output_channel_ends_the_stream(desk):
    async def act():
        desk.trickle.server.close("out")
        parts = iter(segments(20.0, start=CLOCK))
        while not desk.session.ended:  # it notices with the next bytes that it sends
            await publish(desk.url("in"), [next(parts)], end=False)
            await asyncio.sleep(0.05)

    assert "the output failed" in await end_by(desk, act)


async def test_the_end_of_the_control_channel_ends_the_stream(desk):
    async def act():
        desk.trickle.server.close("control")

    assert await end_by(desk, act, channels=("in", "out", "control")) == "the control channel ended"


async def test_stop_ends_the_stream_and_leaves_the_channels_to_their_owner(desk):
    assert await end_by(desk, lambda: desk.session.stop("enough")) == "enough"
    assert "out" in desk.trickle.server.names()


async def test_stop_from_two_sides_at_once(desk):
    async def act():
        await asyncio.gather(desk.session.stop("first"), desk.session.stop("second"))
        await desk.session.stop("third")

    assert await end_by(desk, act) == "first"


@pytest.mark.parametrize(
    ("missing", "reason"), [("subscribe_url", "the input failed"), ("control_url", "control channel")]
)
async def test_a_channel_that_never_was_ends_the_stream(desk, missing, reason):
    await desk.start(urls={missing: f"{desk.trickle.base}/nothing"}, channels=("out",))
    await desk.ended()
    assert reason in desk.session.reason
    assert desk.instance.calls == ["start", "stop"]


async def test_an_output_channel_that_never_was_ends_the_stream(desk):
    await desk.start(urls={"publish_url": f"{desk.trickle.base}/nothing"}, channels=("in",))
    await publish(desk.url("in"), segments(8.0), end=False)
    await desk.ended()
    assert "the output failed" in desk.session.reason


async def test_a_refusing_events_channel_never_ends_the_media(desk):
    pictures, _ = await through(desk, segments(2.0), urls={"events_url": f"{desk.trickle.base}/nothing"})
    assert len(pictures) == 60


async def test_a_start_hook_that_fails_leaves_nothing(desk):
    class Fails(Pass):
        async def on_stream_start(self, params):
            raise ValueError("no GPU")

    with pytest.raises(ValueError, match="no GPU"):
        await desk.start(target=Fails, channels=("in", "out", "events"))
    assert ours() == ["byoc-processor"]
    assert len([task for task in asyncio.all_tasks() if "byoc_nb/runtime" in str(task)]) == 0
    desk.session = None


async def test_a_processor_that_hangs_holds_the_stop_up_for_three_seconds(desk):
    begun, release = threading.Event(), threading.Event()

    class Hangs(Pass):
        def process_video_async(self, frame):
            begun.set()
            release.wait(30)
            return frame

    await desk.start(target=Hangs)
    await publish(desk.url("in"), segments(1.0), end=False)
    await asyncio.to_thread(begun.wait, WAIT)
    at = time.monotonic()
    await desk.session.stop()
    assert 2.5 < time.monotonic() - at < 6.0
    release.set()


async def test_a_server_that_takes_no_byte_does_not_hold_up_the_stop(desk, monkeypatch):
    """The orchestrator's host hangs: connections are accepted, nothing is read or answered."""
    monkeypatch.setattr("byoc_nb.runtime.session.PROCESSOR_STOP_SECONDS", 0.5)
    monkeypatch.setattr("byoc_nb.runtime.session.LAST_BYTES_SECONDS", 0.5)
    peers = []

    async def silent(reader, writer):
        reader._transport.pause_reading()
        peers.append(writer)

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    dead = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/out"
    await desk.start(channels=("in",), urls={"publish_url": dead, "events_url": dead})
    await publish(desk.url("in"), segments(4.0), end=False)
    await auntil(lambda: desk.session.stats.frames_in > 30)
    at = time.monotonic()
    await desk.session.stop()
    assert time.monotonic() - at < 8.0
    for peer in peers:
        peer.transport.abort()
    server.close()
    await server.wait_closed()


async def test_thirty_rounds_leave_no_thread_no_task_and_no_socket(desk):
    part = segments(0.2)[0]
    tasks = None
    for number in range(30):
        await desk.start(channels=("in", "out", "control", "events"))
        async with TricklePublisher(desk.url("in")) as channel:
            async with await channel.next() as segment:
                await segment.write(part)
            await auntil(lambda: desk.session.stats.frames_out >= 6)
            await desk.session.stop()
        desk.trickle.server.close_all()
        if number == 2:
            await asyncio.sleep(0.05)
            tasks, sockets = len(asyncio.all_tasks()), open_sockets()
    assert ours() == ["byoc-processor"]
    await auntil(lambda: len(asyncio.all_tasks()) <= tasks)
    await auntil(lambda: open_sockets() <= sockets)
    assert desk.instance.calls == ["start", "stop"] * 30


# ---- replacing


async def test_hooks_over_two_quick_replacements(desk):
    calls = []

    def named(label):
        class Notes(FrameProcessor):
            async def on_stream_start(self, params):
                calls.append(f"{label} starts with {params['a']}")

            async def on_stream_stop(self):
                calls.append(f"{label} stops")

            async def process_video_async(self, frame):
                return frame

        return Notes

    await desk.start(target=named("one"), params={"a": 1})
    async with TricklePublisher(desk.url("in")) as channel, await channel.next() as segment:
        await segment.write(segments(1.0)[0])
        await auntil(lambda: desk.session.stats.frames_out == 30)
        for label in ("two", "three"):
            await asyncio.to_thread(desk.slot.replace, named(label))
        desk.slot.accept()
        await auntil(lambda: "two stops" in calls)
        await desk.session.stop()
    starts = [call for call in calls if "starts" in call]
    assert starts == ["one starts with 1", "two starts with 1", "three starts with 1"]
    assert sorted(call for call in calls if "stops" in call) == ["one stops", "three stops", "two stops"]
    assert calls.index("two starts with 1") < calls.index("one stops"), "the new one is ready before the old one goes"
    await auntil(lambda: ours() == ["byoc-processor"])


async def test_replacing_and_stopping_at_once_runs_each_hook_once(desk):
    calls = []

    class Notes(Pass):
        async def on_stream_start(self, params):
            calls.append(("start", id(self)))

        async def on_stream_stop(self):
            calls.append(("stop", id(self)))

    for _ in range(8):
        await desk.start(target=Notes)
        replacing = asyncio.create_task(asyncio.to_thread(desk.slot.replace, type("Notes", (Notes,), {"kept": calls})))
        await asyncio.sleep(0)
        await asyncio.wait_for(desk.session.stop(), WAIT)
        await asyncio.wait_for(replacing, WAIT)
        desk.trickle.server.close_all()
    await auntil(lambda: ours() == ["byoc-processor"])
    starts = [who for what, who in calls if what == "start"]
    stops = [who for what, who in calls if what == "stop"]
    assert sorted(starts) == sorted(stops)


# ---- events, control, status


async def test_events_tell_the_life_of_a_stream(desk):
    found, seen = [], []

    async def control(message):
        seen.append(message)

    class Slow(Pass):
        async def on_stream_start(self, params):
            await asyncio.to_thread(loaded.wait, WAIT)

    loaded = threading.Event()
    events = desk.trickle.channel("events")
    reading = asyncio.create_task(collect_json(events, found))
    starting = asyncio.create_task(
        desk.start(target=Slow, channels=("in", "out", "control", "events"), control=control)
    )
    await auntil(lambda: found)
    assert not starting.done(), "the first heartbeat does not wait for the warm-up"
    loaded.set()
    await starting
    async with TricklePublisher(desk.url("control")) as channel:
        async with await channel.next() as segment:
            await segment.write(b'{"keep":"alive"}')
        async with await channel.next() as segment:
            await segment.write(b'{"prompt":"dog"}')
        await auntil(lambda: seen)
    desk.session.update_stream_params({"prompt": "dog"})
    await publish(desk.url("in"), segments(1.0))
    await desk.ended()
    await auntil(lambda: found[-1]["event"]["type"] == "stream_stopped")
    reading.cancel()
    await asyncio.wait([reading])
    kinds = [item["event"]["type"] for item in found]
    assert kinds[:2] == ["heartbeat", "status"]
    assert [kind for kind in kinds if kind not in ("heartbeat", "status")] == [
        "params_updated", "receive_first_ingest_segment", "send_first_processed_segment", "stream_stopped",
    ]  # fmt: skip
    assert seen == [{"prompt": "dog"}]
    assert found[-1]["event"]["reason"] == "the input ended"


async def test_each_distinct_error_is_an_event_once(desk):
    class Raises(Pass):
        async def process_video_async(self, frame):
            raise ValueError("the cat has gone")

    found = []
    reading = asyncio.create_task(collect_json(desk.trickle.channel("events"), found))
    await desk.start(target=Raises, channels=("in", "out", "events"))
    await publish(desk.url("in"), segments(1.0))
    await desk.ended()
    await auntil(lambda: found and found[-1]["event"]["type"] == "stream_stopped")
    reading.cancel()
    await asyncio.wait([reading])
    told = [item["event"]["message"] for item in found if item["event"]["type"] == "error"]
    assert len(told) == 1
    assert "ValueError: the cat has gone" in told[0]
    assert desk.session.stats.error_count == 30


async def test_the_status_is_what_the_gateway_stores(desk):
    await desk.start(params={"prompt": "cat"})
    status = desk.session.status_event()
    assert (status["state"], status["pipeline"]) == ("OFFLINE", "pass")
    async with TricklePublisher(desk.url("in")) as channel, await channel.next() as segment:
        await segment.write(segments(1.0)[0])
        await auntil(lambda: desk.session.stats.frames_out == 30)
        status = desk.session.status_event()
        await desk.session.stop()
    assert status["state"] == "ONLINE"
    assert set(status) == {"pipeline", "state", "start_time", "input_status", "inference_status"}
    assert set(status["input_status"]) == {"fps", "last_input_time"}
    inference = status["inference_status"]
    assert inference["last_params"] == {"prompt": "cat"}
    assert {"fps", "last_output_time", "last_error", "restart_count"} < set(inference)
    assert abs(status["start_time"] - time.time() * 1000) < 60_000
