"""Opus in MPEG-TS: the control header before each packet, and a packet's duration (ETSI TS 103 491 §4, RFC 6716 §3).

The control header's start and end trim are skipped, not reported: a live stream has no samples to trim.
"""

from __future__ import annotations

from typing import NamedTuple

# 48 kHz samples a frame, by the TOC's config (RFC 6716, table 2)
_FRAME_SAMPLES = (480, 960, 1920, 2880) * 3 + (480, 960) * 2 + (120, 240, 480, 960) * 4
_TICKS_NUM, _TICKS_DEN = 15, 8  # 90 kHz ticks for each 48 kHz sample


class OpusPacket(NamedTuple):
    """One packet, 90 kHz ticks long; `whole` is False where its control header announces more than there is."""

    data: bytes
    ticks: int
    whole: bool


def packet_ticks(packet: bytes) -> int:
    """Duration in 90 kHz ticks; 0 for an empty packet."""
    if not packet:
        return 0
    toc = packet[0]
    count = (1, 2, 2, 0)[toc & 3]
    if toc & 3 == 3 and len(packet) > 1:
        count = packet[1] & 0x3F
    return _FRAME_SAMPLES[toc >> 3] * count * _TICKS_NUM // _TICKS_DEN


def split(payload: bytes) -> list[OpusPacket]:
    """The packets of one PES; a payload without a control header counts as one bare packet."""
    packets: list[OpusPacket] = []
    pos, end = 0, len(payload)
    while pos + 2 <= end and payload[pos] == 0x7F and payload[pos + 1] & 0xE0 == 0xE0:
        flags = payload[pos + 1]
        pos += 2
        size = 0
        while pos < end and payload[pos] == 0xFF:
            size += 0xFF
            pos += 1
        if pos >= end:
            return packets
        size += payload[pos]
        pos += 1
        pos += (2 if flags & 0x10 else 0) + (2 if flags & 0x08 else 0)
        if flags & 0x04 and pos < end:
            pos += 1 + payload[pos]
        packet = payload[pos : pos + size]
        if packet:
            packets.append(OpusPacket(packet, packet_ticks(packet), len(packet) == size))
        pos += size
    if not packets and payload:
        packets.append(OpusPacket(payload, packet_ticks(payload), True))
    return packets


def control_header(size: int) -> bytes:
    """What goes before a packet of `size` bytes: no trim, no extension."""
    return b"\x7f\xe0" + b"\xff" * (size // 255) + bytes([size % 255])
