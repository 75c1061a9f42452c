"""H.264 and HEVC in Annex B form: where access units start, and which of them a decoder can start at."""

from __future__ import annotations

from typing import NamedTuple

START_CODE = b"\x00\x00\x01"
_AUD = {"h264": b"\x00\x00\x00\x01\x09\xf0", "hevc": b"\x00\x00\x00\x01\x46\x01\x50"}  # any picture type
NAL_CODECS = frozenset(_AUD)
_RECOVERY_POINT = 6


class AccessUnit(NamedTuple):
    """Part of a payload: its bytes from `start` to `end`, whether it holds a slice, whether decoding can start here."""

    start: int
    end: int
    picture: bool
    key: bool


class Scan(NamedTuple):
    """The access units of a payload; `continues`: it begins inside a picture that an earlier payload began."""

    units: list[AccessUnit]
    continues: bool


def scan(data: bytes, codec: str) -> Scan:
    """Cut a payload at its access unit borders (H.264 §7.4.1.2.3, HEVC §7.4.2.4.4), at least one unit.

    Two fields in one payload come apart too, which libavcodec joins again. A payload without start codes is one unit.
    """
    hevc = codec == "hevc"
    units: list[AccessUnit] = []
    begin, picture, key, continues = 0, False, False, False
    size = len(data)
    pos = data.find(START_CODE)
    if pos < 0 or data[:pos].strip(b"\x00"):
        continues = True  # starts inside a NAL unit
    while 0 <= pos < size - 4:
        byte = data[pos + 3]
        if hevc:
            kind = byte >> 1 & 0x3F
            slice_, delimiter = kind < 32, 32 <= kind <= 35 or kind == 39 or 41 <= kind <= 44 or 48 <= kind <= 55
            first = slice_ and pos + 5 < size and data[pos + 5] >= 0x80  # first_slice_segment_in_pic_flag
            starts_here = 16 <= kind <= 23
        else:
            kind = byte & 0x1F
            slice_, delimiter = 1 <= kind <= 5, 6 <= kind <= 9 or 14 <= kind <= 18
            first = kind in (1, 2, 5) and data[pos + 4] >= 0x80  # first_mb_in_slice is 0
            starts_here = kind == 5 or (kind == 6 and not picture and _is_recovery_point(data, pos + 4))
        if picture and (delimiter or first):
            cut = pos - 1 if data[pos - 1] == 0 else pos
            units.append(AccessUnit(begin, cut, True, key))
            begin, picture, key = cut, False, starts_here
        if slice_:
            if not first and pos <= 1:
                continues = True
            picture = True
        key = key or starts_here
        pos = data.find(START_CODE, pos + 3)
    units.append(AccessUnit(begin, size, picture, key))
    return Scan(units, continues)


def _is_recovery_point(data: bytes, pos: int) -> bool:
    """Whether the SEI whose first message is at `pos` says that pictures are sound from here on (H.264 §D.1.8)."""
    end = data.find(START_CODE, pos)
    end = len(data) if end < 0 else end
    while pos + 2 < end:
        kind = size = 0
        while pos < end and data[pos] == 0xFF:
            kind, pos = kind + 0xFF, pos + 1
        if pos >= end:
            return False
        kind, pos = kind + data[pos], pos + 1
        while pos < end and data[pos] == 0xFF:
            size, pos = size + 0xFF, pos + 1
        if pos >= end:
            return False
        size, pos = size + data[pos], pos + 1
        if kind == _RECOVERY_POINT:
            return True
        pos += size
    return False


def is_annex_b(data: bytes) -> bool:
    """Whether the data begins with a start code."""
    return data.startswith((b"\x00\x00\x00\x01", START_CODE))


def missing_delimiter(data: bytes, codec: str) -> bytes:
    """The access unit delimiter to put in front, b"" where the data (Annex B) begins with one."""
    pos = 3 if data.startswith(START_CODE) else 4
    if len(data) <= pos:
        return _AUD[codec]
    present = data[pos] >> 1 & 0x3F == 35 if codec == "hevc" else data[pos] & 0x1F == 9
    return b"" if present else _AUD[codec]


def opens_a_segment(data: bytes) -> bool:
    """Whether H.264 (Annex B) begins with its parameter sets and an IDR, so that a reader can join there."""
    kinds: set[int] = set()
    pos = data.find(START_CODE)
    while 0 <= pos < len(data) - 3:
        kind = data[pos + 3] & 0x1F
        if 1 <= kind <= 5:
            return kind == 5 and {7, 8} <= kinds
        kinds.add(kind)
        pos = data.find(START_CODE, pos + 3)
    return False
