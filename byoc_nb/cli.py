"""`byoc-nb …`: the parts on the command line, each standing on its own.

byoc-nb trickle-server                     a trickle server
byoc-nb publish video.mp4 URL/input        a file as a live stream
byoc-nb subscribe URL/output | ffplay -    a stream to standard output
byoc-nb serve processor.py                 a container without a container
byoc-nb start|params|status|stop URL …     the REST calls that an orchestrator makes
byoc-nb register                           a capability at an orchestrator
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Coroutine, Sequence
from typing import Any

import aiohttp

from byoc_nb import __version__, pytrickle_names
from byoc_nb.errors import ByocError
from byoc_nb.network.source import Source
from byoc_nb.runtime.load import load_processor
from byoc_nb.runtime.registration import Registration
from byoc_nb.runtime.server import run_processor
from byoc_nb.trickle import TrickleServer, TrickleSubscriber

ANSWER_SECONDS = 130.0  # byoc-sdk gives a start 120 s, in which a model may load


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; returns its exit status: 0, 1 for an error, 2 for wrong usage, 130 when interrupted."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    pytrickle_names.install()
    try:
        result: int | None = asyncio.run(options.run(options))
    except ByocError as error:
        return _fail(error.one_line())
    except OSError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return 130
    return result or 0


def _fail(line: str) -> int:
    print(f"byoc-nb: {line}", file=sys.stderr)  # noqa: T201
    return 1


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
    server.add_argument("--host", default="127.0.0.1")
    server.add_argument("--port", type=int, default=3389)
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

    subscribe = command("subscribe", _subscribe, "write a trickle channel to a file or to standard output")
    subscribe.add_argument("url", help="of the channel")
    subscribe.add_argument("-o", "--output", default="-", help="a file; - is standard output (-)")

    serve = command("serve", _serve, "serve a processor, as its container would")
    serve.add_argument("processor", help="FILE.py, or FILE.py:NAME if the file holds several")
    serve.add_argument("--port", type=int, default=8000)
    serve.add_argument("--host", default="0.0.0.0")
    serve.add_argument("--policy", choices=("live", "lossless"), default=None, help="for a processor that is too slow")

    start = command("start", _start, "start a stream on a container")
    start.add_argument("url", help="of the container, such as http://127.0.0.1:8000")
    for name in ("subscribe", "publish", "control", "events", "data"):
        start.add_argument(f"--{name}-url", default="", help=f"the channel that it shall {_USES[name]}")
    start.add_argument("--id", default="byoc-nb", help="the gateway_request_id")
    start.add_argument("params", nargs="*", metavar="NAME=VALUE", help="parameters; JSON values or plain text")

    params = command("params", _params, "change the parameters of the running stream")
    params.add_argument("url")
    params.add_argument("params", nargs="+", metavar="NAME=VALUE")
    command("status", _status, "show what a container does").add_argument("url")
    command("stop", _stop, "end the running stream").add_argument("url")

    register = command("register", _register, "register a capability at an orchestrator; ORCH_SECRET has its secret")
    register.add_argument("--orch-url", help="of the orchestrator (ORCH_URL)")
    register.add_argument("--name", help="of the capability (CAPABILITY_NAME)")
    register.add_argument("--url", help="of the container, as the orchestrator reaches it (CAPABILITY_URL)")
    register.add_argument("--unregister", action="store_true", help="take it back")
    return parser


_USES = {"subscribe": "read", "publish": "write", "control": "obey", "events": "report to", "data": "write text to"}


async def _trickle_server(options: argparse.Namespace) -> None:
    server = TrickleServer(base_path=options.base_path, autocreate=options.autocreate, changefeed=options.changefeed)
    url = await server.start(options.host, options.port)
    print(f"trickle server at {url}", file=sys.stderr, flush=True)  # noqa: T201
    try:
        await _until_signalled(asyncio.Event().wait())
    finally:
        await server.stop()


async def _publish(options: argparse.Namespace) -> None:
    source = Source(options.file, loop=options.loop, realtime=options.realtime)
    try:
        await _until_signalled(source.run(options.url))
    finally:
        source.stop()
        await asyncio.to_thread(source.join, 5.0)


async def _subscribe(options: argparse.Namespace) -> None:
    with contextlib.ExitStack() as files:
        to_file = options.output != "-"
        target = files.enter_context(open(options.output, "wb")) if to_file else sys.stdout.buffer  # noqa: ASYNC230

        async def copy() -> None:
            async with TrickleSubscriber(options.url, start=-2) as channel:
                async for segment in channel:
                    async for data in segment:
                        await asyncio.to_thread(_write, target, data)

        try:
            await _until_signalled(copy())
        except BrokenPipeError:  # the program that reads has gone, which ends the work
            sys.stdout = None  # or Python complains when it flushes at exit


def _write(target: Any, data: bytes) -> None:
    target.write(data)
    target.flush()


async def _serve(options: argparse.Namespace) -> None:
    processor = load_processor(options.processor)
    await run_processor(processor, port=options.port, host=options.host, policy=options.policy)


async def _start(options: argparse.Namespace) -> int:
    body = {"gateway_request_id": options.id, "params": _assignments(options.params)}
    for name in _USES:
        if value := getattr(options, f"{name}_url"):
            body[f"{name}_url"] = value
    return await _call("POST", f"{options.url}/stream/start", body)


async def _params(options: argparse.Namespace) -> int:
    return await _call("POST", f"{options.url}/stream/params", _assignments(options.params))


async def _status(options: argparse.Namespace) -> int:
    return await _call("GET", f"{options.url}/stream/status")


async def _stop(options: argparse.Namespace) -> int:
    return await _call("POST", f"{options.url}/stream/stop", {})


async def _register(options: argparse.Namespace) -> None:
    given = {"ORCH_URL": options.orch_url, "CAPABILITY_NAME": options.name, "CAPABILITY_URL": options.url}
    given = {f"BYOC_{name}": value for name, value in given.items() if value}
    registration = Registration.from_environment({**os.environ, **given})
    if registration is None:
        raise ByocError("no orchestrator to register at", hint="set ORCH_SECRET, and ORCH_URL or --orch-url")
    await (registration.unregister() if options.unregister else registration.register())
    done = "unregistered" if options.unregister else f"registered as {registration.url}"
    print(f"{registration.name} {done}")  # noqa: T201


async def _call(method: str, url: str, body: dict[str, Any] | None = None) -> int:
    """One REST call; prints the answer and gives 1 for a refusal."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    try:
        async with aiohttp.ClientSession(timeout=timeout) as http, http.request(method, url, json=body) as answer:
            text = await answer.text()
    except aiohttp.InvalidURL:
        raise ByocError(f"{url} isn't a URL", hint="give the container's, such as http://127.0.0.1:8000") from None
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ByocError(f"{url} can't be reached: {error or type(error).__name__}", hint="is it running?") from None
    with contextlib.suppress(ValueError):
        text = json.dumps(json.loads(text), indent=2)
    print(text)  # noqa: T201
    return 0 if answer.status < 400 else 1


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


async def _until_signalled(work: Coroutine[Any, Any, Any]) -> None:
    """Run until it is done, or SIGTERM or SIGINT comes."""
    loop, task = asyncio.get_running_loop(), asyncio.ensure_future(work)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        pass
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


if __name__ == "__main__":
    sys.exit(main())
