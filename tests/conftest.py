"""Shared fixtures: a trickle server, the clip, and a guard against threads that are left behind."""

from __future__ import annotations

import signal
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from kit import WAIT, Trickle, until

from byoc_nb.trickle import TrickleServer

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it runs in the background


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where two processes share the work, one has the end-to-end tests, the other what needs no browser."""
    for item in items:
        room = item.path.relative_to(Path(__file__).parent).parts
        item.add_marker(pytest.mark.xdist_group(room[0] if room[0] == "e2e" else "/".join(room)))


@pytest.fixture
async def trickle() -> AsyncIterator[Trickle]:
    """A running trickle server; `trickle.channel(name)` creates a channel and gives its URL.

    What a channel holds at its end can be read: a machine that is slow loses nothing.
    """
    server = TrickleServer(linger_seconds=WAIT)
    base = await server.start()
    yield Trickle(server, base)
    await server.stop()


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """Every thread of ours that the test started has ended by its end."""
    before = set(threading.enumerate())
    yield
    until(lambda: not [t for t in threading.enumerate() if t not in before and t.name.startswith("byoc")], 3.0)
