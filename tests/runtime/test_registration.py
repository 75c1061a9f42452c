"""Registration, with an orchestrator that answers as go-livepeer's does."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import ssl
import subprocess
import sys
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from kit import WAIT, auntil

from byoc_nb.cli import main
from byoc_nb.processor import FrameProcessor
from byoc_nb.runtime import registration as registration_
from byoc_nb.runtime.ports import free_port
from byoc_nb.runtime.registration import Registration, RegistrationError, Unreachable, variable
from byoc_nb.runtime.requests import StreamStart
from byoc_nb.runtime.server import StreamServer

SECRET = "s3cret-of-the-orchestrator"
BODY = {
    "name": "edge-glow",
    "description": "demo",
    "url": "http://10.1.2.3:8000",
    "capacity": 2,
    "price_per_unit": 7,
    "price_scaling": 10,
    "currency": "wei",
}


@dataclass
class Orchestrator:
    """The two routes; `answers` are the statuses to give before 200."""

    answers: list[int] = field(default_factory=list)
    registered: list[dict] = field(default_factory=list)
    unregistered: list[str] = field(default_factory=list)
    calls: int = 0
    url: str = ""

    async def start(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        app = web.Application()
        app.router.add_post("/capability/register", self._register)
        app.router.add_post("/capability/unregister", self._unregister)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=tls).start()
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()

    def _checked(self, request: web.Request) -> None:
        self.calls += 1
        if self.answers and (status := self.answers.pop(0)) != 200:
            raise type("Answer", (web.HTTPException,), {"status_code": status})(text="no\n")
        if request.headers["Authorization"] != SECRET:  # go-livepeer: raw, no "Bearer"
            raise web.HTTPBadRequest(text="invalid authorization\n")

    async def _register(self, request: web.Request) -> web.Response:
        self._checked(request)
        self.registered.append(await request.json())
        return web.Response(text="ok", content_type="application/json")

    async def _unregister(self, request: web.Request) -> web.Response:
        self._checked(request)
        self.unregistered.append(await request.text())
        return web.Response(text="ok")


@pytest.fixture
async def orchestrator():
    made = Orchestrator()
    await made.start()
    yield made
    await made.stop()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(registration_, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(registration_, "REPEAT_SECONDS", 0.05)
    for name in [*os.environ]:
        if name.removeprefix("BYOC_").startswith(("ORCH_", "CAPABILITY_")):
            monkeypatch.delenv(name)


def made(url, **changes):
    return Registration(**{"orch_url": url, "orch_secret": SECRET, **BODY, **changes})


# ---- one registration


async def test_the_body_and_the_raw_secret(orchestrator):
    await made(orchestrator.url).register()
    await made(orchestrator.url, token="c0ffee").register()
    assert orchestrator.registered == [BODY, BODY | {"token": "c0ffee"}]


async def test_unregistering_sends_the_bare_name(orchestrator):
    await made(orchestrator.url).unregister()
    assert orchestrator.unregistered == ["edge-glow"]


async def test_errors_of_the_orchestrators_own_are_tried_again(orchestrator):
    orchestrator.answers = [500, 502, 503]
    await made(orchestrator.url).register()
    assert (orchestrator.calls, len(orchestrator.registered)) == (4, 1)


async def test_connection_errors_are_tried_again_until_it_is_there(monkeypatch):
    monkeypatch.setattr(registration_, "RETRY_SECONDS", 0.1)
    port = free_port("127.0.0.1")
    registering = asyncio.create_task(made(f"http://127.0.0.1:{port}").register())
    orchestrator = Orchestrator()
    await orchestrator.start(port)
    await registering
    assert len(orchestrator.registered) == 1
    await orchestrator.stop()


async def test_an_orchestrator_that_never_comes_is_given_up():
    with pytest.raises(Unreachable, match="can't be reached") as caught:
        await made("http://127.0.0.1:9").register()
    assert "\n" not in caught.value.one_line()


async def test_one_that_accepts_and_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(registration_, "ANSWER_SECONDS", 0.05)
    gone = asyncio.Event()

    async def silent(reader, writer):
        await gone.wait()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        with pytest.raises(Unreachable, match="can't be reached"):
            await made(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}").register()
        gone.set()


@pytest.mark.parametrize("status", [400, 401, 404, 302])
async def test_a_refusal_is_not_tried_again(orchestrator, status):
    orchestrator.answers = [status]
    with pytest.raises(RegistrationError, match=f"refused capability edge-glow with {status}: no"):
        await made(orchestrator.url).register()
    assert orchestrator.calls == 1


async def test_a_wrong_secret_is_a_refusal_that_does_not_show_it(orchestrator):
    with pytest.raises(RegistrationError, match="400: invalid authorization") as caught:
        await made(orchestrator.url, orch_secret="wr0ng").register()
    assert "wr0ng" not in caught.value.one_line()
    assert "ORCH_SECRET" in caught.value.hint


# ---- https


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=orchestrator"
    files = ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


async def test_a_self_signed_certificate_is_taken_unless_it_shall_be_verified(self_signed):
    orchestrator = Orchestrator()
    await orchestrator.start(tls=self_signed)
    await made(orchestrator.url).register()
    assert orchestrator.url.startswith("https://") and orchestrator.registered == [BODY]
    with pytest.raises(Unreachable, match="certificate"):
        await made(orchestrator.url, verify_tls=True).register()
    assert len(orchestrator.registered) == 1
    await orchestrator.stop()


# ---- kept


async def stopped(task):
    task.cancel()
    await asyncio.wait([task], timeout=WAIT)
    assert task.done()


async def test_it_is_repeated_while_idle_and_taken_back_at_the_end(orchestrator):
    idle = True
    keeping = asyncio.create_task(made(orchestrator.url).keep(idle=lambda: idle))
    await auntil(lambda: len(orchestrator.registered) >= 3)
    idle = False
    count = len(orchestrator.registered)
    await asyncio.sleep(0.3)  # six times the interval
    assert len(orchestrator.registered) <= count + 1, "one may have been on its way"
    idle = True
    await auntil(lambda: len(orchestrator.registered) > count + 1)
    await stopped(keeping)
    assert orchestrator.unregistered == ["edge-glow"]


async def test_nothing_is_sent_while_a_stream_runs(orchestrator):
    keeping = asyncio.create_task(made(orchestrator.url).keep(idle=lambda: False))
    await asyncio.sleep(0.1)
    await stopped(keeping)
    assert orchestrator.calls == 0, "not even the farewell"


async def test_an_orchestrator_that_restarts_has_the_capability_back(orchestrator, caplog):
    caplog.set_level(logging.INFO)
    port = int(orchestrator.url.rsplit(":", 1)[1])
    keeping = asyncio.create_task(made(orchestrator.url).keep(idle=lambda: True))
    await auntil(lambda: orchestrator.registered)
    await orchestrator.stop()
    await auntil(lambda: "can't be reached" in caplog.text)
    await asyncio.sleep(0.2)
    await orchestrator.start(port)
    await auntil(lambda: caplog.text.count("registered capability edge-glow at") == 2)
    await stopped(keeping)
    assert caplog.text.count("can't be reached") == 1, "said once, however often it was tried"
    assert SECRET not in caplog.text


async def test_a_refusal_ends_it_without_a_farewell(orchestrator):
    orchestrator.answers = [400]
    with pytest.raises(RegistrationError):
        await asyncio.wait_for(made(orchestrator.url).keep(idle=lambda: True), WAIT)
    assert (orchestrator.calls, orchestrator.unregistered) == (1, [])


async def test_a_farewell_that_nobody_hears_is_logged(orchestrator, caplog):
    keeping = asyncio.create_task(made(orchestrator.url).keep(idle=lambda: True))
    await auntil(lambda: orchestrator.registered)
    await orchestrator.stop()
    await stopped(keeping)
    assert "could not be unregistered" in caplog.text
    await orchestrator.start()


# ---- from the environment


@pytest.mark.parametrize("prefix", ["", "BYOC_"])
def test_from_the_environment_under_both_names(prefix):
    environment = {
        "ORCH_URL": "https://orch:8935/",
        "ORCH_SECRET": f"{SECRET}\n",
        "CAPABILITY_NAME": "edge-glow",
        "CAPABILITY_DESCRIPTION": "demo",
        "CAPABILITY_URL": "http://10.1.2.3:8000/api/",
        "CAPABILITY_CAPACITY": "2",
        "CAPABILITY_PRICE_PER_UNIT": "7",
        "CAPABILITY_PRICE_SCALING": "10",
        "CAPABILITY_TOKEN": "c0ffee",
    }
    found = Registration.from_environment({prefix + name: value for name, value in environment.items()})
    expected = {**BODY, "url": "http://10.1.2.3:8000/api", "token": "c0ffee"}
    assert found == Registration(orch_url="https://orch:8935", orch_secret=SECRET, **expected)


def test_our_names_go_before_pytrickles():
    assert variable("ORCH_URL", {"ORCH_URL": "a", "BYOC_ORCH_URL": "b"}) == "b"
    assert variable("ORCH_URL", {"ORCH_URL": "a", "BYOC_ORCH_URL": ""}) == "a"


def test_defaults_are_pytrickles():
    found = Registration.from_environment({"ORCH_URL": "http://orch", "ORCH_SECRET": "x"}, name="mine", token="t")
    assert (found.name, found.url, found.token) == ("mine", "http://localhost:8000", "t")
    assert (found.capacity, found.price_per_unit, found.price_scaling) == (1, 0, 1)


@pytest.mark.parametrize("missing", ["ORCH_URL", "ORCH_SECRET"])
def test_without_an_orchestrator_or_its_secret_there_is_none(missing):
    environment = {"ORCH_URL": "http://orch", "ORCH_SECRET": "x"}
    assert Registration.from_environment(environment | {missing: ""}) is None


@pytest.mark.parametrize(
    "name, value",
    [
        ("CAPABILITY_CAPACITY", "many"),
        ("CAPABILITY_PRICE_PER_UNIT", "-1"),
        ("CAPABILITY_PRICE_SCALING", "1.5"),
        ("ORCH_URL", "orch:8935"),
        ("ORCH_URL", "http://["),
        ("ORCH_URL", "https://me:p4ssword@orch"),
        ("CAPABILITY_URL", "10.1.2.3:8000"),
        ("ORCH_SECRET", "p4ssword\nsecond line"),
    ],
)
def test_what_cannot_be_is_named(name, value):
    environment = {"ORCH_URL": "http://orch", "ORCH_SECRET": "x", name: value}
    with pytest.raises(RegistrationError, match=name) as caught:
        Registration.from_environment(environment)
    assert "p4ssword" not in caught.value.one_line()


def test_no_secret_shows_in_its_text():
    text = repr(made("http://orch", token="c0ffee"))
    assert SECRET not in text and "c0ffee" not in text and "edge-glow" in text


# ---- by the server


class Pass(FrameProcessor):
    async def process_video_async(self, frame):
        return frame


@pytest.fixture
def at_orchestrator(orchestrator, monkeypatch):
    monkeypatch.setenv("ORCH_URL", orchestrator.url)
    monkeypatch.setenv("ORCH_SECRET", SECRET)
    monkeypatch.setenv("BYOC_CAPABILITY_TOKEN", "c0ffee")
    return orchestrator


async def test_a_server_registers_once_its_processor_is_loaded(at_orchestrator, caplog):
    caplog.set_level(logging.DEBUG)
    release = asyncio.Event()
    begun = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    class Slow(Pass):
        async def load_model(self):
            loop.call_soon_threadsafe(begun.set_result, None)
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(release.wait(), loop))

    server = StreamServer(Slow, port=0, host="127.0.0.1")
    await server.start_server()
    await begun
    await asyncio.sleep(0.05)
    assert at_orchestrator.calls == 0
    release.set()
    await auntil(lambda: at_orchestrator.registered)
    sent = at_orchestrator.registered[0]
    assert (sent["name"], sent["url"], sent["token"]) == ("slow", f"http://localhost:{server.port}", "c0ffee")
    assert sent["capacity"] == 1

    await server.start_stream(StreamStart(gateway_request_id="x"))
    await asyncio.sleep(0.05)  # one may have been on its way
    count = at_orchestrator.calls
    await asyncio.sleep(0.2)
    assert at_orchestrator.calls == count, "repeating it would set the orchestrator's count of streams to 0"
    await server.stop_stream()
    await auntil(lambda: at_orchestrator.calls > count)
    await server.stop()
    assert at_orchestrator.unregistered == ["slow"]
    assert SECRET not in caplog.text and "c0ffee" not in caplog.text


async def test_nothing_is_registered_that_cannot_be_loaded(at_orchestrator, caplog):
    class Broken(Pass):
        async def load_model(self):
            raise OSError("no weights")

    server = StreamServer(Broken, port=0, host="127.0.0.1")
    await server.start_server()
    await auntil(lambda: "the capability isn't registered" in caplog.text)
    await server.stop()
    assert at_orchestrator.calls == 0


async def test_a_refusal_and_a_wrong_setting_leave_the_server_serving(at_orchestrator, caplog, monkeypatch):
    for name, value in (("ORCH_SECRET", "wr0ng"), ("CAPABILITY_CAPACITY", "many")):
        monkeypatch.setenv(name, value)
        caplog.clear()
        server = StreamServer(Pass, port=0, host="127.0.0.1")
        await server.start_server()
        await auntil(lambda: "the capability isn't registered" in caplog.text)
        assert "wr0ng" not in caplog.text
        await server.loaded()
        assert server.state == "IDLE"
        await server.stop()


PROGRAM = """
import asyncio
from byoc_nb import FrameProcessor, run_processor
class Mine(FrameProcessor):
    async def process_video_async(self, frame): return frame
asyncio.run(run_processor(Mine(), port=%d, host="127.0.0.1"))
"""


async def test_sigterm_takes_the_capability_back(at_orchestrator):
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM % free_port("127.0.0.1"), stderr=asyncio.subprocess.PIPE
    )
    await auntil(lambda: at_orchestrator.registered)
    program.send_signal(signal.SIGTERM)
    _, said = await asyncio.wait_for(program.communicate(), WAIT)
    assert (program.returncode, at_orchestrator.unregistered) == (0, ["mine"])
    assert SECRET.encode() not in said


async def test_the_command(at_orchestrator, capsys):
    def run(*arguments):
        return asyncio.to_thread(main, ["register", *arguments])

    assert await run("--name", "edge-glow", "--url", "http://10.1.2.3:8000") == 0
    assert at_orchestrator.registered[0] == {
        **BODY,
        **{"description": "", "capacity": 1, "price_per_unit": 0, "price_scaling": 1, "token": "c0ffee"},
    }
    assert await run("--name", "edge-glow", "--unregister") == 0
    assert at_orchestrator.unregistered == ["edge-glow"]
    assert await run("--orch-url", "http://127.0.0.1:9", "--unregister") == 1, "nothing was taken back"
    assert await run("--orch-url", "http://127.0.0.1:9") == 1
    out, err = capsys.readouterr()
    assert out.splitlines() == ["edge-glow registered as http://10.1.2.3:8000", "edge-glow unregistered"]
    assert [line.partition(":")[0] for line in err.splitlines()] == ["byoc-nb"] * 2
    assert SECRET not in out + err
