"""`byoc-nb`, as real programs that talk to each other, and its one-line errors."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shlex
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import termios
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web
from kit import WAIT, ffprobe_file, until

from byoc_nb.cli import GROUPS, main
from byoc_nb.runtime.ports import free_port
from byoc_nb.runtime.threads import LoopThread
from byoc_nb.trickle import TrickleServer

DOCUMENTS = Path(__file__).parent / "fixtures" / "livepeer_docs"
START = """curl -X POST http://localhost:8000/api/stream/start \\
  -H "Content-Type: application/json" \\
  -d '{
    "subscribe_url": "http://127.0.0.1:3389/input",
    "publish_url": "http://127.0.0.1:3389/output",
    "gateway_request_id": "test-session",
    "params": {"width": 704, "height": 384}
  }'"""  # the developer guide's, as it stands there
COMMAND = [sys.executable, "-m", "byoc_nb"]
PROCESSOR = """
import numpy as np
from pytrickle import FrameProcessor
from pydantic import BaseModel, Field

class GreenTint(FrameProcessor):
    class Params(BaseModel):
        amount: int = Field(80, ge=0, le=255)

    def process_video_async(self, frame):
        out = frame.array.copy()
        out[..., 1] = np.minimum(out[..., 1].astype(int) + self.params.amount, 255)
        return frame.replace_array(out)
"""
needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="the ffmpeg program is not installed")


def clean_environment() -> dict[str, str]:
    """What the programs see: this environment without what would change their ways."""
    prefixes = ("BYOC", "ORCH", "CAPABILITY", "PIPELINE", "MODEL_ID", "PYTHONPATH")
    return {key: value for key, value in os.environ.items() if not key.startswith(prefixes)}


class Programs:
    """Programs that run beside the test, each in a process group of its own."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, *arguments: object, **options: object) -> subprocess.Popen[bytes]:
        program = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            start_new_session=True,
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            | {"env": clean_environment()}
            | options,
        )
        self._running.append(program)
        return program

    def start_until(self, line: str, *arguments: object) -> tuple[subprocess.Popen[bytes], str]:
        """Start and wait until a line of standard error matches; its first group."""
        program = self.start(*arguments)
        seen = b""
        for text in program.stderr:
            seen += text
            if found := re.search(line, text.decode()):
                threading.Thread(target=program.stderr.read, daemon=True).start()  # or a full pipe would stop it
                return program, found[1]
        raise AssertionError(seen.decode())

    def close(self) -> None:
        for program in self._running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(program.pid, signal.SIGKILL)
            program.wait(WAIT)
            for pipe in (program.stdin, program.stdout, program.stderr):
                if pipe is not None:
                    pipe.close()


@pytest.fixture
def programs():
    made = Programs()
    yield made
    made.close()


@pytest.fixture
def channels():
    """A trickle server on a thread: its base URL and the server."""
    thread, server = LoopThread("test-trickle"), TrickleServer(autocreate=True)
    yield thread.run(server.start(), WAIT), server
    thread.run(server.stop(), WAIT)
    thread.stop()


@pytest.fixture
def processor(tmp_path):
    path = tmp_path / "processor.py"
    path.write_text(PROCESSOR)
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """One second, 160x120, 25 pictures of black, with a tone."""
    path = tmp_path_factory.mktemp("media") / "video.mp4"
    inputs = "-f lavfi -i color=black:size=160x120:rate=25:duration=1 -f lavfi -i sine=sample_rate=48000:duration=1"
    codecs = "-c:v libx264 -c:a aac"
    subprocess.run(["ffmpeg", "-v", "error", *inputs.split(), *codecs.split(), path], check=True)
    return path


def get_json(url: str):
    with urllib.request.urlopen(url, timeout=WAIT) as answer:
        return json.load(answer)


def ended(program: subprocess.Popen[bytes]) -> int:
    """The exit status; everything that the program started has ended with it."""
    status = program.wait(WAIT)
    with pytest.raises(ProcessLookupError):
        os.killpg(program.pid, 0)
    return status


# ---- the journeys of the documentation


@needs_ffmpeg
def test_step_4_of_the_developer_guide(programs, processor, clip):
    """Server, container, publisher, the guide's own curl, and a player on the output; nothing else is installed."""
    server, trickle = programs.start_until(r"trickle server at (\S+)", "trickle-server", "--port", 0)
    container, port = programs.start_until(r"listening on port (\d+)", "serve", processor, "--port", 0)
    publisher = programs.start("publish", clip, f"{trickle}/input", "--realtime", "--loop")
    command = START.replace("http://127.0.0.1:3389", trickle).replace("localhost:8000", f"localhost:{port}")
    until(lambda: channel_exists(f"{trickle}/input"))
    answer = json.loads(subprocess.run(command, shell=True, check=True, capture_output=True).stdout)
    assert (answer["status"], answer["request_id"]) == ("success", "test-session")
    status = f"http://localhost:{port}/api/stream/status"
    until(lambda: get_json(status)["frames_out"] > 0)
    until(lambda: channel_exists(f"{trickle}/output"))

    player = f"ffmpeg -v error -i - -frames:v 60 -pix_fmt rgb24 -f rawvideo - | head -c {60 * 704 * 384 * 3}"
    shell = f"set -o pipefail; {' '.join(COMMAND)} subscribe {trickle}//output/ | {player}"  # read2pipe's slashes
    shown = subprocess.run(["bash", "-c", shell], check=False, capture_output=True, env=clean_environment(), timeout=60)
    assert (shown.returncode, shown.stderr.decode()) == (0, ""), (
        "the player is done before the stream, and all is quiet"
    )
    pictures = np.frombuffer(shown.stdout, np.uint8).reshape(-1, 384, 704, 3)
    assert len(pictures) == 60, "more than two rounds of the clip"
    red, green, blue = pictures.reshape(60, -1, 3).mean(axis=1).T
    assert np.all(abs(green - 80) < 8) and np.all(red < 8) and np.all(blue < 8), "black with 80 of green"

    publisher.send_signal(signal.SIGINT)
    assert ended(publisher) == 0
    until(lambda: get_json(status)["status"] == "IDLE")
    assert get_json(status)["ended"] == "the input ended", "the publisher's end is the stream's"
    for program in (container, server):
        program.send_signal(signal.SIGTERM)
    assert (ended(container), ended(server)) == (0, 0)


def create(channel: str) -> None:
    with urllib.request.urlopen(urllib.request.Request(channel, method="POST"), timeout=WAIT):
        pass


def channel_exists(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/next", timeout=WAIT):
            return True
    except urllib.error.HTTPError as error:
        with error:
            return False


def test_the_quickstarts_processor_and_its_first_job(tmp_path):
    """`processor.py` character for character, on port 8000 of a network of its own where the machine allows one."""
    apart = has_networks()
    port = 8000 if apart else free_port("127.0.0.1")
    quickstart = (DOCUMENTS / "quickstart.py.txt").read_text()
    (tmp_path / "processor.py").write_text(quickstart.replace("port=8000", f"port={port}"))
    script = f"""
        {"ip link set lo up" if apart else ""}
        {sys.executable} processor.py 2> log & container=$!
        until curl -s -o /dev/null http://localhost:{port}/api/stream/status; do kill -0 $container || exit 9; done
        curl -s -o /dev/null -w '%{{http_code}}\\n' http://localhost:{port}/api/stream/status
        head -c {640 * 480 * 3} /dev/zero | curl -s --fail -X POST --data-binary @- -o frame.rgb \\
            -H 'Content-Type: application/octet-stream' -H 'X-Model-Id: green-tint-cpu' \\
            http://localhost:{port}/live/video-to-video || exit 8
        kill -TERM $container; wait $container; echo $?
    """
    shell = [*(["unshare", "-rnpf", "--kill-child"] if apart else []), "bash", "-c", script]
    done = subprocess.run(shell, check=False, cwd=tmp_path, env=clean_environment(), capture_output=True, timeout=60)
    log = (tmp_path / "log").read_text()
    assert (done.returncode, done.stdout.split()) == (0, [b"200", b"0"]), log
    assert "GreenTintProcessor: initialised" in log
    assert f"Trickle server listening on port {port}" in log
    assert "Traceback" not in log
    frame = (tmp_path / "frame.rgb").read_bytes()
    assert (len(frame), sum(frame[1::3]), sum(frame)) == (921_600, 24_576_000, 24_576_000)


def has_networks() -> bool:
    """Whether this machine lets us have a network of our own, on which every port is free."""
    try:
        trial = ["unshare", "-rnpf", "--kill-child", "ip", "link", "set", "lo", "up"]
        return subprocess.run(trial, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@needs_ffmpeg
@pytest.mark.skipif(not has_networks(), reason="ports 8000 and 3389 may be taken, and no network apart can be had")
def test_the_developer_guides_own_class_ports_and_curls(clip, tmp_path):
    """Step 1's program with a model and a last line, Step 4's commands with our names for http-trickle's programs."""
    pytest.importorskip("torch")
    program = (DOCUMENTS / "developer_guide.py.txt").read_text()
    model = "def load_my_model():\n    return lambda tensor: 1 - tensor\n"
    (tmp_path / "processor.py").write_text(f"{model}{program}\nimport asyncio\nasyncio.run(main())\n")
    ours = " ".join(COMMAND)
    status = "curl -s http://localhost:8000/api/stream/status"
    script = f"""
        ip link set lo up
        {ours} trickle-server --host 0.0.0.0 --port 3389 2> log1 & server=$!
        {sys.executable} processor.py 2> log2 & container=$!
        until curl -s -o next http://127.0.0.1:3389/input/next; do kill -0 $server || exit 9; done
        {ours} publish {clip} http://127.0.0.1:3389/input --realtime --loop 2> log3 & publisher=$!
        until {status} -o /dev/null; do kill -0 $container || exit 8; done
        until curl -s --fail -o next http://127.0.0.1:3389/input/next; do kill -0 $publisher || exit 7; done
        {START} || exit 6
        until curl -s --fail -o next http://127.0.0.1:3389/output/next; do kill -0 $container || exit 5; done
        {ours} subscribe http://127.0.0.1:3389//output/ | ffprobe -v error -show_streams -of json - > shown
        {status} > status
        kill -INT $publisher $container $server
        wait $publisher && wait $container && wait $server
    """
    shell = [
        "unshare",
        "-rnpf",
        "--kill-child",
        "bash",
        "-c",
        f"set -m; {script}",
    ]  # -m, or bash lets background programs ignore ^C
    done = subprocess.run(shell, check=False, cwd=tmp_path, env=clean_environment(), capture_output=True, timeout=60)
    logs = "".join((tmp_path / f"log{number}").read_text() for number in (1, 2, 3))
    assert done.returncode == 0, logs + done.stderr.decode()
    assert "Traceback" not in logs
    assert json.loads(done.stdout)["status"] == "success"
    shown = json.loads((tmp_path / "shown").read_text())["streams"]
    assert {(stream["codec_name"], stream.get("width"), stream.get("height")) for stream in shown} == {
        ("h264", 704, 384),
        ("opus", None, None),
    }
    body = json.loads((tmp_path / "status").read_text())
    assert (body["status"], body["errors"]) == ("OK", 0) and body["frames_out"] > 10


# ---- publish and subscribe


@needs_ffmpeg
def test_mpegts_on_standard_input_and_a_file_as_output(programs, channels, tmp_path):
    base, server = channels
    create(f"{base}/in")
    subscriber = programs.start("subscribe", f"{base}/in", "-o", tmp_path / "out.ts")
    until(lambda: server.stats.readers)
    make = "ffmpeg -v error -f lavfi -i testsrc2=size=160x120:rate=25:duration=2 -c:v mpeg2video -f mpegts -"
    pipe = subprocess.Popen(make.split(), stdout=subprocess.PIPE)
    publisher = programs.start("publish", "-", f"{base}/in", stdin=pipe.stdout)
    pipe.stdout.close()
    assert pipe.wait(WAIT) == 0
    assert ended(publisher) == 0, publisher.stderr.read()
    assert ended(subscriber) == 0, "the end of the channel is the end of the program"
    found = ffprobe_file(tmp_path / "out.ts", "-count_frames", "-show_streams")["streams"]
    video = next(stream for stream in found if stream["codec_type"] == "video")
    assert (video["codec_name"], video["width"], int(video["nb_read_frames"])) == ("h264", 160, 50)


def test_nonsense_on_standard_input_is_one_line(programs, channels):
    publisher = programs.start("publish", "-", f"{channels[0]}/in", stdin=subprocess.PIPE)
    _, said = publisher.communicate(b"this is no video\n" * 1000, timeout=WAIT)
    assert publisher.returncode == 1
    assert said.decode().splitlines() == ["byoc-nb: standard input isn't MPEG-TS that can be read"]
    assert channels[1].names() == []


@needs_ffmpeg
def test_without_realtime_a_file_goes_as_fast_as_it_can(channels, clip, monkeypatch):
    base, server = channels
    for option, seconds in (([], (0.0, 0.95)), (["--realtime"], (0.9, 4.0))):
        began = time.monotonic()
        assert main(["publish", str(clip), f"{base}/in", *option]) == 0
        assert seconds[0] <= time.monotonic() - began < seconds[1], option
        assert server.names() == [], "the end of the file ends the channel"


def test_a_reader_that_goes_ends_subscribe_quietly(programs, channels):
    base, _ = channels
    programs.start("publish", "testsrc", f"{base}/in", "--realtime", "--loop")
    until(lambda: channel_exists(f"{base}/in"))
    shell = f"set -o pipefail; {' '.join(COMMAND)} subscribe {base}/in | head -c 1000"
    done = subprocess.run(
        ["bash", "-c", shell], check=False, capture_output=True, env=clean_environment(), timeout=WAIT
    )
    assert (done.returncode, len(done.stdout), done.stderr) == (0, 1000, b"")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_every_program_that_runs_for_long(programs, channels, processor, number):
    base, server = channels
    long = [
        programs.start_until(r"trickle server at (\S+)", "trickle-server", "--port", 0)[0],
        programs.start_until(r"listening on port (\d+)", "serve", processor, "--port", 0)[0],
        programs.start("publish", "testsrc", f"{base}/in", "--realtime", "--loop"),
        programs.start("publish", "-", f"{base}/silent", stdin=subprocess.PIPE),
    ]
    until(lambda: channel_exists(f"{base}/in"))
    create(f"{base}/empty")
    long.append(programs.start("subscribe", f"{base}/empty"))  # waits for a segment
    until(lambda: server.stats.readers)
    stuck = programs.start("subscribe", f"{base}/in")
    until(lambda: pipe_is_full(stuck.stdout.fileno()))  # nobody reads what it has
    for program in [*long, stuck]:
        until(lambda program=program: catches(program, signal.SIGTERM))
        program.send_signal(number)
    assert [ended(program) for program in [*long, stuck]] == [0] * 6
    until(lambda: "in" not in server.names())  # a publisher that is told to end says so to its readers


def catches(program: subprocess.Popen[bytes], number: int) -> bool:
    caught = re.search(r"SigCgt:\s*(\w+)", Path(f"/proc/{program.pid}/status").read_text())[1]
    return bool(int(caught, 16) >> (number - 1) & 1)


def pipe_is_full(descriptor: int) -> bool:
    waiting = int.from_bytes(fcntl.ioctl(descriptor, termios.FIONREAD, bytes(4)), sys.byteorder)
    return waiting > 40_000  # of 64 KiB, after which the next write has to wait


# ---- the REST calls


@pytest.fixture(scope="module")
def container(tmp_path_factory):
    """A container that runs for the tests of this module; its URL."""
    path = tmp_path_factory.mktemp("container") / "processor.py"
    path.write_text(PROCESSOR)
    programs = Programs()
    _, port = programs.start_until(r"listening on port (\d+)", "serve", f"{path}:GreenTint", "--port", 0)
    yield f"http://127.0.0.1:{port}"
    programs.close()


def test_start_params_status_stop(container, capsys):
    def run(*arguments):
        status = main([*arguments])
        return status, json.loads(capsys.readouterr().out)

    status, answer = run("start", container, "amount=3", "--id", "mine", "max_framerate=20")
    assert (status, answer["request_id"], answer["current_state"]["params"]) == (0, "mine", {"amount": 3})
    assert run("start", container)[0] == 1, "busy"
    assert run("params", f"{container}/", "amount=7")[0] == 0, "with a slash at the end of the URL too"
    status, answer = run("params", container, "amount=many")
    assert (status, list(answer["errors"])) == (1, ["amount"])
    status, answer = run("status", container)
    assert (status, answer["status"], answer["params"]) == (0, "OK", {"amount": 7})
    assert [run("stop", container)[0] for _ in range(2)] == [0, 0]
    assert run("status", f"{container}/api")[1]["status"] == "IDLE"


def test_start_with_channels(container, channels, capsys):
    base, server = channels
    create(f"{base}/in")
    arguments = ["--subscribe-url", f"{base}/in", "--events-url", f"{base}/events", "--data-url", f"{base}/data"]
    assert main(["start", container, *arguments]) == 0
    until(lambda: server.stats.readers and "events" in server.names())
    assert main(["stop", container]) == 0


def test_the_containers_token_is_in_the_environment_of_both(programs, processor, monkeypatch, capsys):
    port = free_port("127.0.0.1")
    monkeypatch.setenv("BYOC_CAPABILITY_TOKEN", "c0ffee")
    environment = clean_environment() | {"BYOC_CAPABILITY_TOKEN": "c0ffee"}
    program = programs.start("serve", processor, "--port", port, env=environment)
    until(lambda: main(["status", f"http://127.0.0.1:{port}"]) == 0)
    monkeypatch.delenv("BYOC_CAPABILITY_TOKEN")
    assert main(["status", f"http://127.0.0.1:{port}"]) == 1
    assert "bearer token" in capsys.readouterr().out
    program.send_signal(signal.SIGTERM)
    said = program.communicate(timeout=WAIT)[1]
    assert program.returncode == 0
    assert b"c0ffee" not in said


# ---- errors


FILES = {
    "raises.py": "import math\n\nweights = 1 / 0\n",
    "two.py": "class A:\n    def process(self, frame): ...\nclass B:\n    def process(self, frame): ...\n",
}
NOWHERE = "http://127.0.0.1:9"


@pytest.mark.parametrize(
    "arguments, says",
    [
        ("publish missing.mp4 URL/x", "no such file: missing.mp4"),
        ("publish two.py URL/x", "isn't a video file"),
        (f"publish testsrc {NOWHERE}/x", "can't be reached|cannot be reached"),
        ("publish testsrc ftp://host/x", "isn't the URL of a channel"),
        ("publish testsrc http://127.0.0.1:99999/x", "isn't the URL of a channel"),
        ("publish testsrc URL", "isn't the URL of a channel"),
        ("subscribe URL/nothing", "no trickle channel at"),
        (f"subscribe {NOWHERE}/x", "cannot be read"),
        ("subscribe host/x", "isn't the URL of a channel"),
        ("serve missing.py", "no such file: missing.py"),
        ("serve raises.py", r"raised ZeroDivisionError: division by zero \(line 3 of <module>: weights = 1 / 0\)"),
        ("serve two.py", "holds 2 processors, A and B: choose: two.py:A"),
        ("serve two.py:A --port BUSY", "port [0-9]+ is already in use: port [0-9]+ is free"),
        ("serve two.py:A --host nowhere.invalid", "nowhere.invalid|Name or service not known"),
        ("trickle-server --port BUSY", "port [0-9]+ is already in use: port [0-9]+ is free"),
        (f"status {NOWHERE}", "can't be reached"),
        ("status localhost:8000", "isn't a URL"),
        ("status http://[", "can't be reached"),
        (f"params {NOWHERE} amount", "'amount' isn't NAME=VALUE"),
        (f"params {NOWHERE} amount={'[' * 100_000}", "can't be reached"),
        (f"start {NOWHERE} =3", "'=3' isn't NAME=VALUE"),
        ("register --orch-url http://127.0.0.1:9", "no orchestrator to register at: set ORCH_SECRET"),
    ],
)
def test_mistakes_are_one_line_on_standard_error(arguments, says, channels, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("byoc_nb.trickle.wire.BACKOFF_SECONDS", 0.002)
    for name in [*os.environ]:
        if name not in clean_environment():
            monkeypatch.delenv(name)
    for name, code in FILES.items():
        (tmp_path / name).write_text(code)
    with socket.create_server(("127.0.0.1", 0)) as busy:
        arguments = arguments.replace("URL", channels[0]).replace("BUSY", str(busy.getsockname()[1]))
        arguments = arguments.split() + (["--host", "127.0.0.1"] if "--port" in arguments else [])
        assert main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1 and len(err) < 300, err
    assert err.startswith("byoc-nb: ") and re.search(says, err), err


def test_a_subscriber_that_finds_no_channel_leaves_the_file_as_it_is(channels, tmp_path, capsys):
    (tmp_path / "out.ts").write_bytes(b"precious")
    assert main(["subscribe", f"{channels[0]}/nothing", "-o", str(tmp_path / "out.ts")]) == 1
    assert (tmp_path / "out.ts").read_bytes() == b"precious"


def test_an_output_that_cannot_be_written_is_one_line(channels, tmp_path, capsys):
    base, _ = channels
    request = urllib.request.Request(f"{base}/in/0", data=b"x", method="POST")
    with urllib.request.urlopen(request, timeout=WAIT):
        pass
    assert main(["subscribe", f"{base}/in", "-o", str(tmp_path / "no" / "out.ts")]) == 1
    assert re.fullmatch("byoc-nb: .*No such file or directory.*\n", capsys.readouterr().err)


@pytest.mark.parametrize(
    "arguments",
    [[], ["dance"], ["serve"], ["serve", "x.py", "--port", "99999"], ["status", "u", "extra"], ["start", "u", "--no"]],
)
def test_wrong_usage_is_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: byoc-nb" in capsys.readouterr().err


# ---- the program as such


COMMANDS = {
    "new": "name --template",
    "doctor": "--json",
    "kernelspec": "install --user --sys-prefix --prefix",
    "export": "processor directory --name --cpu --cuda --base --max-constant --force --no-prove --tolerance",
    "check": "processor --max-constant",
    "build": "directory --tag --platform",
    "push": "directory --tag",
    "run": "directory --tag --port",
    "serve": "processor --port --host --policy --verify-tls",
    "start": "url --subscribe-url --publish-url --control-url --events-url --data-url --id NAME=VALUE",
    "params": "url NAME=VALUE",
    "status": "url",
    "stop": "url",
    "register": "--orch-url --name --url --unregister",
    "trickle-server": "--host --port --base-path --autocreate --no-autocreate --changefeed",
    "publish": "file url --realtime --loop --verify-tls",
    "subscribe": "url --output --verify-tls",
    "bench": "--pytrickle --clip --output --rounds --seconds --only --size --quick --soak",
    "completion": "{bash,zsh}",
}


def test_help_lists_every_command_in_its_group(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    whole = capsys.readouterr().out
    assert re.findall(r"^  ([a-z][a-z-]*) +\w", whole, re.MULTILINE) == [*COMMANDS]
    assert re.findall(r"^([a-z].*):$", whole, re.MULTILINE) == [*GROUPS, "options"]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_commands_help_says_something_about_every_option(command, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert re.match(rf"usage: byoc-nb {command} ", text)
    described = re.sub(r"\n {20,}", "  ", text)  # long names have their text on the next line
    for option in COMMANDS[command].split():
        assert option in described, option
    for line in described.splitlines():
        assert not line.startswith("  ") or re.search(r"\S  +\S", line), f"{line} says nothing"


def typed(line: str) -> list[str]:
    """What bash offers for the last word of a line."""
    words = line.split(" ")
    code = f"""
eval "$({shlex.join(COMMAND)} completion bash)"
COMP_WORDS=({shlex.join(words)}) COMP_CWORD={len(words) - 1} COMP_LINE={shlex.quote(line)}
$(complete -p byoc-nb | sed -E 's/.*-F ([^ ]+).*/\\1/') byoc-nb {shlex.quote(words[-1])} {shlex.quote(words[-2])}
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    return subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.skipif(not shutil.which("bash"), reason="bash is not installed")
def test_bash_completes_commands_options_and_choices():
    assert typed("byoc-nb s") == ["serve", "start", "status", "stop", "subscribe"]
    assert typed("byoc-nb subscribe --") == ["--help", "--output", "--verify-tls"]
    assert typed("byoc-nb new --template t") == ["torch"]


def test_zsh_gets_a_script_of_every_command(capsys):
    assert main(["completion", "zsh"]) == 0
    script = capsys.readouterr().out
    assert script.startswith("#compdef byoc-nb\n")
    assert all(f"_{command.replace('-', '_')}_options" in script for command in COMMANDS)


def test_the_installed_command_is_the_module():
    script = Path(sys.executable).parent / "byoc-nb"
    versions = [
        subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout
        for command in ([script], COMMAND)
    ]
    assert versions[0] == versions[1] and versions[0].startswith("byoc-nb ")


def test_the_command_line_is_light():
    heavy = ("torch", "IPython", "jinja2", "PIL", "ipywidgets", "matplotlib")
    code = f"import sys, byoc_nb.cli; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.fixture(scope="module")
def https(tmp_path_factory):
    """A trickle server without channels, behind a certificate that it signed itself."""
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    subprocess.run(
        [*command.split(), "-keyout", folder / "key", "-out", folder / "cert"], check=True, capture_output=True
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert", folder / "key")
    app = web.Application()
    TrickleServer().mount(app)
    runner = web.AppRunner(app)

    async def start() -> str:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        return f"https://127.0.0.1:{runner.addresses[0][1]}"

    loop = LoopThread("tls")
    yield loop.run(start())
    loop.run(runner.cleanup())
    loop.stop()


@pytest.mark.parametrize("command", [["subscribe"], ["publish", "testsrc"]])
def test_certificates_are_checked_on_demand(command, https, monkeypatch, capsys):
    monkeypatch.setattr("byoc_nb.trickle.wire.BACKOFF_SECONDS", 0.002)
    assert main([*command, f"{https}/x"]) == 1
    assert "certificate" not in capsys.readouterr().err  # it got as far as the channel, which is not there
    assert main([*command, f"{https}/x", "--verify-tls"]) == 1
    error = capsys.readouterr().err
    assert "certificate" in error.lower()


def test_a_terminal_without_our_characters_gets_others():
    """As in a locale of another century; the help has `…`."""
    environment = {**clean_environment(), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([*COMMAND, "build", "--help"], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "") and "--secret id=?,env=?" in done.stdout
