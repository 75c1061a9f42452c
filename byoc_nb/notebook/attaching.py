"""A container elsewhere in the place of the server in the kernel: driven by the same source, parameters, dashboard."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from byoc_nb.dashboard.attached import Attached, snapshot
from byoc_nb.dashboard.hub import Hub
from byoc_nb.network.container import Container
from byoc_nb.network.remote import RemoteNetwork
from byoc_nb.network.source import Source
from byoc_nb.runtime.backlog import Policy
from byoc_nb.runtime.threads import LoopThread

T = TypeVar("T")

CLOSE_SECONDS = 15.0


class Attachment:
    """Drives the container at `url` from its making to `close`. Raises ContainerError or PortInUse."""

    def __init__(self, url: str, host: str = "127.0.0.1", port: int = 0, reach: str = "", *, token: str = "") -> None:
        self.url, self.where = url, (url, host, port, reach)
        container = Container(url, token=token)
        self.remote = RemoteNetwork(container, host=host, port=port, reach=reach)
        self.hub = Hub(self.remote, Attached(self.remote))
        self._io = LoopThread("byoc-io")
        try:
            self.run(self.remote.listen())
        except BaseException:
            self._io.stop()
            raise

    @property
    def streaming(self) -> bool:
        """Whether a stream of ours runs."""
        return self.remote.active

    @property
    def urls(self) -> dict[str, str]:
        """`rest` (the container's), `trickle`, `input` and `output`."""
        return self.remote.urls

    @property
    def values(self) -> dict[str, Any]:
        """The parameters, as far as they are known."""
        return self.remote.values

    @property
    def newest(self) -> Any:
        """The last picture before and after processing, None before the first."""
        return self.remote.watching.newest

    def figures(self) -> dict[str, Any]:
        """What the stream does; see `attached.snapshot`."""
        return {"processor": self.remote.container.url, **snapshot(self.remote)}

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it on the attachment's thread and wait."""
        return self._io.run(coroutine)

    @property
    def source(self) -> Source | None:
        """What is streamed."""
        return self.remote.publishing.source

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Any:
        """Begin it on the attachment's thread; gives a `concurrent.futures.Future`."""
        return self._io.submit(coroutine)

    async def stream(self, source: Source, policy: Policy) -> None:
        """Stream a source through the container, which has a policy of its own; raises Refused or ContainerError.

        On the attachment's thread.
        """
        await self.remote.play(source)

    def apply(self, changes: Mapping[str, Any]) -> None:
        """Set parameters; raises Refused or ContainerError."""
        self.run(self.remote.change(dict(changes)))

    def close(self) -> None:
        """End the stream and every thread; the container stays."""
        try:
            self._io.finish(self.remote.close(), CLOSE_SECONDS)
        finally:
            self._io.stop()
