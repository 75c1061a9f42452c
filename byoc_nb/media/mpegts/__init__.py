"""MPEG-TS without waiting: a unit is out with its last packet, muxed bytes are out with their packet. Sans-IO."""

from byoc_nb.media.mpegts.demux import Demuxer
from byoc_nb.media.mpegts.mux import Muxer, MuxError
from byoc_nb.media.mpegts.units import CLOCK, Stats, StreamInfo, Unit

__all__ = ["CLOCK", "Demuxer", "MuxError", "Muxer", "Stats", "StreamInfo", "Unit"]
