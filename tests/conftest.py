"""Shared fixtures: a trickle server, the clip, and a guard against threads that are left behind."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import settings
from kit import WAIT, Trickle, until

from byoc_nb.trickle import TrickleServer

settings.register_profile(
    "reproducible", derandomize=True
)  # the same examples in every run: HYPOTHESIS_PROFILE=default
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "reproducible"))  # looks for others
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it for what it runs in the background


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Where processes share the work, one has all end-to-end tests: two browsers at once would be slow ones."""
    from xdist.scheduler import LoadScopeScheduling

    class Rooms(LoadScopeScheduling):  # type: ignore[misc]  # it is not typed
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return "e2e" if file.startswith("tests/e2e/") else file

    return Rooms(config, log)


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
