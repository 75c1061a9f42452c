"""The server in the kernel: the container, its channels and its dashboards, on one port and on threads of their own.

A cell that blocks the kernel costs the stream nothing. Methods belong to the notebook's thread.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from byoc_nb import params as params_
from byoc_nb.dashboard.hub import Hub
from byoc_nb.errors import ByocError
from byoc_nb.network.local import LocalNetwork
from byoc_nb.network.source import Source
from byoc_nb.notebook.cells import Cell
from byoc_nb.notebook.reloading import LoadError
from byoc_nb.runtime.backlog import Policy
from byoc_nb.runtime.ports import port_number
from byoc_nb.runtime.server import StreamServer
from byoc_nb.runtime.slot import ProcessorSlot
from byoc_nb.runtime.stats import describe
from byoc_nb.runtime.threads import LoopThread

logger = logging.getLogger(__name__)
T = TypeVar("T")

CLOSE_SECONDS = 15.0
# How long a thread may hold the interpreter while others wait. At Python's 5 ms a cell that computes in pure Python
# halves a stream of 30 fps (the video's threads ask for it some ten times a frame); at 0.5 ms all frames come through.
SWITCH_SECONDS = 0.0005


class WorkbenchError(ByocError, RuntimeError):
    """What was asked for can't be done now; the hint names the command that comes first."""


@dataclass(frozen=True)
class Address:
    """Where a server listens."""

    host: str = "127.0.0.1"
    port: int = 8000  # 0 for any free one

    @staticmethod
    def wanted(port: int | None, host: str | None, runs: Address | None) -> Address:
        """What is left out is as it `runs`, else BYOC_PORT's and ours alone; raises WorkbenchError."""
        if port is None:
            try:
                port = runs.port if runs else port_number(os.environ.get("BYOC_PORT", "8000"))
            except argparse.ArgumentTypeError as error:
                raise WorkbenchError(f"BYOC_PORT: {error}", hint="give it one, or unset it") from None
        return Address(host or (runs.host if runs else "127.0.0.1"), port)


class Serving:
    """A loaded processor and the local network around it, from its making to `close`.

    Raises LoadError where the processor can't be loaded, and PortInUse; then nothing is left of it.
    """

    def __init__(self, cell: Cell, address: Address, params: Mapping[str, Any]) -> None:
        self.address = address
        self.slot = ProcessorSlot()
        self._io = LoopThread("byoc-io")
        self._switch_seconds = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            self.network, self.hub = self.run(self._listen(cell, address, params))
        except BaseException:
            self._io.stop()
            sys.setswitchinterval(self._switch_seconds)
            raise

    @property
    def server(self) -> StreamServer:
        """The container."""
        return self.network.server

    @property
    def streaming(self) -> bool:
        """Whether a stream runs."""
        return self.server.active

    @property
    def urls(self) -> dict[str, str]:
        """`rest`, `trickle`, `input` and `output`."""
        return self.network.urls

    @property
    def values(self) -> Any:
        """The parameters: an instance of the processor's `Params`, or a dict where it has none."""
        return self.slot.current.processor.values if self.slot.current else {}

    @property
    def newest(self) -> Any:
        """The last picture before and after processing, None before the first."""
        return self.server.session.pipeline.newest if self.server.session else None

    def figures(self) -> dict[str, Any]:
        """What the stream does: `state`, and what `StreamStats.snapshot` gives once there is one."""
        session = self.server.session
        figures: dict[str, Any] = {
            "state": "running" if self.streaming else f"ended: {session.reason}" if session else "ended",
            "reloads": self.slot.reloads,
        }
        return figures | (session.stats.snapshot() if session else {})

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it on the server's thread and wait."""
        return self._io.run(coroutine)

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Any:
        """Begin it on the server's thread; gives a `concurrent.futures.Future`."""
        return self._io.submit(coroutine)

    @property
    def source(self) -> Source | None:
        """What is streamed."""
        return self.network.source

    async def stream(self, source: Source, policy: Policy) -> None:
        """Stream a source in place of what is streamed; raises StreamRefused. On the server's thread."""
        await self.network.play(source, policy=policy)

    def move(self, cell: Cell, address: Address) -> None:
        """Listen elsewhere with the same loaded processor; raises PortInUse, and everything is as it was."""
        if address == self.address:
            return
        old = self.network
        self.network, self.hub = self.run(self._listen(cell, address, None))
        self.address = address
        self._io.finish(old.close(), CLOSE_SECONDS)

    def apply(self, changes: Mapping[str, Any]) -> None:
        """Set parameters; returns when the processor has taken them over. Raises ParamsError or what it raises.

        WorkbenchError where that takes longer than two seconds; it takes them over when it is done with what it does.
        """
        if self.streaming:
            if not self.run(self.server.update_params(changes)):
                raise WorkbenchError(
                    f"the processor is busy and takes over {', '.join(changes)} when it is done",
                    hint="%byoc params shows what is in force",
                )
        else:
            self.slot.apply(changes).result()

    def close(self) -> None:
        """End the stream, the server and every thread."""
        try:
            self._io.finish(self.network.close(), CLOSE_SECONDS)
        finally:
            self.slot.close()
            self._io.stop()
            sys.setswitchinterval(self._switch_seconds)

    # ---- on the server's thread

    async def _listen(self, cell: Cell, address: Address, params: Mapping[str, Any] | None) -> tuple[LocalNetwork, Hub]:
        """Listen, and load with `params` unless they are None."""
        network = LocalNetwork(self.slot, cell.target, host=address.host, port=address.port)
        hub = Hub(network.server)
        await network.listen()
        if params is not None:
            try:
                await self._load(cell, params)
            except BaseException:
                await network.close()
                self.slot.close()
                raise
        return network, hub

    async def _load(self, cell: Cell, params: Mapping[str, Any]) -> None:
        try:
            await self.slot.load(cell.target, params)
            await self._restore(params)
        except Exception as error:
            hint = "mend the cell, run it again, then %byoc serve"
            raise LoadError(f"{cell.name} could not be loaded: {describe(error)}", hint=hint) from error

    async def _restore(self, params: Mapping[str, Any]) -> None:
        """The parameters that were set before a stop, as far as they still fit."""
        if not params or self.slot.current is None:
            return
        processor = self.slot.current.processor
        values, dropped = params_.carry_over(processor.model, params)
        try:
            await asyncio.wrap_future(self.slot.apply(params_.chosen(values), ignore_unknown=True))
        except Exception as error:  # the processor's own update_params: it goes on with its defaults
            processor.put(params_.initial(processor.model))
            logger.warning("the parameters from before could not be restored: %s", describe(error))
        for name, why in dropped.items():
            logger.warning("the parameter %s from before was dropped: %s", name, why)
