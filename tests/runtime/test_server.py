"""The server's life: ports, loading, signals, hooks at its start and end."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import pytest
from kit import WAIT, ours

from byoc_nb.processor import FrameProcessor
from byoc_nb.runtime.ports import PortInUse, free_port
from byoc_nb.runtime.requests import StreamStart
from byoc_nb.runtime.server import Busy, StreamServer

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


def server(target=Pass, **options):
    return StreamServer(target, port=0, host="127.0.0.1", **options)


async def test_a_busy_port_names_a_free_one():
    first = server()
    await first.start_server()
    second = StreamServer(Pass, port=first.port, host="127.0.0.1")
    with pytest.raises(PortInUse) as caught:
        await second.start_server()
    assert caught.value.port == first.port
    assert caught.value.free not in (0, first.port)
    assert str(caught.value.free) in caught.value.one_line()
    third = StreamServer(Pass, port=caught.value.free, host="127.0.0.1")
    await third.start_server()
    for each in (first, second, third):
        await each.stop()


def test_a_free_port_is_the_next_one_if_it_can_be():
    port = free_port("127.0.0.1")
    assert port < free_port("127.0.0.1", near=port) <= port + 51 or port > 65_500


async def test_stop_frees_the_port_the_thread_and_calls_the_hooks():
    made = server()
    await made.start_server()
    await made.loaded()
    instance = made.slot.current.processor.instance
    await made.start_stream(StreamStart(gateway_request_id="x"))
    await made.stop()
    await made.stop()
    assert instance.calls == ["start", "stop"]
    assert not ours()
    again = StreamServer(Pass, port=made.port, host="127.0.0.1")
    await again.start_server()
    await again.stop()


@pytest.mark.parametrize("hook", ["load_model", "on_stream_start"])
async def test_a_stream_that_is_stopped_while_it_begins_never_begins(hook):
    begun = threading.Event()

    async def forever(self, *params):
        begun.set()
        await asyncio.Event().wait()

    made = server(type("Slow", (Pass,), {hook: forever}))
    await made.start_server()
    starting = asyncio.create_task(made.start_stream(StreamStart(gateway_request_id="x")))
    assert await asyncio.to_thread(begun.wait, WAIT)
    async with asyncio.timeout(WAIT):
        while not await made.stop_stream():
            await asyncio.sleep(0.01)
        with pytest.raises(Busy, match="stopped before it began"):
            await starting
    assert not made.active
    await made.stop()


@pytest.mark.parametrize("blocks", ["awaits", "blocks"])
async def test_stop_while_the_processor_still_loads(blocks):
    begun, release = threading.Event(), threading.Event()

    class Slow(Pass):
        async def load_model(self):
            begun.set()
            if blocks == "awaits":
                await asyncio.Event().wait()
            release.wait(WAIT)

    made = server(Slow)
    await made.start_server()
    await asyncio.to_thread(begun.wait, WAIT)
    async with asyncio.timeout(2.0):
        await made.stop()
    release.set()


async def test_a_start_that_waits_for_the_load_ends_with_the_server():
    begun = threading.Event()

    class Slow(Pass):
        async def load_model(self):
            begun.set()
            await asyncio.Event().wait()

    made = server(Slow)
    await made.start_server()
    await asyncio.to_thread(begun.wait, WAIT)
    starting = asyncio.create_task(made.start_stream(StreamStart(gateway_request_id="x")))
    await asyncio.sleep(0)
    await made.stop()
    await asyncio.wait([starting], timeout=WAIT)
    assert starting.done()
    assert starting.cancelled() or isinstance(starting.exception(), Busy)


async def test_instances_and_functions_are_served_too():
    def process_video(frame):
        return frame

    for target in (Pass(), process_video):
        made = server(target)
        await made.start_server()
        await made.loaded()
        await made.stop()
    assert server(process_video).capability_name == "process-video"


async def test_hooks_of_the_application():
    seen = []

    async def up(app):
        seen.append("up")

    async def down(app):
        seen.append("down")

    made = server(on_startup=[up], on_shutdown=[down])
    await made.start_server()
    assert seen == ["up"]
    await made.stop()
    assert seen == ["up", "down"]


PROGRAM = """
import asyncio, sys
from byoc_nb import FrameProcessor, run_processor

class Mine(FrameProcessor):
    async def on_stream_start(self, params): print("stream starts", flush=True)
    async def on_stream_stop(self): print("stream stops", flush=True)
    def shutdown(self): print("shutdown", flush=True)
    async def process_video_async(self, frame): return frame

asyncio.run(run_processor(Mine(), port=int(sys.argv[1]), host="127.0.0.1"))
print("the end", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_program_in_order(number):
    port = free_port("127.0.0.1")
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(port)], stdout=subprocess.PIPE, text=True) as program:
        try:
            start_stream(f"http://127.0.0.1:{port}", program)
            program.send_signal(number)
            out, _ = program.communicate(timeout=WAIT)
        finally:
            program.kill()
    assert program.returncode == 0
    assert out.splitlines() == ["stream starts", "stream stops", "shutdown", "the end"]


def start_stream(base, program):
    request = urllib.request.Request(f"{base}/stream/start", data=b'{"gateway_request_id": "x"}', method="POST")
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(request, timeout=WAIT) as answer:
                assert answer.status == 200
            return
        except OSError:
            assert time.monotonic() < deadline and program.poll() is None
            time.sleep(0.05)
