"""What the demuxer hands out: elementary streams, access units, counters. Times are 90 kHz ticks throughout."""

from __future__ import annotations

from dataclasses import dataclass

CLOCK = 90_000  # ticks a second of PTS, DTS and the PCR's base


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """One elementary stream of the programme, as its PMT describes it."""

    pid: int
    codec: str  # libavcodec's name; "" when the PMT does not tell
    kind: str  # "video" | "audio" | "data"
    channels: int  # Opus only, from its channel configuration; 0 unknown


@dataclass(frozen=True, slots=True)
class Unit:
    """One access unit: a coded picture, or one coded audio frame.

    `pts` and `dts` are unwrapped over the 33-bit wrap, one time line for all streams; both are None where the PES
    carried no time stamp, and `dts` equals `pts` where it carried one alone.
    `corrupt` says that bytes of this unit are missing; `discontinuity` that bytes before it were lost or that the
    clock jumped since the stream's previous unit.
    """

    stream: StreamInfo
    pts: int | None
    dts: int | None
    data: bytes
    keyframe: bool
    discontinuity: bool
    corrupt: bool


@dataclass(slots=True)
class Stats:
    """What a `Demuxer` met so far."""

    bytes: int = 0
    packets: int = 0
    units: int = 0
    resyncs: int = 0  # times the packet grid was lost
    skipped_bytes: int = 0  # bytes passed over while it was
    continuity_errors: int = 0
    duplicates: int = 0
    transport_errors: int = 0  # packets flagged or malformed
    scrambled: int = 0
    crc_errors: int = 0
    dropped_pes: int = 0  # PES packets thrown away: no valid header, or over 16 MiB
    early_ends: int = 0  # units handed out before their PES had ended; the rest follows as a corrupt unit
