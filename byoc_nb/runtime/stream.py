"""What the slot needs of a running stream, so that neither has to know the other."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Protocol

from byoc_nb.frames import VideoFrame

if TYPE_CHECKING:
    from byoc_nb.runtime.host import Host


class Stream(Protocol):
    """A running stream."""

    params: dict[str, Any]  # it was started with

    def frames_dropped(self) -> int:
        """How many frames were lost to a full queue so far."""

    def newest_input(self) -> VideoFrame | None:
        """A picture to try a processor with."""

    def hangs(self) -> bool:
        """Whether the processor was found not to come back from a frame."""

    def abandon(self, old: Host) -> None:
        """`old` hangs in a frame: go on without it."""

    def publish_data(self, value: Any) -> bool:
        """Send a JSON-able value to the stream's data channel; False without one."""

    def swapped(self, old: Host) -> threading.Event:
        """Another processor is current; the event is set when `old` has finished its last frame."""

    def exchanged(self) -> None:
        """The current processor has other code now."""

    def retire(self, old: Host) -> None:
        """`old` gets no frames any more and nobody will have it back: run its stop hooks and end its thread."""
