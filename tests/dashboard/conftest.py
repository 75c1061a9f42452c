"""A local network with its dashboards, as a notebook has them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple

import aiohttp
import pytest
from dashboard_kit import Page, connect

from byoc_nb.dashboard.hub import Hub
from byoc_nb.network.local import LocalNetwork
from byoc_nb.network.source import Source
from byoc_nb.runtime.slot import ProcessorSlot


class Served(NamedTuple):
    network: LocalNetwork
    hub: Hub
    http: aiohttp.ClientSession

    async def play(self, *, size: tuple[int, int] = (96, 64), fps: float = 25) -> None:
        await self.network.play(Source("testsrc", size=size, fps=fps))

    async def page(self, **options: Any) -> Page:
        return await connect(self.http, self.hub.port, self.hub.token, **options)


Serve = Callable[[Any], Awaitable[Served]]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """`await serve(Processor)` gives a server that listens; `play` starts its stream."""
    made: list[Served] = []
    slots: list[ProcessorSlot] = []

    async def serve(target: Any) -> Served:
        slot = ProcessorSlot()
        slots.append(slot)
        await slot.load(target)
        network = LocalNetwork(slot, target, host="127.0.0.1", port=0)
        hub = Hub(network.server)
        await network.listen()
        made.append(Served(network, hub, aiohttp.ClientSession()))
        return made[-1]

    yield serve
    for one in made:
        await one.http.close()
        await one.network.close()
    for slot in slots:
        await asyncio.to_thread(slot.close)
