"""TS packets of one PID to PES packets, each given out with its last TS packet wherever that shows.

A PES ends where its length says; one without a length (video) ends where a packet carries adaptation field stuffing,
which every muxer in use puts into a PES' last packet and nowhere else; else it ends where the next one starts. The
first two are guesses, as lengths are wrong and stuffing is anywhere in some streams. When more of a PES comes after
it was given out, that follows as a `tail`, and the guess is not acted on again until it would have held for a
while: such a stream costs one frame interval more, and no frames.
"""

from __future__ import annotations

from typing import NamedTuple

from byoc_nb.media.mpegts import nal
from byoc_nb.media.mpegts.pes import MAX_PES, parse_header
from byoc_nb.media.mpegts.units import Stats, StreamInfo

_PREFIX = b"\x00\x00\x01"
_LENGTH_KNOWN = 6  # bytes of a PES up to the end of its length field
_NEVER = -1  # no packet header: its packets take the long way
_PENALTY = 32  # PES packets that a guess must hold for to be trusted again, doubled with each failure
_MAX_PENALTY = 4096
_DISCONTINUITY, _RANDOM_ACCESS, _PCR = 0x80, 0x40, 0x10
_OPCR, _SPLICE, _PRIVATE, _EXTENSION = 0x08, 0x04, 0x02, 0x01


class Pes(NamedTuple):
    """One PES packet, header included; of a `tail` only the payload."""

    data: bytes
    tail: bool
    random_access: bool
    discontinuity: bool
    corrupt: bool


class PesAssembler:
    """The state of one PID. `expect`, `chunks`, `size` and `limit` are for the demuxer's inner loop.

    That loop appends a packet whose header equals `expect` by itself, and calls `reached` once `size` is `limit`.
    """

    __slots__ = (
        "_cc",
        "_corrupt",
        "_credit",
        "_discontinuity",
        "_done",
        "_ended",
        "_last",
        "_lost",
        "_need",
        "_open",
        "_penalty",
        "_random_access",
        "_restarted",
        "_stats",
        "_tail",
        "chunks",
        "expect",
        "info",
        "limit",
        "size",
    )

    def __init__(self, info: StreamInfo, stats: Stats) -> None:
        self.info = info
        self.chunks: list[bytes] = []
        self.size = 0
        self.limit = 0
        self.expect = _NEVER
        self._stats = stats
        self._cc: int | None = None
        self._last = b""  # payload of the newest packet, to know a repeated one
        self._open = False  # a PES is being collected
        self._done = False  # the PES was given out, and nothing has come since
        self._ended = False  # the newest packet looked like the PES' last
        self._tail = False
        self._need = 0  # bytes of the PES by its length field, 0 without
        self._lost = False  # bytes were lost since the last PES given out
        self._corrupt = self._discontinuity = self._random_access = False
        self._restarted = False
        self._credit = 0  # below zero the end of a PES is not guessed
        self._penalty = _PENALTY

    def restart(self) -> None:
        """A new muxer's output begins: its counter need not go on from the old one's."""
        self._restarted = True
        self._stop_expecting()

    def packet(self, header: int, payload: bytes) -> list[Pes]:
        """Take any packet of this PID; what it makes complete."""
        fields = self._fields(header, payload)
        if fields is None:
            return []
        payload, flags, stuffed = fields
        self._stop_expecting()
        start = bool(header & 0x40_0000)
        cc = header & 0x0F
        gap = self._cc is not None and cc != (self._cc + 1) & 0x0F and not flags & _DISCONTINUITY
        if gap and cc == self._cc and payload == (self.chunks[-1] if self.chunks else self._last):
            self._stats.duplicates += 1
            return []
        if self._restarted and start:
            gap = False
        self._restarted = False
        self._stats.continuity_errors += gap
        self._cc = cc
        done: list[Pes] = []
        if start:
            done += self._close(gap)
            self._begin(payload, flags, gap)
        elif not self._continue(gap):
            return done
        if self._open and payload:
            self.chunks.append(payload)
            self.size += len(payload)
            done += self._check(stuffed, start)
        return done

    def _fields(self, header: int, payload: bytes) -> tuple[bytes, int, bool] | None:
        """A packet's payload, its adaptation field's flags, and whether that has stuffing; None: nothing to collect."""
        if header & 0x80_0000 or not header & 0x30 or (header & 0x20 and payload[0] > 183):
            self._stats.transport_errors += 1
            return None
        if header & 0xC0:
            self._stats.scrambled += 1
            return None
        if not header & 0x20:
            return payload, 0, False
        size = payload[0]
        flags = payload[1] if size else 0
        if header & 0x10:
            return payload[size + 1 :], flags, _is_stuffed(payload, size)
        if flags & _DISCONTINUITY:
            self.restart()
        return None

    def reached(self) -> list[Pes]:
        """`size` has come to `limit`: the length can be read now, or the PES is complete, or too large."""
        self._stop_expecting()
        return self._check(False, False)

    def close(self, truncated: bool) -> list[Pes]:
        """End of data: the PES begun, if any. Whatever comes next starts afresh."""
        done = self._close(truncated)
        self._done = self._lost = self._restarted = False
        self.expect, self._cc, self._last = _NEVER, None, b""
        return done

    def _stop_expecting(self) -> None:
        if self.expect != _NEVER:
            self._cc, self.expect = (self.expect - 1) & 0x0F, _NEVER

    def _begin(self, payload: bytes, flags: int, gap: bool) -> None:
        self._ended = self._corrupt = self._tail = False
        self._random_access = bool(flags & _RANDOM_ACCESS)
        self._discontinuity = gap or self._lost
        self._open = _PREFIX.startswith(payload[:3])
        self._lost = not self._open
        self._need, self.limit, self.size = 0, _LENGTH_KNOWN, 0
        if not self._open:
            self._stats.dropped_pes += 1

    def _continue(self, gap: bool) -> bool:
        """A packet that starts nothing: whether it is to be collected."""
        if self._open:
            self._corrupt |= gap
            if self._ended and not gap:  # the guess does not hold on this stream
                self._credit = -self._penalty
            self._ended = False
            return True
        if not self._done or gap:  # the start of its PES is lost
            self._lost |= gap
            self._done = False
            return False
        self._stats.early_ends += 1
        self._credit = -self._penalty
        self._penalty = min(self._penalty * 2, _MAX_PENALTY)
        self._open = self._tail = self._corrupt = True
        self._done = self._ended = self._discontinuity = self._random_access = False
        self._need, self.limit, self.size = 0, MAX_PES, 0
        return True

    def _check(self, stuffed: bool, first: bool) -> list[Pes]:
        """After a packet: is the PES at its end?"""
        if self.limit == _LENGTH_KNOWN and self.size >= _LENGTH_KNOWN:
            head = b"".join(self.chunks[:_LENGTH_KNOWN])  # no chunk is empty
            length = head[4] << 8 | head[5]
            self._need = length + 6 if length else 0
            self.limit = self._need or MAX_PES
        if self.size >= MAX_PES:
            self._stats.dropped_pes += 1
            self._open, self._lost = False, True
            self.chunks.clear()
            return []
        if 0 < self._need <= self.size:
            self._ended, self.limit = True, MAX_PES
        elif stuffed and self.limit != _LENGTH_KNOWN and (self._corrupt or not self._need):
            self._ended = not first or self._holds_picture()
        if self._ended and self._credit >= 0:
            return self._take(self._need)
        if not self._ended and self._cc is not None:
            self.expect = 0x4700_0010 | self.info.pid << 8 | (self._cc + 1) & 0x0F
        return []

    def _holds_picture(self) -> bool:
        """Stuffing in a PES' first packet: believe that it is the last one too only if it has got to a slice."""
        codec = self.info.codec
        if codec not in nal.NAL_CODECS:
            return True
        header = parse_header(self.chunks[0])
        return header is not None and nal.scan(self.chunks[0][header.start :], codec).units[0].picture

    def _close(self, gap: bool) -> list[Pes]:
        """Nothing more comes of the PES being collected."""
        self._done = False
        if not self._open:
            return []
        if self._ended:
            self._credit += self._credit < 0  # the guess would have held
        elif gap or self.size < self._need:
            self._corrupt = True
        done = self._take(0)
        self._done = False
        return done

    def _take(self, size: int) -> list[Pes]:
        data = b"".join(self.chunks)
        self._last = self.chunks[-1] if self.chunks else b""
        self.chunks.clear()
        self._open, self._done = False, True
        if size and not self._tail:
            data = data[:size]
        return [Pes(data, self._tail, self._random_access, self._discontinuity, self._corrupt)]


def _is_stuffed(field: bytes, size: int) -> bool:
    """Whether an adaptation field of `size` bytes after its length byte is larger than what it holds (§2.4.3.4)."""
    if not size or not field[1]:
        return True  # the length byte alone, or with empty flags: one or two bytes of stuffing, written as they must be
    flags, used = field[1], 1
    used += (6 if flags & _PCR else 0) + (6 if flags & _OPCR else 0) + (1 if flags & _SPLICE else 0)
    for flag in (_PRIVATE, _EXTENSION):
        if flags & flag and used < size:
            used += 1 + field[1 + used]
    return used < size
