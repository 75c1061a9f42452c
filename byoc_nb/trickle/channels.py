"""A server's set of channels: creation and deletion, autocreate, the idle sweep and the changefeed. No sockets here."""

from __future__ import annotations

import json
from collections.abc import Callable

from .channel import DEFAULT_MIME, MAX_SEGMENT_BYTES, Channel, Refused

MAX_CHANNELS = 256
LINGER_SECONDS = 10.0  # for a server whose streams should be read to their end, however late their readers are
IDLE_SECONDS = 300.0  # go-livepeer closes a channel in which no segment has started for this long
SWEEP_SECONDS = 60.0  # how often it looks
CHANGEFEED = "_changes"


class Channels:
    """Channels by name.

    `clock` gives monotonic seconds. `autocreate` lets a POST make the channel it names (a GET never does);
    `changefeed` keeps a channel `_changes` of JSON segments `{"added":["x"]}` and `{"removed":["x"]}`, the first of
    which announces `_changes` itself. Both are off in a go-livepeer orchestrator and on in http-trickle.
    For `linger_seconds` the segments that a channel holds at its end can be read; go-livepeer forgets them at once, and
    a reader that is a segment behind loses the stream's end.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        autocreate: bool = False,
        changefeed: bool = False,
        linger_seconds: float = 0.0,
        max_segment_bytes: int = MAX_SEGMENT_BYTES,
        max_channels: int = MAX_CHANNELS,
    ) -> None:
        self._clock = clock
        self._linger_seconds = linger_seconds
        self._autocreate = autocreate
        self._max_segment_bytes = max_segment_bytes
        self._max_channels = max_channels
        self._channels: dict[str, Channel] = {}
        self._ended: dict[str, tuple[float, Channel]] = {}  # with the time at which to forget it; oldest first
        if changefeed:
            self._channels[CHANGEFEED] = self._make(CHANGEFEED, "application/json")
            self._announce("added", CHANGEFEED)

    def __len__(self) -> int:
        return len(self._channels)

    def names(self) -> list[str]:
        """The open channels, oldest first."""
        return list(self._channels)

    def create(self, name: str, mime: str = DEFAULT_MIME) -> Channel:
        """The channel of that name, made if it is absent; the mime type of an existing one stays.

        Raises `Refused`: 400 if the name is not one path element, 429 if the server is full.
        """
        channel = self._channels.get(name)
        if channel is None:
            if not valid_name(name):
                raise Refused(400, "Invalid channel name")
            if len(self._channels) - (CHANGEFEED in self._channels) >= self._max_channels:
                raise Refused(429, f"More than {self._max_channels} channels")
            channel = self._channels[name] = self._make(name, mime)
            self._ended.pop(name, None)
            self._announce("added", name)
        return channel

    def find(self, name: str) -> Channel:
        """The channel of that name. Raises `Refused` (404)."""
        channel = self._channels.get(name)
        if channel is None:
            raise Refused(404, "Stream not found")
        return channel

    def find_to_read(self, name: str, seq: int) -> Channel:
        """The channel that a GET names, or one that has ended after segment `seq`. Raises `Refused` (404)."""
        self._forget()
        if name not in self._channels and name in self._ended:
            _, ended = self._ended[name]
            if 0 <= seq < ended.next_write:
                return ended
        return self.find(name)

    def find_or_autocreate(self, name: str, mime: str) -> Channel:
        """The channel that a POST names. Raises `Refused`: 404 without autocreate, else as `create`."""
        return self.create(name, mime) if self._autocreate else self.find(name)

    def remove(self, name: str) -> bool:
        """Close the channel and forget it; False if there is none of that name."""
        channel = self._channels.pop(name, None)
        if channel is None:
            return False
        channel.close()
        if self._linger_seconds:
            self._forget()
            self._ended[name] = self._clock() + self._linger_seconds, channel
            if len(self._ended) > self._max_channels:
                del self._ended[next(iter(self._ended))]
        self._announce("removed", name)
        return True

    def sweep(self) -> list[str]:
        """Remove and name the channels in which no segment has begun for `IDLE_SECONDS`; a leading `_` exempts one.

        A single segment that lasts longer counts as idle too, as it does in go-livepeer.
        """
        self._forget()
        deadline = self._clock() - IDLE_SECONDS
        idle = [c.name for c in self._channels.values() if c.write_time < deadline and not c.name.startswith("_")]
        for name in idle:
            self.remove(name)
        return idle

    def clear(self) -> None:
        """Close and forget every channel, the changefeed last; none of them lingers."""
        for name in sorted(self._channels, key=CHANGEFEED.__eq__):
            self.remove(name)
        self._ended.clear()

    def _forget(self) -> None:
        now = self._clock()
        for name in [name for name, (until, _) in self._ended.items() if until <= now]:
            del self._ended[name]

    def _make(self, name: str, mime: str) -> Channel:
        return Channel(name, mime, self._clock(), max_segment_bytes=self._max_segment_bytes)

    def _announce(self, change: str, name: str) -> None:
        feed = self._channels.get(CHANGEFEED)
        if feed is not None:
            writing = feed.write(-1)
            writing.feed(json.dumps({change: [name]}, separators=(",", ":")).encode(), self._clock())
            writing.finish()


def valid_name(name: str) -> bool:
    """Whether `name` is one path element that no proxy or client rewrites: no slash, no control character, no dots."""
    return bool(name) and len(name) <= 255 and name not in {".", ".."} and "/" not in name and name.isprintable()
