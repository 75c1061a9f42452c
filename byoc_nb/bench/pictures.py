"""Where the pictures end in MPEG-TS bytes, found in the packet headers alone.

A picture's last byte is in the last packet of its PID before the next picture begins. The demuxer that is measured
isn't asked: it would judge itself.
"""

from __future__ import annotations

from collections.abc import Iterator

_PACKET = 188
_VIDEO_STREAMS = range(0xE0, 0xF0)  # stream_id of a PES packet with video


class PictureEnds:
    """Finds the pictures of one stream of whole packets, fed in any chunking. One picture is one PES packet."""

    def __init__(self) -> None:
        self._rest = b""
        self._position = 0  # of the rest's first byte
        self._pid = -1
        self._pts: int | None = None  # of the picture that has begun
        self._end = 0  # of its last packet so far

    def feed(self, data: bytes, *, last: bool = False) -> Iterator[tuple[int, int]]:
        """For each picture known to be over: its time stamp (90 kHz, 33 bits) and the stream's byte after its last.

        A picture is over when the next one begins; with `last`, the stream is.
        """
        data = self._rest + data
        whole = len(data) // _PACKET * _PACKET
        for at in range(0, whole, _PACKET):
            pid = (data[at + 1] & 0x1F) << 8 | data[at + 2]
            begins = data[at + 1] & 0x40
            if begins and (self._pid < 0 or pid == self._pid):
                start = at + 4 + (data[at + 4] + 1 if data[at + 3] & 0x20 else 0)
                if data[start : start + 3] == b"\0\0\1" and data[start + 3] in _VIDEO_STREAMS:
                    self._pid = pid
                    if self._pts is not None:
                        yield self._pts, self._end
                    self._pts = _timestamp(data[start + 9 : start + 14])
            if pid == self._pid and data[at + 3] & 0x10:
                self._end = self._position + at + _PACKET
        self._rest, self._position = data[whole:], self._position + whole
        if last and self._pts is not None:
            yield self._pts, self._end
            self._pts = None


def _timestamp(field: bytes) -> int:
    high, middle, low = field[0] >> 1 & 7, (field[1] << 8 | field[2]) >> 1, (field[3] << 8 | field[4]) >> 1
    return high << 30 | middle << 15 | low
