"""`%byoc attach`: the workbench drives a container that runs elsewhere."""

from __future__ import annotations

import gc
import os
import signal
import socket
import threading
from collections.abc import Iterator

import pytest
from kit import ours, until
from notebook_kit import Notebook

from byoc_nb import BaseModel, Field, FrameProcessor, StreamServer
from byoc_nb.network.container import Refused
from byoc_nb.notebook.workbench import Workbench, WorkbenchError
from byoc_nb.runtime.threads import LoopThread


class Dim(FrameProcessor):
    class Params(BaseModel):
        level: float = Field(1.0, ge=0, le=1)

    def process_video_async(self, frame):
        return frame.replace_array((frame.array * self.params.level).astype("uint8"))


@pytest.fixture
def container() -> Iterator[str]:
    thread = LoopThread("elsewhere")
    server = StreamServer(Dim, host="127.0.0.1", port=0)
    thread.run(server.start_server())
    yield f"http://127.0.0.1:{server.port}"
    thread.run(server.stop())
    thread.stop()


def test_everything_is_about_the_container(container: str) -> None:
    bench = Workbench()
    line = bench.attach(container, size=(96, 64))
    assert line.startswith(f"attached to {container} · source testsrc · input http://127.0.0.1:")
    until(lambda: bench.status()["frames_out"] > 5)
    status = bench.status()
    assert (status["state"], status["processor"], status["params"]) == ("running", container, {"level": 1.0})
    assert status["urls"]["rest"] == container and container in repr(status)
    assert bench.params({"level": 0.0}) == {"level": 0.0}
    until(lambda: bench._attached.newest[1].array.mean() < 30)
    with pytest.raises(Refused, match="less than or equal to 1"):
        bench.params({"level": 2})
    assert bench.preview()[:2] == b"\xff\xd8"
    assert bench.hub.subject.controls.all()["fields"][0]["name"] == "level"
    stats = bench.hub.subject.figures.now()
    assert stats["state"] == "running" and "fps come back" in stats["verdict"]["text"]
    assert bench.source("testsrc", speed=None)["kind"] == "testsrc"
    assert bench.attach(container, size=(128, 96)).startswith("attached")
    until(lambda: bench._attached.newest and bench._attached.newest[1].width == 128)
    assert bench.stop() and not bench.streaming
    assert [name for name in ours() if name == "byoc-io"] == []


def test_it_is_either_a_processor_here_or_a_container(container: str, notebook: Notebook) -> None:
    notebook.run("%%byoc\nclass Plain:\n    def process_video_async(self, frame):\n        return frame")
    notebook.run("%byoc serve --size 96x64 --port 0")
    assert "a processor is served here: %byoc stop ends that" in notebook.run(f"%byoc attach {container}")
    notebook.run("%byoc stop")
    assert f"attached to {container}" in notebook.run(f"%byoc attach {container} --size 96x64")
    assert f"{container} is attached: %byoc stop ends that" in notebook.run("%byoc serve")
    assert "level" in notebook.run("%byoc params level=0.5\n%byoc status")
    notebook.run("%byoc stop")


def test_recording_and_what_only_a_processor_here_can(container: str, tmp_path) -> None:
    bench = Workbench()
    bench.attach(container, size=(96, 64))
    assert bench.record(tmp_path / "out.mp4", 1.0).frames > 10
    with pytest.raises(WorkbenchError, match="no processor is served here"):
        bench.record(tmp_path / "take")
    for seconds in (0, -1, float("nan")):
        with pytest.raises(WorkbenchError, match="s can't be recorded"):
            bench.record(tmp_path / "out.mp4", seconds)
    with pytest.raises(WorkbenchError, match="no processor yet"):
        bench.replay(tmp_path / "take")
    bench.stop()


def test_an_interrupted_attach_leaves_nothing(recwarn: pytest.WarningsRecorder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:

        def interrupt() -> None:
            connection, _ = silent.accept()
            with connection:
                os.kill(os.getpid(), signal.SIGINT)
                connection.recv(1 << 16)

        calling = threading.Thread(target=interrupt)
        calling.start()
        bench = Workbench()
        with pytest.raises(KeyboardInterrupt):
            bench.attach(f"http://127.0.0.1:{silent.getsockname()[1]}", size=(96, 64))
        calling.join()
    gc.collect()
    assert "byoc-io" not in ours() and not bench.stop()
    assert not recwarn.list, "no session and no socket is left open"
