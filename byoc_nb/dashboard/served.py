"""A server of this process as the subject of its dashboard."""

from __future__ import annotations

import asyncio

from byoc_nb.dashboard.controls import Controls
from byoc_nb.dashboard.figures import Figures
from byoc_nb.dashboard.pictures import Pair
from byoc_nb.runtime.server import StreamServer


class Served:
    """The stream that `server` runs, or ran last."""

    def __init__(self, server: StreamServer) -> None:
        self.controls, self.figures = Controls(server), Figures(server)
        self._server = server

    @property
    def newest(self) -> Pair | None:
        """The last picture before and after processing."""
        session = self._server.session
        return session.pipeline.newest if session else None

    def in_frame(self) -> bool:
        """Whether this is called on the thread of the processor that serves; not so for one that is being loaded."""
        host = self._server.slot.current
        try:
            return host is not None and asyncio.get_running_loop() is host.thread.loop
        except RuntimeError:
            return False
