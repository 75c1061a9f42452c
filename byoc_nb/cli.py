"""`byoc-nb …`: the parts on the command line, each standing on its own.

byoc-nb trickle-server                     a trickle server
byoc-nb publish video.mp4 URL/input        a file as a live stream
byoc-nb subscribe URL/output | ffplay -    a stream to standard output
byoc-nb serve processor.py                 a container without a container
byoc-nb start|params|status|stop URL …     the REST calls that an orchestrator makes
byoc-nb register                           a capability at an orchestrator
byoc-nb export processor.py DIR            a file's processor as a container folder; check looks only
byoc-nb build|push|run DIR                 the folder as an image
byoc-nb bench                              how fast this is, beside pytrickle and ffmpeg
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import errno
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from byoc_nb import __version__, pytrickle_names
from byoc_nb.bench.command import add_options, bench
from byoc_nb.errors import ByocError
from byoc_nb.export.command import add_commands
from byoc_nb.network.output import copy
from byoc_nb.network.source import Source
from byoc_nb.runtime.load import load_processor
from byoc_nb.runtime.ports import PortInUse, free_port
from byoc_nb.runtime.registration import Registration, variable
from byoc_nb.runtime.server import run_processor
from byoc_nb.trickle import TrickleServer

FAREWELL_SECONDS = 5.0  # for a source to end its channel
ANSWER_SECONDS = 130.0  # byoc-sdk gives a start 120 s, in which a model may load


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns its exit status: 0, 1 for an error, 2 for wrong usage, 130 when interrupted."""
    options = _parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    pytrickle_names.install()
    try:
        result: int | None = asyncio.run(options.run(options))
    except ByocError as error:
        return _fail(error.one_line())
    except BrokenPipeError:  # the program that reads our output has gone, which is no error of ours
        sys.stdout = None  # or Python complains when it flushes at exit
        return 0
    except OSError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return 130
    return result or 0


def _fail(line: str) -> int:
    print(f"byoc-nb: {line}", file=sys.stderr)  # noqa: T201
    return 1


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and (any(text.startswith("-") for text in rest) or options.run is not _start):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:  # argparse takes no NAME=VALUE behind an option
        options.params += rest
    return options


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 5 or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text} isn't a port, 0 to 65535")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="byoc-nb", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"byoc-nb {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: Any, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        made.set_defaults(run=run)
        return made

    server = command("trickle-server", _trickle_server, "run a trickle server")
    server.add_argument("--host", default="127.0.0.1", help="the address to listen at (127.0.0.1)")
    server.add_argument("--port", type=_port, default=3389, help="0 takes a free one (3389)")
    server.add_argument("--base-path", default="/", help="what stands in front of the channel's name (/)")
    server.add_argument(
        "--autocreate", action=argparse.BooleanOptionalAction, default=True, help="publishing makes the channel (yes)"
    )
    server.add_argument("--changefeed", action="store_true", help="tell of new and ended channels on _changes")

    publish = command("publish", _publish, "publish a file to a trickle channel, until its end")
    publish.add_argument("file", help="any file or URL that ffmpeg reads, testsrc, or - for MPEG-TS on standard input")
    publish.add_argument("url", help="of the channel")
    publish.add_argument("--realtime", action="store_true", help="at the video's own pace, not as fast as it goes")
    publish.add_argument("--loop", action="store_true", help="again and again")
    _add_verify_tls(publish)

    subscribe = command("subscribe", _subscribe, "write a trickle channel to a file or to standard output")
    subscribe.add_argument("url", help="of the channel")
    subscribe.add_argument("-o", "--output", default="-", help="a file; - is standard output (-)")
    _add_verify_tls(subscribe)

    serve = command("serve", _serve, "serve a processor, as its container would")
    serve.add_argument("processor", help="FILE.py, or FILE.py:NAME if the file holds several")
    serve.add_argument("--port", type=_port, default=8000, help="0 takes a free one (8000)")
    serve.add_argument("--host", default="0.0.0.0", help="the address to listen at (0.0.0.0)")
    _add_verify_tls(serve)
    serve.add_argument(
        "--policy", choices=("live", "lossless"), help="a processor that is too slow drops frames (live) or waits"
    )

    start = command("start", _start, "start a stream on a container")
    start.add_argument("url", help="of the container, such as http://127.0.0.1:8000")
    for name in ("subscribe", "publish", "control", "events", "data"):
        start.add_argument(f"--{name}-url", default="", help=f"the channel that it shall {_USES[name]}")
    start.add_argument("--id", default="byoc-nb", help="the gateway_request_id")
    start.add_argument("params", nargs="*", metavar="NAME=VALUE", help="parameters; JSON values or plain text")

    params = command("params", _params, "change the parameters of the running stream")
    params.add_argument("url", help="of the container")
    params.add_argument("params", nargs="+", metavar="NAME=VALUE", help="parameters; JSON values or plain text")
    command("status", _status, "show what a container does").add_argument("url", help="of the container")
    command("stop", _stop, "end the running stream").add_argument("url", help="of the container")

    register = command("register", _register, "register a capability at an orchestrator; ORCH_SECRET has its secret")
    register.add_argument("--orch-url", help="of the orchestrator (ORCH_URL)")
    register.add_argument("--name", help="of the capability (CAPABILITY_NAME)")
    register.add_argument("--url", help="of the container, as the orchestrator reaches it (CAPABILITY_URL)")
    register.add_argument("--unregister", action="store_true", help="take it back")

    add_commands(command)
    add_options(command("bench", bench, "measure latency, processor time and memory beside pytrickle and ffmpeg"))
    return parser


_USES = {"subscribe": "read", "publish": "write", "control": "obey", "events": "report to", "data": "write text to"}


def _add_verify_tls(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--verify-tls", action="store_true", help="check a trickle server's certificate; orchestrators sign their own"
    )


async def _trickle_server(options: argparse.Namespace) -> None:
    server = TrickleServer(base_path=options.base_path, autocreate=options.autocreate, changefeed=options.changefeed)
    try:
        url = await server.start(options.host, options.port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(options.port, free_port(options.host, near=options.port)) from None
        raise
    print(f"trickle server at {url}", file=sys.stderr, flush=True)  # noqa: T201
    try:
        await _until_signalled(asyncio.Event().wait())
    finally:
        await server.stop()


async def _publish(options: argparse.Namespace) -> None:
    url = _channel(options.url)
    source = Source(options.file, loop=options.loop, realtime=options.realtime)
    try:
        # stopping the source ends the channel, so that whoever reads it learns that this was all
        await _until_signalled(source.run(url, verify_tls=options.verify_tls), source.stop)
    finally:
        source.stop()
        await asyncio.to_thread(source.join, FAREWELL_SECONDS)


async def _subscribe(options: argparse.Namespace) -> None:
    await _until_signalled(copy(_channel(options.url), options.output, verify_tls=options.verify_tls))


def _serve(options: argparse.Namespace) -> Coroutine[Any, Any, None]:
    processor = load_processor(options.processor)  # here, outside the loop, as `python processor.py` would
    return run_processor(
        processor, port=options.port, host=options.host, policy=options.policy, verify_tls=options.verify_tls
    )


async def _start(options: argparse.Namespace) -> int:
    body = {"gateway_request_id": options.id, "params": _assignments(options.params)}
    for name in _USES:
        if value := getattr(options, f"{name}_url"):
            body[f"{name}_url"] = value
    return await _call("POST", options.url, "/stream/start", body)


async def _params(options: argparse.Namespace) -> int:
    return await _call("POST", options.url, "/stream/params", _assignments(options.params))


async def _status(options: argparse.Namespace) -> int:
    return await _call("GET", options.url, "/stream/status")


async def _stop(options: argparse.Namespace) -> int:
    return await _call("POST", options.url, "/stream/stop", {})


async def _register(options: argparse.Namespace) -> None:
    given = {"ORCH_URL": options.orch_url, "CAPABILITY_NAME": options.name, "CAPABILITY_URL": options.url}
    given = {f"BYOC_{name}": value for name, value in given.items() if value}
    registration = Registration.from_environment({**os.environ, **given})
    if registration is None:
        raise ByocError("no orchestrator to register at", hint="set ORCH_SECRET, and ORCH_URL or --orch-url")
    await (registration.unregister() if options.unregister else registration.register())
    done = "unregistered" if options.unregister else f"registered as {registration.url}"
    print(f"{registration.name} {done}")  # noqa: T201


async def _call(method: str, url: str, path: str, body: dict[str, Any] | None = None) -> int:
    """One REST call; prints the answer and gives 1 for a refusal."""
    if not url.startswith(("http://", "https://")):
        raise ByocError(f"{url} isn't a URL", hint="give the container's, such as http://127.0.0.1:8000")
    token = variable("CAPABILITY_TOKEN")  # as the container has it
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as http,
            http.request(method, url.rstrip("/") + path, json=body) as answer,
        ):
            text = await answer.text(errors="replace")
    except (aiohttp.ClientError, OSError) as error:
        raise ByocError(
            f"{url} can't be reached: {str(error) or type(error).__name__}", hint="is it running?"
        ) from None
    with contextlib.suppress(ValueError):
        text = json.dumps(json.loads(text), indent=2)
    print(text, flush=True)  # noqa: T201
    return 0 if answer.status < 400 else 1


def _channel(url: str) -> str:
    """A trickle channel's URL, checked."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.path.strip("/") and parts.port != 0:
            return url
    raise ByocError(f"{url} isn't the URL of a channel", hint="give one such as http://127.0.0.1:3389/input")


def _assignments(texts: list[str]) -> dict[str, Any]:
    """NAME=VALUE arguments as a dict; a value is JSON if it parses as such, else plain text."""
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ByocError(f"{text!r} isn't NAME=VALUE", hint="such as strength=0.8")
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value
    return values


async def _until_signalled(work: Coroutine[Any, Any, Any], stop: Callable[[], None] | None = None) -> None:
    """Run until it is done, or SIGTERM or SIGINT comes; `stop` then asks it to end, and it has seconds for that."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)

    def end() -> None:
        nonlocal stop
        if stop is None:
            task.cancel()
        else:
            stop()
            stop = None  # the second signal is meant
            loop.call_later(FAREWELL_SECONDS, task.cancel)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    try:
        await task
    except asyncio.CancelledError:
        pass
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


if __name__ == "__main__":
    sys.exit(main())
