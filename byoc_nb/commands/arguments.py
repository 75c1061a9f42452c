"""What several subcommands take: channels, NAME=VALUE; and the end that a signal brings."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

from byoc_nb.errors import ByocError

Command = Callable[[str, Any, str], argparse.ArgumentParser]
FAREWELL_SECONDS = 5.0  # for a source to end its channel


def add_verify_tls(command: argparse.ArgumentParser) -> None:
    """`--verify-tls`."""
    command.add_argument(
        "--verify-tls", action="store_true", help="check a trickle server's certificate; orchestrators sign their own"
    )


def channel(url: str) -> str:
    """A trickle channel's URL, checked."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and parts.hostname and parts.path.strip("/") and parts.port != 0:
            return url
    raise ByocError(f"{url} isn't the URL of a channel", hint="give one such as http://127.0.0.1:3389/input")


def assignments(texts: list[str]) -> dict[str, Any]:
    """NAME=VALUE arguments as a dict; a value is JSON if it parses as such, else plain text."""
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ByocError(f"{text!r} isn't NAME=VALUE", hint="such as strength=0.8")
        try:
            values[name] = json.loads(value)
        except (ValueError, RecursionError):
            values[name] = value
    return values


async def until_signalled(work: Coroutine[Any, Any, Any], stop: Callable[[], None] | None = None) -> None:
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
