"""What a JPEG says of itself, read without decoding it: so that no picture costs more than it may."""

from __future__ import annotations

BASELINE = (0xC0, 0xC1)  # start-of-frame markers; the others are progressive, lossless, arithmetic
OTHER_FRAMES = frozenset(range(0xC2, 0xD0)) - {0xC4, 0xC8, 0xCC}
SCAN = 0xDA
MOST_SCANS = 4  # one a component; each goes over the whole picture


def size_of(jpeg: bytes) -> tuple[int, int]:
    """(width, height) in pixels of a baseline JPEG, which is what a browser's canvas makes; else ValueError."""
    if jpeg[:2] != b"\xff\xd8":
        raise ValueError("no JPEG")
    if jpeg.count(b"\xff\xda") > MOST_SCANS:
        raise ValueError("a JPEG of too many scans")
    at = 2
    while at + 9 <= len(jpeg) and jpeg[at] == 0xFF and jpeg[at + 1] != SCAN:
        if jpeg[at + 1] in OTHER_FRAMES:
            raise ValueError("a JPEG that isn't baseline")
        if jpeg[at + 1] in BASELINE:
            return int.from_bytes(jpeg[at + 7 : at + 9], "big"), int.from_bytes(jpeg[at + 5 : at + 7], "big")
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    raise ValueError("a JPEG without a size")
