"""`byoc-nb serve|start|params|status|stop|register`: a container without a container, and what its callers do."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from collections.abc import Coroutine
from typing import Any

import aiohttp

from byoc_nb.commands.arguments import Command, add_verify_tls, assignments
from byoc_nb.errors import ByocError
from byoc_nb.runtime.load import load_processor
from byoc_nb.runtime.ports import port_number
from byoc_nb.runtime.registration import Registration, variable
from byoc_nb.runtime.server import run_processor

ANSWER_SECONDS = 130.0  # byoc-sdk gives a start 120 s, in which a model may load
_USES = {"subscribe": "read", "publish": "write", "control": "obey", "events": "report to", "data": "write text to"}


def add_commands(command: Command) -> None:
    """Add them."""
    serve = command("serve", _serve, "serve a processor, as its container would")
    serve.add_argument("processor", help="FILE.py, or FILE.py:NAME if the file holds several")
    serve.add_argument("--port", type=port_number, default=8000, help="0 takes a free one (8000)")
    serve.add_argument("--host", default="0.0.0.0", help="the address to listen at (0.0.0.0)")
    add_verify_tls(serve)
    serve.add_argument(
        "--policy", choices=("live", "lossless"), help="a processor that is too slow drops frames (live) or waits"
    )

    begin = command("start", start, "start a stream on a container")
    begin.add_argument("url", help="of the container, such as http://127.0.0.1:8000")
    for name, use in _USES.items():
        begin.add_argument(f"--{name}-url", default="", help=f"the channel that it shall {use}")
    begin.add_argument("--id", default="byoc-nb", help="the gateway_request_id")
    begin.add_argument("params", nargs="*", metavar="NAME=VALUE", help="parameters; JSON values or plain text")

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


def _serve(options: argparse.Namespace) -> Coroutine[Any, Any, None]:
    processor = load_processor(options.processor)  # here, outside the loop, as `python processor.py` would
    return run_processor(
        processor, port=options.port, host=options.host, policy=options.policy, verify_tls=options.verify_tls
    )


async def start(options: argparse.Namespace) -> int:
    """`byoc-nb start`."""
    body = {"gateway_request_id": options.id, "params": assignments(options.params)}
    for name in _USES:
        if value := getattr(options, f"{name}_url"):
            body[f"{name}_url"] = value
    return await _call("POST", options.url, "/stream/start", body)


async def _params(options: argparse.Namespace) -> int:
    return await _call("POST", options.url, "/stream/params", assignments(options.params))


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
