"""`%byoc run`: the exported image beside the notebook. A stand-in for docker runs the folder's program instead."""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path

import pytest
from kit import ours, until
from notebook_kit import Notebook

from byoc_nb.export.image import ImageError
from byoc_nb.notebook.local_image import LocalImage
from byoc_nb.runtime.ports import PortInUse, free_port

DOCKER = """#!{python}
import os, sys
arguments = sys.argv[1:]
if arguments[:1] == ["info"]:
    sys.exit(0)
for name, value in zip(arguments, arguments[1:]):
    if name == "--env":
        os.environ.update([value.split("=", 1)])
os.chdir({folder!r})
os.execv(sys.executable, [sys.executable, "processor.py"])
"""
CELL = """%%byoc
class Invert:
    def load_model(self):
        {load}

    def process_video_async(self, frame):
        return frame.replace_array(255 - frame.array)
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the stand-in runs."""
    program, folder = tmp_path / "bin" / "docker", tmp_path / "out"
    program.parent.mkdir()
    program.write_text(DOCKER.format(python=sys.executable, folder=str(folder)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    return folder


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_image_runs_and_is_driven_until_stop(notebook: Notebook, docker: Path) -> None:
    notebook.run(CELL.format(load="pass"))
    notebook.run(f"%byoc export {docker} --no-prove --cpu")
    port = free_port("127.0.0.1")
    said = notebook.run(f"%byoc run --port {port} --size 96x64")
    assert f"$ docker run --rm --network host --env HOST=127.0.0.1 --env PORT={port} invert:latest" in said
    assert f"attached to http://127.0.0.1:{port} · source testsrc" in said
    bench = notebook.bench
    until(lambda: bench.status()["frames_out"] > 5)
    before, after = bench._attached.newest
    assert abs((255 - before.array.astype(int)) - after.array).mean() < 12
    assert "stopped" in notebook.run("%byoc stop")
    assert not listens(port), "the container has ended"
    assert "byoc-image" not in ours()


def test_a_container_that_ends_says_why(notebook: Notebook, docker: Path) -> None:
    notebook.run(CELL.format(load="pass"))
    notebook.run(f"%byoc export {docker} --no-prove --cpu")
    (docker / "processor.py").write_text("raise SystemExit('no driver')")
    with pytest.raises(ImageError, match="ended with exit status 1: no driver"):
        notebook.bench.run(port=free_port("127.0.0.1"), say=lambda line: None)
    assert notebook.bench._image is None


def test_a_processor_that_cannot_be_loaded_there_is_told(notebook: Notebook, docker: Path) -> None:
    notebook.run(CELL.format(load="pass"))
    notebook.run(f"%byoc export {docker} --no-prove --cpu")
    text = (docker / "processor.py").read_text()
    (docker / "processor.py").write_text(text.replace("        pass", "        raise ValueError('no weights')"))
    with pytest.raises(ImageError, match="could not load its processor: ValueError: no weights"):
        notebook.bench.run(port=free_port("127.0.0.1"), say=lambda line: None)


def test_a_port_that_is_taken_is_told_before_anything_runs(notebook: Notebook, docker: Path) -> None:
    notebook.run(CELL.format(load="pass"))
    notebook.run(f"%byoc export {docker} --no-prove --cpu")
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(PortInUse):
        notebook.bench.run(port=other.getsockname()[1], say=said.append)
    assert not said and notebook.bench._image is None


@pytest.mark.parametrize("body", [b"[1]", b"nonsense", b"HTTP/1.1 200 OK\r\n"])
def test_what_is_no_status_is_asked_again(body: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        image = object.__new__(LocalImage)
        image.url = f"http://127.0.0.1:{server.getsockname()[1]}"

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(body if body[:4] == b"HTTP" else b"HTTP/1.0 200 OK\r\n\r\n" + body)

        answering = threading.Thread(target=answer)
        answering.start()
        assert image._status() == {}
        answering.join()
