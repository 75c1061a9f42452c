"""The trickle protocol alone: segments of bytes over long-lived HTTP requests. No media, no processor.

`TrickleServer` holds channels; `TricklePublisher` writes one and `TrickleSubscriber` reads one, against our server or
go-livepeer's.
"""

from .errors import ChannelClosed, ChannelNotFound, TrickleError
from .exchange import ServerStats
from .publisher import TricklePublisher
from .server import TrickleServer
from .subscriber import Segment, TrickleSubscriber
from .writer import SegmentWriter

__all__ = [
    "ChannelClosed",
    "ChannelNotFound",
    "Segment",
    "SegmentWriter",
    "ServerStats",
    "TrickleError",
    "TricklePublisher",
    "TrickleServer",
    "TrickleSubscriber",
]
