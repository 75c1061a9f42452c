"""The packet grid: finds 188-byte packets in a byte stream, 192- and 204-byte ones too, and finds them again."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from byoc_nb.media.mpegts.units import Stats

PACKET = 188
SYNC = 0x47
_STRIDES = (188, 192, 204)  # plain, M2TS with a time stamp before each packet, DVB-ASI with parity after it
_LAYOUTS = {stride: struct.Struct(f">I184s{stride - PACKET}x") for stride in _STRIDES}
_SHORT_FOLLOWERS = 2  # sync bytes that must follow at packet distance before a grid is believed

Packets = Iterator[tuple[int, bytes]]  # the 4 header bytes as an int, the 184 bytes after them


class PacketGrid:
    """Cuts a byte stream into packets. In step it looks at nothing ahead, so it never holds a whole packet back."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats
        self._rest = b""
        self._stride = PACKET
        self._lost = False

    def push(self, data: bytes) -> Iterator[Packets]:
        """Runs of whole packets in the data so far; the rest is kept for the next call."""
        buffer = self._rest + data if self._rest else bytes(data)
        self._rest = b""
        pos = 0
        while True:
            if self._lost:
                pos = self._search(buffer, pos, final=False)
                if self._lost:
                    break
            stride, last = self._stride, len(buffer)
            count = (last - pos) // stride
            if not count:
                break
            syncs = buffer[pos : pos + count * stride : stride]
            good = count - len(syncs.lstrip(b"\x47"))
            end = pos + good * stride
            resume = end
            if end < last and buffer[end] != SYNC:
                resume = self._out_of_step(buffer, end - stride + 1 if good else end, end)
                if resume < end:
                    good -= 1  # the last packet of the run was cut short
            if good > 0:
                self._stats.packets += good
                yield _LAYOUTS[stride].iter_unpack(memoryview(buffer)[pos : pos + good * stride])
            self._stats.resyncs += self._lost or resume != end
            pos = resume
        self._rest = buffer[pos:]

    def finish(self) -> tuple[Packets | None, bytes]:
        """End of data: packets that were held back to be sure of the grid, and the part of a packet left over."""
        buffer, self._rest = self._rest, b""
        pos = 0
        if self._lost:
            pos = self._search(buffer, 0, final=True)
        self._lost = False  # what comes next is expected to begin with a packet
        stride = self._stride
        if len(buffer) - pos < PACKET:
            return None, buffer[pos:]
        count = (len(buffer) - pos - PACKET) // stride + 1
        end = pos + count * stride
        run = buffer[pos:end] + bytes(max(0, end - len(buffer)))
        self._stats.packets += count
        return _LAYOUTS[stride].iter_unpack(run), buffer[end:]

    def _out_of_step(self, buffer: bytes, start: int, end: int) -> int:
        """No packet starts at `end`: where to go on, at one from `start` on that cuts its forerunner short, or lost."""
        pos = buffer.find(SYNC, start, end)
        while pos >= 0:
            follower = pos + self._stride
            if follower < len(buffer) and buffer[follower] == SYNC and self._follows(buffer, pos, self._stride):
                return pos
            pos = buffer.find(SYNC, pos + 1, end)
        self._lost = True
        return end

    def _follows(self, buffer: bytes, pos: int, stride: int) -> bool:
        """Whether sync bytes follow `pos` at packet distance, as far as there is data."""
        places = range(pos + stride, pos + (_SHORT_FOLLOWERS + 1) * stride, stride)
        return all(buffer[place] == SYNC for place in places if place < len(buffer))

    def _search(self, buffer: bytes, start: int, *, final: bool) -> int:
        """Where the next packet starts, or (still lost) from where to search when more data has come."""
        size = len(buffer)
        pos = buffer.find(SYNC, start)
        while pos >= 0:
            for stride in (self._stride, *_STRIDES):
                if not self._follows(buffer, pos, stride):
                    continue
                if not final and pos + _SHORT_FOLLOWERS * stride >= size:
                    break  # not decided yet
                self._stride, self._lost = stride, False
                self._stats.skipped_bytes += pos - start
                return pos
            else:
                pos = buffer.find(SYNC, pos + 1)
                continue
            break
        pos = size if pos < 0 else pos
        self._stats.skipped_bytes += pos - start
        return pos
