"""PES headers and their 33-bit time stamps, read and written (ISO/IEC 13818-1 §2.4.3.6)."""

from __future__ import annotations

from typing import NamedTuple

WRAP = 1 << 33
MAX_PES = 16 << 20  # bytes; a 4K intra picture stays well under it, a PES past it is damage
# stream_ids whose packets have no optional header and hold nothing for a decoder (§2.4.3.7, table 2-22)
_NO_HEADER = frozenset({0xBC, 0xBE, 0xBF, 0xF0, 0xF1, 0xF2, 0xF8, 0xFF})


class PesHeader(NamedTuple):
    """The raw 33-bit time stamps, and where the payload starts."""

    pts: int | None
    dts: int | None
    start: int


def parse_header(data: bytes) -> PesHeader | None:
    """None where `data` does not start a PES packet with a readable, unscrambled payload."""
    if len(data) < 9 or data[:3] != b"\x00\x00\x01" or data[3] in _NO_HEADER:
        return None
    if data[6] & 0xF0 != 0x80:  # MPEG-2's '10', then the scrambling control
        return None
    start = 9 + data[8]
    flags = data[7] >> 6
    if start > len(data):
        return None
    pts = _timestamp(data, 9) if flags & 2 and data[8] >= 5 else None
    dts = _timestamp(data, 14) if flags == 3 and data[8] >= 10 else pts
    return PesHeader(pts, pts if dts is None else dts, start)


def _timestamp(data: bytes, pos: int) -> int | None:
    a, b, c, d, e = data[pos : pos + 5]
    if not a & c & e & 1:  # the marker bits
        return None
    return (a & 0x0E) << 29 | b << 22 | (c & 0xFE) << 14 | d << 7 | e >> 1


def build_header(stream_id: int, size: int, pts: int, dts: int, *, stuffing: int = 0) -> bytes:
    """The header before `size` payload bytes; its length field is 0 (unbounded) where 16 bits do not hold it."""
    if pts == dts:
        flags, times = 0x80, _pack_timestamp(2, pts)
    else:
        flags, times = 0xC0, _pack_timestamp(3, pts) + _pack_timestamp(1, dts)
    times += b"\xff" * stuffing
    length = 3 + len(times) + size
    if length > 0xFFFF:
        length = 0
    # 0x84: '10', not scrambled, data_alignment_indicator
    return b"\x00\x00\x01" + bytes([stream_id, length >> 8, length & 0xFF, 0x84, flags, len(times)]) + times


def _pack_timestamp(prefix: int, ticks: int) -> bytes:
    low, middle, high = ticks & 0x7FFF, ticks >> 15 & 0x7FFF, ticks >> 30 & 7
    head = prefix << 4 | high << 1 | 1
    return (head << 32 | (middle << 1 | 1) << 16 | low << 1 | 1).to_bytes(5, "big")


class Unwrapper:
    """Turns 33-bit time stamps into ints that go on across the wrap; one for all streams of a programme."""

    def __init__(self) -> None:
        self._last: int | None = None

    def near(self, ticks: int, reference: int) -> int:
        """The value that is `ticks` modulo 2^33 and nearest to `reference`."""
        return reference + (ticks - reference + WRAP // 2) % WRAP - WRAP // 2

    def __call__(self, ticks: int) -> int:
        self._last = ticks if self._last is None else self.near(ticks, self._last)
        return self._last
