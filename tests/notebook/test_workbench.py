"""The workbench: what the magics do, without a notebook."""

from __future__ import annotations

import asyncio
import functools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import av
import numpy as np
import pytest
from kit import CLIP, WAIT, ffprobe_file, open_sockets, ours, until
from pydantic import BaseModel, Field

from byoc_nb.network.local import StreamRefused
from byoc_nb.network.record import RecordError
from byoc_nb.network.source import SourceError
from byoc_nb.notebook.cells import Cell
from byoc_nb.notebook.reloading import LoadError
from byoc_nb.notebook.workbench import Workbench, WorkbenchError
from byoc_nb.params import ParamsError
from byoc_nb.processor import FrameProcessor
from byoc_nb.runtime import slot
from byoc_nb.runtime.ports import PortInUse, free_port
from byoc_nb.source import Notebook

pytestmark = pytest.mark.usefixtures("no_thread_left")

SMALL = {"size": (96, 64), "fps": 25}


class Tint(FrameProcessor):
    class Params(BaseModel):
        strength: float = Field(0.5, ge=0, le=1)
        mode: str = "soft"

    loads = 0

    def load_model(self):
        type(self).loads += 1

    async def process_video_async(self, frame):
        return frame.replace_array(np.full_like(frame.array, 200))


class Other(FrameProcessor):
    class Params(BaseModel):
        strength: float = Field(0.1, ge=0, le=1)

    async def process_video_async(self, frame):
        return frame


class Broken(Tint):
    def load_model(self):
        raise ValueError("no weights")


def cell(target):
    return Cell("", target.__name__, target, Notebook(), {})


@pytest.fixture
def bench():
    made = Workbench()
    made.use(cell(Tint))
    yield made
    made.stop()


@pytest.fixture
def port():
    return free_port("127.0.0.1")


@pytest.fixture
def other_port(port):
    return free_port("127.0.0.1", near=port)


def session(bench):
    return bench._serving.server.session


def runs(bench, frames=5):
    """Frames come through, new ones."""
    begun = session(bench).stats.frames_out
    until(lambda: session(bench).stats.frames_out >= begun + frames)


def listens(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


# ---- serving


def test_without_a_cell_there_is_nothing_to_serve():
    with pytest.raises(WorkbenchError, match="no processor yet"):
        Workbench().serve()


def test_serving_says_what_and_where(bench, port):
    line = bench.serve(port=port, **SMALL)
    assert line.startswith(f"serving Tint at http://127.0.0.1:{port} · source testsrc")
    assert bench.serving and bench.urls["rest"] in line
    runs(bench)


def test_the_same_arguments_again_reuse_what_runs(bench, port):
    bench.serve(port=port, **SMALL)
    before = session(bench)
    assert bench.serve(port=port, **SMALL).startswith("already serving Tint")
    assert session(bench) is before


def test_another_source_keeps_the_loaded_processor_and_the_port(bench, port):
    Tint.loads = 0
    bench.serve(port=port, **SMALL)
    instance = bench._serving.slot.current.processor.instance
    bench.params({"strength": 0.9})
    bench.serve(port=port, size=(128, 96), fps=25)
    assert bench._serving.slot.current.processor.instance is instance
    assert (Tint.loads, bench.urls["rest"]) == (1, f"http://127.0.0.1:{port}")
    assert bench.params()["strength"] == 0.9
    runs(bench)
    assert session(bench).pipeline.newest[0].width == 128


def test_another_port_moves_the_server_and_keeps_the_processor(bench, port, other_port):
    Tint.loads = 0
    bench.serve(port=port, **SMALL)
    bench.serve(port=other_port, **SMALL)
    assert (Tint.loads, listens(port), listens(other_port)) == (1, False, True)
    runs(bench)


def test_a_busy_port_names_a_free_one_and_the_old_stream_goes_on(bench, port):
    bench.serve(port=port, **SMALL)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PortInUse) as caught:
            bench.serve(port=taken.getsockname()[1], **SMALL)
    assert str(caught.value.free) in caught.value.one_line()
    runs(bench)
    assert bench.serve(port=port, **SMALL).startswith("already serving")


def test_a_busy_port_at_the_first_time_leaves_nothing(bench):
    interval = sys.getswitchinterval()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PortInUse):
            bench.serve(port=taken.getsockname()[1], **SMALL)
    assert not bench.serving
    assert (ours(), sys.getswitchinterval()) == ([], interval)
    bench.serve(port=free_port("127.0.0.1"), **SMALL)


def test_a_bad_source_leaves_the_running_stream_alone(bench, port):
    bench.serve(port=port, **SMALL)
    before = session(bench)
    with pytest.raises(SourceError):
        bench.serve("nowhere.mp4", port=port)
    assert session(bench) is before
    runs(bench)


def test_a_processor_that_cannot_be_loaded(port):
    bench = Workbench()
    bench.use(cell(Broken))
    with pytest.raises(LoadError, match="no weights") as caught:
        bench.serve(port=port, **SMALL)
    assert "mend the cell" in caught.value.hint
    assert not bench.serving and not listens(port) and not ours()
    bench.use(cell(Tint))
    bench.serve(port=port, **SMALL)
    bench.stop()


def test_a_start_hook_that_refuses_leaves_a_server_that_can_be_used(port):
    class Picky(Tint):
        fail = True

        async def on_stream_start(self, params):
            if Picky.fail:
                raise ValueError("no camera")

    bench = Workbench()
    bench.use(cell(Picky))
    with pytest.raises(StreamRefused, match="no camera"):
        bench.serve(port=port, **SMALL)
    Picky.fail = False
    bench.serve(port=port, **SMALL)
    runs(bench)
    bench.stop()


def test_a_stream_that_ended_by_itself_is_begun_anew(bench, port, tmp_path):
    path = str(tmp_path / "short.mp4")
    subprocess.run(
        ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25:duration=0.4", path], check=True
    )
    for _ in range(2):
        assert bench.serve(path, port=port, loop=False, policy="lossless").startswith("serving")
        until(lambda: bench.status()["state"] == "ended: the input ended")
        assert bench.status()["frames_out"] == 10


def test_a_cell_that_computes_in_the_main_thread_costs_no_frame(bench, port):
    """Pure Python holds the interpreter; at its default of 5 ms a turn the stream would lose half of its frames."""
    bench.serve(port=port, size=(320, 240), fps=30)
    runs(bench, 20)
    begun, end = session(bench).stats.frames_out, time.monotonic() + 2.0
    while time.monotonic() < end:
        sum(range(1000))
    assert session(bench).stats.frames_out - begun >= 45
    assert session(bench).stats.snapshot()["frames_dropped"] <= 3


# ---- stopping


def test_stop_leaves_no_thread_no_port_and_keeps_the_params(bench, port):
    interval = sys.getswitchinterval()
    bench.serve(port=port, **SMALL)
    bench.params({"strength": 0.9})
    assert bench.stop()
    assert (ours(), listens(port), bench.serving, bench.urls) == ([], False, False, {})
    assert sys.getswitchinterval() == interval
    assert not bench.stop()
    assert bench.status()["params"] == {"strength": 0.9, "mode": "soft"}
    bench.serve(port=port, **SMALL)
    assert bench.params() == {"strength": 0.9, "mode": "soft"}
    assert session(bench) is not None


def test_params_that_no_longer_fit_are_left_out_after_a_stop(bench, port):
    bench.serve(port=port, **SMALL)
    bench.params({"strength": 0.9, "mode": "x"})
    bench.stop()
    bench.use(cell(Other))
    bench.serve(port=port, **SMALL)
    assert bench.params() == {"strength": 0.9}


def test_params_that_the_processor_refuses_after_a_stop_do_not_stop_it(bench, port, caplog):
    bench.serve(port=port, **SMALL)
    bench.params({"strength": 0.9})
    bench.stop()

    class Refuses(Tint):
        def update_params(self, params):
            raise ValueError("not that")

    bench.use(cell(Refuses))
    bench.serve(port=port, **SMALL)
    assert bench.params()["strength"] == 0.5
    assert "could not be restored" in caplog.text


def test_five_rounds_leave_no_socket(bench, port):
    before = open_sockets()
    for _ in range(5):
        bench.serve(port=port, **SMALL)
        runs(bench, 2)
        bench.stop()
    until(lambda: open_sockets() <= before)
    assert not ours()


def test_stop_with_a_processor_that_hangs_returns(port, monkeypatch):
    monkeypatch.setattr("byoc_nb.runtime.session.PROCESSOR_STOP_SECONDS", 0.5)
    begun, release = threading.Event(), threading.Event()

    class Hangs(Tint):
        def process_video_async(self, frame):
            begun.set()
            release.wait(30)
            return frame

    bench = Workbench()
    bench.use(cell(Hangs))
    bench.serve(port=port, **SMALL)
    assert begun.wait(WAIT)
    at = time.monotonic()
    timer = threading.Timer(1.5, release.set)  # long after the stream has given it up
    timer.start()
    assert bench.stop()
    assert time.monotonic() - at < 8
    timer.join()


# ---- another cell


def test_a_new_cell_is_swapped_in_with_its_params(bench, port):
    bench.serve(port=port, **SMALL)
    bench.params({"strength": 0.9, "mode": "x"})
    reload = bench.use(cell(Other))
    assert reload.frames_lost == 0
    assert list(reload.params_changed) == ["mode"]
    assert bench.params() == {"strength": 0.9}
    assert bench.status()["processor"] == "Other" and bench.status()["reloads"] == 1
    runs(bench)


@pytest.mark.parametrize("how", ["blocks", "awaits"])
def test_a_processor_that_hangs_in_a_frame_is_left_behind_by_the_next_cell(bench, port, monkeypatch, caplog, how):
    monkeypatch.setattr(slot, "HOOK_SECONDS", 0.3)
    hangs, release = threading.Event(), threading.Event()

    class Hangs(Tint):
        async def process_video_async(self, frame):
            hangs.set()
            if how == "awaits":
                await asyncio.Event().wait()
            release.wait(WAIT)
            return frame

    bench.use(cell(Hangs))
    bench.serve(port=port, **SMALL)
    assert hangs.wait(WAIT)
    bench.use(cell(Tint))
    assert "has been in one frame for over" in caplog.text
    runs(bench)
    assert bench.status()["drops"]["processor hung"] == 1
    release.set()
    until(lambda: ours().count("byoc-processor") == 1)  # the old one's thread has ended
    runs(bench)


def test_errors_and_pictures_of_a_replaced_processor_are_forgotten(bench, port):
    class Raises(Tint):
        async def process_video_async(self, frame):
            raise ValueError("of the old one")

    class Nothing(Tint):
        async def process_video_async(self, frame):
            return None

    bench.use(cell(Raises))
    bench.serve(port=port, **SMALL)
    until(lambda: bench.status()["errors"] > 3)
    bench.use(cell(Nothing))
    until(lambda: bench.status()["drops"].get("processor returned None", 0) > 3)
    assert (bench.status()["errors"], bench.status()["last_error"]) == (0, None)
    with pytest.raises(WorkbenchError, match="no picture came through"):
        bench.preview(timeout=0.2)


@pytest.mark.parametrize("error", [ValueError, SystemExit])
def test_a_cell_that_fails_leaves_the_old_one(bench, port, error):
    class Bad(Tint):
        def load_model(self):
            raise error("not today")

    bench.serve(port=port, **SMALL)
    with pytest.raises(LoadError, match=r"Tint goes on.*not today"):
        bench.use(cell(Bad))
    assert bench.status()["processor"] == "Tint"
    runs(bench)


def test_while_nothing_serves_a_cell_is_only_taken_note_of(bench):
    assert bench.use(cell(Other)) is None
    assert bench.cell.name == "Other"


# ---- params


def test_params_need_a_processor():
    with pytest.raises(WorkbenchError, match="no processor yet"):
        Workbench().params()


def test_params_that_are_set_before_serving_are_there_when_it_begins(bench, port):
    assert bench.params({"strength": 0.25}) == {"strength": 0.25, "mode": "soft"}
    with pytest.raises(ParamsError):
        bench.params({"strength": 7})
    bench.serve(port=port, **SMALL)
    assert bench.params() == {"strength": 0.25, "mode": "soft"}


def test_a_default_that_was_changed_in_the_code_counts_where_nobody_set_the_parameter(bench, port):
    def tint(default):
        class Tint(FrameProcessor):
            class Params(BaseModel):
                strength: float = default
                other: int = 1

            def process_video_async(self, frame):
                return frame

        return Tint

    bench.use(cell(tint(0.5)))
    bench.serve(port=port, **SMALL)
    bench.params({"other": 5})
    bench.use(cell(tint(0.9)))
    assert bench.params() == {"strength": 0.9, "other": 5}
    bench.stop()
    bench.use(cell(tint(0.1)))
    bench.serve(port=port, **SMALL)
    assert bench.params() == {"strength": 0.1, "other": 5}


def test_the_port_stays_as_it_is_until_another_is_asked_for(bench, port, monkeypatch):
    monkeypatch.setenv("BYOC_PORT", str(port))
    bench.serve("testsrc", size=(64, 48), fps=10)
    assert bench.urls["rest"].endswith(f":{port}")
    monkeypatch.setenv("BYOC_PORT", "eighty")
    bench.serve("testsrc", size=(96, 64), fps=10)
    assert bench.urls["rest"].endswith(f":{port}")
    bench.stop()
    with pytest.raises(WorkbenchError, match="BYOC_PORT: 'eighty' isn't a port"):
        bench.serve()


def test_params_are_checked_and_returned(bench, port):
    bench.serve(port=port, **SMALL)
    assert bench.params() == {"strength": 0.5, "mode": "soft"}
    assert bench.params({"strength": 1}) == {"strength": 1.0, "mode": "soft"}
    with pytest.raises(ParamsError):
        bench.params({"strength": 7})
    assert bench.params()["strength"] == 1.0


def test_params_can_be_set_between_two_streams(bench, port):
    bench.serve(port=port, **SMALL)
    bench._serving.run(bench._serving.network.halt())
    assert bench.params({"strength": 0.2})["strength"] == 0.2


# ---- looking


def test_the_status_always_has_the_same_keys(bench, port):
    before = bench.status()
    assert (before["state"], before["processor"]) == ("stopped", "Tint")
    bench.serve(port=port, **SMALL)
    runs(bench)
    during = bench.status()
    assert set(before) <= set(during)
    assert (during["state"], during["frames_out"] > 0, during["urls"]) == ("running", True, bench.urls)
    bench.stop()
    assert set(bench.status()) == set(before)


def test_the_preview_shows_input_and_output(bench, port, tmp_path):
    with pytest.raises(WorkbenchError, match="no frame has come"):
        bench.preview()
    bench.serve(port=port, **SMALL)
    (tmp_path / "still.jpg").write_bytes(bench.preview())
    with av.open(str(tmp_path / "still.jpg")) as still:
        picture = next(still.decode(video=0)).to_ndarray(format="rgb24")
    assert picture.shape[1] == 96 + 96 + 8
    assert abs(int(picture[-20, -20, 1]) - 200) < 12, "the right half is the processed one"


def test_the_preview_of_a_stream_that_stands_still_is_its_last_picture(bench, port):
    bench.serve(port=port, **SMALL)
    runs(bench)
    bench._serving.run(bench._serving.network.halt())
    assert bench.preview(timeout=0.1)[:2] == b"\xff\xd8"


def test_recording(bench, port, tmp_path):
    with pytest.raises(WorkbenchError, match="nothing is running"):
        bench.record(tmp_path / "clip.mp4")
    bench.serve(port=port, **SMALL)
    with pytest.raises(WorkbenchError, match="no channel"):
        bench.record(tmp_path / "clip.mp4", channel="middle")
    with pytest.raises(RecordError, match="no folder"):
        bench.record(tmp_path / "no" / "clip.mp4")
    pending = bench.record(tmp_path / "clip.mp4", 1.0, background=True)
    assert not pending.done and "recording" in repr(pending)
    made = pending.wait(WAIT)
    assert pending.done and "clip.mp4" in repr(pending)
    assert made.frames >= 25
    assert abs(float(ffprobe_file(made.path, "-show_format")["format"]["duration"]) - 1.0) < 0.15


def test_a_recording_ends_with_the_server(bench, port, tmp_path):
    bench.serve(port=port, **SMALL)
    runs(bench)
    pending = bench.record(tmp_path / "clip.mp4", 60.0, background=True)
    bench.stop()
    until(lambda: pending.done)
    assert "clip.mp4" in repr(pending)


@pytest.mark.parametrize("doing", ["stop", "move"])
def test_an_interrupt_while_a_port_is_left_leaves_it_free(bench, doing):
    port = free_port("127.0.0.1")
    bench.serve("testsrc", port=port, **SMALL)
    serving = bench._serving
    close = serving.network.close

    async def interrupted():
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0.01)
        await close()

    serving.network.close = interrupted
    with pytest.raises(KeyboardInterrupt):
        bench.stop() if doing == "stop" else bench.serve("testsrc", port=0, **SMALL)
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_the_same_again_says_nothing_of_a_password(bench, tmp_path):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

    (tmp_path / "clip.mp4").write_bytes(CLIP.read_bytes())
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://me:s3cret@127.0.0.1:{server.server_port}/clip.mp4"
        said = [bench.serve(url, port=0, **SMALL) for _ in range(2)]
        bench.stop()
        server.shutdown()
        thread.join()
    assert said[1].startswith("already serving") and "s3cret" not in "".join(said)


def test_parameters_that_a_busy_processor_takes_over_later_are_told(bench, port, monkeypatch):
    monkeypatch.setattr("byoc_nb.runtime.server.UPDATE_SECONDS", 0.1)
    begun, release = threading.Event(), threading.Event()

    class Busy(Tint):
        def process_video_async(self, frame):
            begun.set()
            release.wait(WAIT)
            return frame

    bench.use(cell(Busy))
    bench.serve(port=port, **SMALL)
    assert begun.wait(WAIT)
    with pytest.raises(WorkbenchError, match="busy and takes over strength when it is done"):
        bench.params({"strength": 0.9})
    assert bench.params()["strength"] == 0.5
    release.set()
    until(lambda: bench.params()["strength"] == 0.9)
