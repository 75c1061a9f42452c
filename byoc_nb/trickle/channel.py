"""The rules of one trickle channel, without sockets, clocks or an event loop.

A channel is a ring of five segments and a write head; a segment is a list of byte chunks that only grows. The server
turns requests into calls of `Channel.read` and `Channel.write` and waits with `Segment.watch`. The rules are those of
go-livepeer's trickle server; where that server crashes or loses data the rule here differs and the docstring says so.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

RING_SEGMENTS = 5  # a reader that falls this many segments behind is told to jump (470)
MAX_SEGMENT_BYTES = 64 * 1024 * 1024  # two seconds of 250 Mbit/s video
CHUNK_OVERHEAD_BYTES = 64  # charged for every chunk, so that a flood of one-byte chunks meets the same bound
MAX_SEQ = 2**63 - 1  # Go parses sequence numbers into an int64
NEXT = -1  # POST and GET: the segment at the write head
CURRENT = -2  # GET only: the newest segment that has begun
DEFAULT_MIME = "video/MP2T"


class Refused(Exception):
    """A request that the rules turn down. `status` is the HTTP status (400, 404, 413 or 429) and `reason` its text."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Segment:
    """Bytes that arrive in order and are shared by any number of readers; `chunks` is never copied nor trimmed.

    Readers walk `chunks` by index and call `watch` for the next change. `size` counts payload bytes.
    """

    __slots__ = ("_charged", "_limit", "_watchers", "chunks", "closed", "seq", "size")

    def __init__(self, seq: int, limit: int = MAX_SEGMENT_BYTES) -> None:
        self.seq = seq
        self.chunks: list[bytes] = []
        self.size = 0
        self.closed = False
        self._limit = limit
        self._charged = 0
        self._watchers: list[Callable[[], None]] = []

    def append(self, data: bytes) -> bool:
        """Add `data` and wake the watchers; False (nothing added) once the segment is closed.

        Raises `Refused` (413) and closes the segment when it would pass its bound.
        """
        if self.closed:
            return False
        charge = len(data) + CHUNK_OVERHEAD_BYTES
        if self._charged + charge > self._limit:
            self.close()
            raise Refused(413, f"Segment is larger than {self._limit} bytes")
        self._charged += charge
        self.chunks.append(data)
        self.size += len(data)
        self._notify()
        return True

    def close(self) -> None:
        """End the segment: readers see the end of the body, further data is dropped. Idempotent."""
        if not self.closed:
            self.closed = True
            self._notify()

    @contextlib.contextmanager
    def watch(self, wake: Callable[[], None]) -> Iterator[None]:
        """While the context is open, `wake()` is called after every append and at the close."""
        self._watchers.append(wake)
        try:
            yield
        finally:
            self._watchers.remove(wake)

    def _notify(self) -> None:
        for wake in tuple(self._watchers):
            wake()


@dataclass(frozen=True)
class Reading:
    """What a GET found: `segment` is None for a 470. `latest` is the write head when the GET arrived."""

    seq: int
    latest: int
    segment: Segment | None


class Writing:
    """One POST in progress on one segment.

    `seq` is the effective sequence number. `over` is True when the segment has ended, by this writer or by anything
    else (eviction, DELETE, reset, close of the channel): from then on data is dropped and the POST is answered.
    """

    def __init__(self, channel: Channel, segment: Segment) -> None:
        self._channel = channel
        self.segment = segment
        self.seq = segment.seq
        self.started = False

    @property
    def over(self) -> bool:
        return self.segment.closed

    def feed(self, data: bytes, now: float) -> None:
        """Take body bytes. The first byte moves the write head past this segment and marks the channel as alive.

        `now` is in seconds on any monotonic clock. Raises `Refused` (413) when the segment is full.
        """
        if self.over or not data:
            return
        if not self.started:
            self.started = True
            self._channel.advance(self.seq)
            self._channel.write_time = now
        self.segment.append(data)

    def finish(self) -> None:
        """The body has ended, or is over: close the segment. A body without bytes advances the write head too.

        A segment that something else closed advances it only if it is the head itself (a DELETEd preconnect), so that
        an evicted far-ahead preconnect cannot drag the head along.
        """
        if not self.over or self.seq == self._channel.next_write:
            self._channel.advance(self.seq)
        self.segment.close()


class Channel:
    """A named sequence of segments.

    `next_write` is the sequence number at which new data is expected, one past the newest segment that has begun; it is
    what `Lp-Trickle-Latest` carries. It never moves backwards (go-livepeer's does when an old segment is posted again,
    which strands the readers at the edge). `write_time` is the instant of the creation or of the last first byte.
    """

    def __init__(self, name: str, mime: str, now: float, *, max_segment_bytes: int = MAX_SEGMENT_BYTES) -> None:
        self.name = name
        self.mime = mime or DEFAULT_MIME
        self.next_write = 0
        self.write_time = now
        self.closed = False
        self._max_segment_bytes = max_segment_bytes
        self._ring: list[Segment | None] = [None] * RING_SEGMENTS

    @property
    def segments(self) -> list[Segment]:
        """The segments in the ring, by sequence number."""
        return sorted((s for s in self._ring if s is not None), key=lambda s: s.seq)

    def read(self, seq: int) -> Reading:
        """Find the segment for a GET; -1 is the one at the write head, -2 the newest that has begun (0 if none has).

        An absent segment is made, for the reader to wait on, exactly if it is at the write head, or is 1 on a channel
        that nothing was written to. Raises `Refused` (400) from -3 down, where go-livepeer's index panics.
        """
        if not CURRENT <= seq <= MAX_SEQ:
            raise Refused(400, "Invalid sequence number")
        if seq == NEXT:
            seq = self.next_write
        elif seq == CURRENT:
            seq = max(0, self.next_write - 1)
        segment = self._at(seq)
        if segment is None and not self.closed and (seq == self.next_write or (self.next_write == 0 and seq == 1)):
            segment = self._place(seq)
        return Reading(seq, self.next_write, segment)

    def write(self, seq: int, *, reset: bool = False) -> Writing:
        """Begin a POST; -1 is the segment at the write head. The segment exists from here on (preconnect).

        A segment that a dropped publisher left open is appended to. A finished one, or one that the ring has since
        replaced by a newer one, gives a `Writing` that is already over: its data is dropped. Whatever other segment
        held the slot is closed. `reset` closes every older segment in the ring and so releases readers that hang on
        one. Raises `Refused` (400) from -2 down, where go-livepeer's index panics.
        """
        if not NEXT <= seq <= MAX_SEQ:
            raise Refused(400, "Invalid sequence number")
        if seq == NEXT:
            seq = self.next_write
        if reset:
            for old in self.segments:
                if old.seq < seq:
                    old.close()
        segment = self._at(seq)
        if segment is None:
            holder = self._ring[seq % RING_SEGMENTS]
            if self.closed or (holder is not None and holder.seq > seq and seq < self.next_write):
                segment = Segment(seq)
                segment.close()
            else:
                segment = self._place(seq)
        return Writing(self, segment)

    def delete_segment(self, seq: int) -> None:
        """Close one segment of the ring.

        Raises `Refused` (400) if it is not there, or negative, where go-livepeer panics with a lock held.
        """
        segment = self._at(seq) if 0 <= seq <= MAX_SEQ else None
        if segment is None:
            raise Refused(400, "Invalid segment")
        segment.close()

    def advance(self, seq: int) -> None:
        """Move the write head past `seq`, never backwards."""
        self.next_write = max(self.next_write, seq + 1)

    def close(self) -> None:
        """End the channel and every segment in it; who waits on one sees `closed` when it wakes."""
        self.closed = True
        for segment in self.segments:
            segment.close()

    def _at(self, seq: int) -> Segment | None:
        segment = self._ring[seq % RING_SEGMENTS]
        return segment if segment is not None and segment.seq == seq else None

    def _place(self, seq: int) -> Segment:
        evicted = self._ring[seq % RING_SEGMENTS]
        segment = Segment(seq, self._max_segment_bytes)
        self._ring[seq % RING_SEGMENTS] = segment
        if evicted is not None:
            evicted.close()
        return segment
