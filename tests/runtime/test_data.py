"""The data channel: what `publish_data` sends, and what it refuses."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import pytest
from kit import WAIT, auntil, publish, segments

from byoc_nb.processor import Done, FrameProcessor
from byoc_nb.runtime import channels
from byoc_nb.runtime.channels import MAX_LINE_BYTES, WAITING_LINES, Data
from byoc_nb.runtime.requests import StreamStart
from byoc_nb.runtime.server import StreamServer
from byoc_nb.trickle import TrickleServer, TrickleSubscriber

pytestmark = pytest.mark.usefixtures("no_thread_left")


class Reader:
    """Reads a data channel as go-livepeer's gateway does: `segments` are its lines, `values` what was published."""

    def __init__(self, url):
        self.segments, self.times = [], []
        self._task = asyncio.create_task(self._read(url))

    async def _read(self, url):
        async with TrickleSubscriber(url) as channel:
            async for segment in channel:
                self.segments.append(await segment.read())
                self.times.append(time.monotonic())

    @property
    def values(self):
        found = [json.loads(segment) for segment in self.segments]
        return [value for item in found for value in (item if isinstance(item, list) else [item])]

    async def stop(self):
        self._task.cancel()
        await asyncio.wait([self._task])


@pytest.fixture
async def reader(trickle):
    made = Reader(trickle.channel("data"))
    await auntil(lambda: trickle.server.stats.readers)
    yield made
    await made.stop()


@pytest.fixture
async def data(trickle, reader):
    made = Data(f"{trickle.base}/data")
    running = asyncio.create_task(made.run())
    yield made
    made.close()
    await asyncio.wait_for(running, WAIT)


# ---- lines and segments


async def test_one_value_is_one_json_line_in_a_segment_of_its_own(data, reader):
    value = {"type": "caption", "text": "größer\nthan", "n": [1, None, 0.5]}
    assert data.put(value) is True
    await auntil(lambda: reader.segments)
    assert reader.segments[0].endswith(b"\n") and reader.segments[0].count(b"\n") == 1
    assert json.loads(reader.segments[0]) == value


async def test_a_burst_goes_together_in_order_at_no_more_than_ten_segments_a_second(data, reader):
    sent = 0
    for _ in range(30):
        for _ in range(20):
            data.put(sent)
            sent += 1
        await asyncio.sleep(0.02)
    await auntil(lambda: reader.values and reader.values[-1] == sent - 1)
    assert reader.values == list(range(600)), "all of them, in order"
    assert all(len(segment) < MAX_LINE_BYTES + 10 for segment in reader.segments)
    seconds = reader.times[-1] - reader.times[0]
    assert len(reader.segments) - 1 <= seconds * 10 + 1, "each segment a tenth of a second after the last"


async def test_what_does_not_fit_into_one_segment_goes_into_several(data, reader):
    values = [str(n) * 25_000 for n in range(6)]
    for value in values:
        data.put(value)
    await auntil(lambda: len(reader.values) == 6)
    assert reader.values == values
    assert max(map(len, reader.segments)) < 64 << 10, "the gateway's bound"
    assert len(reader.segments) <= 4


async def test_the_longest_line(data, reader):
    data.put("x" * (MAX_LINE_BYTES - 2))
    data.put(1)
    await auntil(lambda: len(reader.values) == 2)
    assert len(reader.segments[0]) == MAX_LINE_BYTES + 1


async def test_an_idle_channel_gets_a_filler_before_the_sweep(data, reader, monkeypatch):
    assert channels.FILLER_SECONDS < 60
    monkeypatch.setattr(channels, "FILLER_SECONDS", 0.02)
    data.put("x")
    await auntil(lambda: len(reader.segments) >= 3)
    assert reader.segments[1:3] == [b"[]\n"] * 2
    monkeypatch.undo()


# ---- what is refused at the call


def circular():
    value = []
    value.append(value)
    return value


@pytest.mark.parametrize(
    "value, error, says",
    [
        ("x" * MAX_LINE_BYTES, ValueError, "60002 bytes can't be sent; at most 60000"),
        ("ü" * (MAX_LINE_BYTES // 2), ValueError, "60002 bytes"),
        (float("nan"), ValueError, "Out of range"),
        ({"x": [float("inf")]}, ValueError, "Out of range"),
        (object(), TypeError, "not JSON serializable"),
        (b"bytes", TypeError, "not JSON serializable"),
        (circular(), ValueError, "Circular"),
        ("\ud800", ValueError, "surrogates"),
    ],
)
@pytest.mark.parametrize("url", ["", "http://127.0.0.1:9/data"])
async def test_what_cannot_be_sent_raises_whether_or_not_there_is_a_channel(value, error, says, url):
    with pytest.raises(error, match=says):
        Data(url).put(value)


async def test_without_a_channel_nothing_is_sent():
    data = Data("")
    assert data.put({"a": 1}) is False
    await asyncio.wait_for(data.run(), WAIT)


async def test_after_the_end_nothing_is_sent(trickle):
    data = Data(trickle.channel("data"))
    data.close()
    assert data.put(1) is False
    await asyncio.wait_for(data.run(), WAIT)


# ---- bounds and failures


async def test_of_too_many_that_wait_the_oldest_are_dropped_and_counted(trickle, reader, caplog):
    data = Data(f"{trickle.base}/data")
    for number in range(WAITING_LINES + 200):
        data.put(number)
    running = asyncio.create_task(data.run())
    data.close()
    await asyncio.wait_for(running, WAIT)
    await auntil(lambda: reader.values[-1:] == [WAITING_LINES + 199])
    assert reader.values == list(range(200, WAITING_LINES + 200))
    assert "200 messages came too fast" in caplog.text


async def test_long_lines_are_bounded_by_their_bytes():
    data = Data("http://127.0.0.1:9/data")
    for _ in range(500):
        data.put("x" * 59_000)
    assert 60 <= len(data._lines) <= 70, "4 MB"


async def test_a_channel_that_refuses_is_said_once_and_loses_nothing_until_it_is_there(monkeypatch, caplog):
    monkeypatch.setattr(channels, "HEARTBEAT_SECONDS", 0.02)
    server = TrickleServer()
    base = await server.start()
    data = Data(f"{base}/late")
    running = asyncio.create_task(data.run())
    data.put("first")
    await auntil(lambda: "data can't be published" in caplog.text)
    data.put("second")
    await asyncio.sleep(0.2)  # several more tries
    server.create("late")
    reader = Reader(f"{base}/late")
    await auntil(lambda: len(reader.values) == 2)
    assert reader.values == ["first", "second"]
    assert caplog.text.count("data can't be published") == 1
    data.close()
    await asyncio.wait_for(running, WAIT)
    await reader.stop()
    await server.stop()


async def test_a_server_that_takes_no_segment_of_that_size_costs_that_one_alone(monkeypatch, caplog):
    monkeypatch.setattr(channels, "HEARTBEAT_SECONDS", 0.02)
    server = TrickleServer(max_segment_bytes=1000)
    base = await server.start()
    server.create("data")
    data, reader = Data(f"{base}/data"), Reader(f"{base}/data")
    running = asyncio.create_task(data.run())
    data.put("x" * 5000)
    await auntil(lambda: "413" in caplog.text)
    data.put("small")
    await auntil(lambda: b'"small"\n' in reader.segments)
    data.close()
    await asyncio.wait_for(running, WAIT)
    await reader.stop()
    await server.stop()


async def test_what_is_lost_at_the_end_is_said(caplog, monkeypatch):
    monkeypatch.setattr(channels, "ANSWER_SECONDS", 0.05)
    data = Data("http://127.0.0.1:9/data")
    for number in range(7):
        data.put(number)
    running = asyncio.create_task(data.run())
    await auntil(lambda: "can't be published" in caplog.text)
    data.put(7)
    running.cancel()
    await asyncio.wait([running])
    assert "did not take the last 2 messages" in caplog.text, "the seven on their way as one, and the eighth"


# ---- from a processor


class Talks(FrameProcessor):
    """Publishes from every hook, with and without `await`, and from a thread."""

    answers: list

    def __init__(self):
        self.answers = [bool(self.publish_data("init"))]

    async def on_stream_start(self, params):
        self.answers.append(await self.publish_data("start"))

    def process_video_async(self, frame):
        if self.publish_data({"at": frame.timestamp}):
            self.answers.append(True)
        return frame

    def update_params(self, params):
        thread = threading.Thread(target=lambda: self.answers.append(bool(self.publish_data("thread"))))
        thread.start()
        thread.join()

    async def on_stream_stop(self):
        self.answers.append(await asyncio.create_task(self.publish_data("stop")))

    def shutdown(self):
        self.publish_data("the last word")


@pytest.fixture
async def serve():
    made = []

    async def start(target, **urls):
        server = StreamServer(target, port=0, host="127.0.0.1", policy="lossless")
        made.append(server)
        await server.start_server()
        await server.loaded()
        await server.start_stream(StreamStart(gateway_request_id="x", **urls))
        return server

    yield start
    for server in made:
        await server.stop()


async def test_every_hook_publishes_with_and_without_await_and_nothing_is_lost_at_the_stop(serve, trickle, reader):
    url = trickle.channel("in")
    server = await serve(Talks, subscribe_url=url, data_url=f"{trickle.base}/data")
    await server.update_params({"any": 1})
    await publish(url, segments(0.5, audio=False), end=False)
    await auntil(lambda: server.session.stats.frames_out == 15)
    await server.stop_stream()
    await auntil(lambda: reader.values[-1:] == ["the last word"])
    words = [value for value in reader.values if isinstance(value, str)]
    assert words == ["start", "thread", "stop", "the last word"]
    assert [value["at"] for value in reader.values if isinstance(value, dict)] == [n * 3000 for n in range(15)]
    instance = server.slot.current.processor.instance
    assert instance.answers == [False, True, True, *[True] * 15, True], "False before there was a stream"
    assert bool(instance.publish_data("after")) is False
    assert await instance.publish_data("after") is False


async def test_a_stream_without_a_data_channel_answers_false(serve):
    server = await serve(Talks)
    await server.stop_stream()
    assert server.slot.current.processor.instance.answers == [False] * 3


async def test_after_a_hot_reload_the_new_processors_data_goes_to_the_same_channel(serve, trickle, reader):
    class Old(FrameProcessor):
        async def process_video_async(self, frame):
            await self.publish_data("old")
            return frame

    class New(FrameProcessor):
        async def process_video_async(self, frame):
            await self.publish_data("new")
            return frame

    url = trickle.channel("in")
    server = await serve(Old, subscribe_url=url, data_url=f"{trickle.base}/data")
    await publish(url, segments(0.2, audio=False), end=False)
    await auntil(lambda: server.session.stats.frames_out == 6)
    await asyncio.to_thread(server.slot.replace, New)
    await publish(url, segments(0.2, start=90_000, audio=False), end=False)
    await auntil(lambda: server.session.stats.frames_out == 12)
    await server.stop_stream()
    await auntil(lambda: len(reader.values) == 12)
    assert reader.values == ["old"] * 6 + ["new"] * 6


async def test_what_cannot_be_sent_raises_in_the_users_line_and_the_frame_passes(serve, trickle):
    class TooMuch(FrameProcessor):
        def process_video_async(self, frame):
            self.publish_data("x" * 70_000)
            return None

    url = trickle.channel("in")
    server = await serve(TooMuch, subscribe_url=url, data_url=trickle.channel("data"))
    await publish(url, segments(0.2, audio=False), end=False)
    await auntil(lambda: server.session.stats.frames_out == 6)
    assert server.session.stats.error_count == 6
    assert 'self.publish_data("x" * 70_000)' in server.session.stats.last_error


@pytest.mark.parametrize("where", ["no channel", "no server", "swept"])
async def test_a_data_channel_that_refuses_ends_nothing(serve, trickle, where, monkeypatch, caplog):
    monkeypatch.setattr(channels, "HEARTBEAT_SECONDS", 0.02)
    monkeypatch.setattr("byoc_nb.trickle.wire.BACKOFF_SECONDS", 0.002)
    data_url = "http://127.0.0.1:9/data" if where == "no server" else f"{trickle.base}/data"
    if where == "swept":
        trickle.server.create("data")
    url = trickle.channel("in")
    server = await serve(Talks, subscribe_url=url, data_url=data_url)
    await publish(url, segments(0.2, audio=False), end=False)
    await auntil(lambda: server.session.stats.frames_out == 6)
    if where == "swept":
        trickle.server.close("data")
        server.slot.current.processor.instance.publish_data("x")
    await auntil(lambda: "data can't be published" in caplog.text)
    await publish(url, segments(0.2, start=90_000, audio=False), end=False)
    await auntil(lambda: server.session.stats.frames_out == 12)
    assert server.active
    async with asyncio.timeout(5.0):
        await server.stop_stream()


# ---- the answer


async def test_the_answer_may_be_awaited_in_every_way_or_just_asked():
    assert Done(True) and not Done(False)
    assert await Done(True) is True
    assert await asyncio.create_task(Done(False)) is False
    assert await asyncio.gather(Done(True), Done(False)) == [True, False]
    assert await asyncio.wait_for(Done(True), 1) is True
    loop = asyncio.get_running_loop()
    assert await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(Done(True), loop)) is True
