"""A whole network on this machine: the container, an embedded trickle server and a source, on one port.

It stands in for go-livepeer's orchestrator and gateway: creates the channels, starts the stream through the
container's REST API as the orchestrator does, and publishes the source into it.
"""

from __future__ import annotations

import logging
from typing import Any

import aiohttp

from byoc_nb.errors import ByocError
from byoc_nb.network.publishing import Publishing
from byoc_nb.network.source import Source
from byoc_nb.runtime.backlog import Policy
from byoc_nb.runtime.ports import base_url
from byoc_nb.runtime.server import StreamServer
from byoc_nb.runtime.slot import ProcessorSlot
from byoc_nb.trickle import TrickleServer
from byoc_nb.trickle.channels import LINGER_SECONDS

logger = logging.getLogger(__name__)

TRICKLE_PATH = "/trickle/"
INPUT, OUTPUT = "input", "output"


class StreamRefused(ByocError, RuntimeError):
    """The container did not take the stream; the message is its answer."""


class LocalNetwork:
    """Belongs to one asyncio loop. `slot` holds the loaded processor and outlives it."""

    def __init__(self, slot: ProcessorSlot, target: Any, *, host: str, port: int) -> None:
        self.server = StreamServer(target, host=host, port=port, slot=slot)
        self.trickle = TrickleServer(base_path=TRICKLE_PATH, linger_seconds=LINGER_SECONDS)
        self.trickle.mount(self.server.app, sweep=False)  # a camera that is off sends nothing, and comes back
        self._publishing = Publishing()

    @property
    def source(self) -> Source | None:
        """What is streamed."""
        return self._publishing.source

    @property
    def urls(self) -> dict[str, str]:
        """Where everything is: `rest`, `trickle`, and the two channels `input` and `output`."""
        rest = base_url(self.server.host, self.server.port)
        trickle = rest + TRICKLE_PATH
        return {"rest": rest, "trickle": trickle, "input": trickle + INPUT, "output": trickle + OUTPUT}

    async def listen(self) -> None:
        """Open the port; raises PortInUse."""
        await self.server.start_server()

    async def play(self, source: Source, *, policy: Policy = "live", params: dict[str, Any] | None = None) -> None:
        """Start a stream fed by `source`, in place of a running one; raises StreamRefused, with the source closed."""
        async with self._publishing.change(source):
            await self._halt()
            await self._begin(policy, params)
            self._publishing.start(source, self.urls["input"], self._source_failed)

    async def _begin(self, policy: Policy, params: dict[str, Any] | None) -> None:
        self.server.policy = policy
        for name in (INPUT, OUTPUT):
            self.trickle.close(name)
            self.trickle.create(name)
        urls = self.urls
        body = {
            "gateway_request_id": "notebook",
            "subscribe_url": urls["input"],
            "publish_url": urls["output"],
            "params": params,
        }
        try:
            async with aiohttp.ClientSession() as http, http.post(f"{urls['rest']}/stream/start", json=body) as answer:
                if answer.status != 200:
                    raise StreamRefused((await answer.json())["message"])
        except BaseException:
            await self.server.stop_stream()  # which may have begun without us
            raise

    async def halt(self) -> None:
        """End the stream and its source; the container stays, with the processor loaded."""
        async with self._publishing.change():
            await self._halt()

    async def _halt(self) -> None:
        await self.server.stop_stream()
        await self._publishing.stop()

    async def close(self) -> None:
        """End everything and free the port."""
        self._publishing.break_off()
        await self.halt()
        self.trickle.close_all()
        await self.server.stop()

    def _source_failed(self, error: ByocError) -> None:
        """What it sent is through: so is the stream."""
        self.trickle.close(INPUT)
        if self.server.active:
            logger.warning("the source stopped: %s", error.one_line())
