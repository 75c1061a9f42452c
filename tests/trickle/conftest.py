"""Servers on free ports, and retries that do not wait."""

from collections.abc import AsyncIterator

import pytest

from byoc_nb.trickle import TrickleServer, wire

from .raw import Site


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A running server with one channel, `ch`, whose keep-alive interval is 50 ms."""
    server = TrickleServer(keepalive_seconds=0.05)
    server.create("ch", "video/MP2T")
    base = await server.start()
    yield Site(server, base)
    await server.stop()


@pytest.fixture
def quick_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "BACKOFF_SECONDS", 0.005)
