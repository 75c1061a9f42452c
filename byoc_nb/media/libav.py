"""A stream that our own demuxer doesn't recognise, read by libav: whatever container it can read without seeking.

libav pulls its bytes where ours are pushed, so it has a thread of its own; `feed` hands the bytes over and comes back
when libav asks for more, so that frames still come out of the call that brought their bytes (as soon as libav gives
them: its demuxers wait for the frame after).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import av

logger = logging.getLogger(__name__)

CLOCK = 90_000  # ticks a second
PROBED = {"probesize": "1000000", "analyzeduration": "1000000"}  # bytes, microseconds
# The bytes come from elsewhere: no format that opens files or addresses that it finds in them (playlists, concat)
ALLOWED = {
    "format_whitelist": "mpegts,mpeg,matroska,webm,mov,mp4,flv,nut,ogg,avi,asf,ivf",
    "protocol_whitelist": "none",
}


class Decoded(NamedTuple):
    """A picture or some sound as libav decoded it, and its time in 90 kHz ticks where it has one."""

    kind: str  # "video" | "audio"
    frame: Any
    pts: int | None


class LibavDecoder:
    """Decodes the first video and the first audio stream of what it is fed. `on_damage()` hears of each lost frame."""

    def __init__(self, on_damage: Callable[[], None] = lambda: None) -> None:
        self.kinds: frozenset[str] = frozenset()  # known once libav has recognised the stream
        self.error: Exception | None = None  # why nothing more will come
        self._on_damage = on_damage
        self._waiting = bytearray()
        self._frames: list[Decoded] = []
        self._over = False  # no more bytes
        self._ended = False  # the thread has
        self._starving = False  # libav has taken all and wants more
        self._turn = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="byoc-libav", daemon=True)
        self._thread.start()

    def feed(self, data: bytes) -> list[Decoded]:
        """The frames that libav makes of what it has now."""
        return self._exchange(data, over=False)

    def flush(self) -> list[Decoded]:
        """The frames that are left; the end."""
        frames = self._exchange(b"", over=True)
        self._thread.join()
        return frames

    def _exchange(self, data: bytes, *, over: bool) -> list[Decoded]:
        with self._turn:
            self._waiting += data
            self._over = self._over or over
            self._starving = self._ended
            self._turn.notify_all()
            self._turn.wait_for(lambda: self._starving)
            frames, self._frames = self._frames, []
            return frames

    # ---- on the thread

    def read(self, size: int) -> bytes:
        """Bytes for libav; an empty answer is the end."""
        with self._turn:
            while not self._waiting and not self._over:
                self._starving = True
                self._turn.notify_all()
                self._turn.wait()
            data = bytes(self._waiting[:size])
            del self._waiting[:size]
            return data

    def _run(self) -> None:
        try:
            self._decode()
            self.error = EOFError("the stream is over")
        except Exception as error:  # whatever it makes of foreign bytes
            self.error = error
        finally:
            with self._turn:
                self._ended = self._starving = True
                self._turn.notify_all()

    def _decode(self) -> None:
        with av.open(self, "r", options={**PROBED, **ALLOWED}) as container:
            found = [*container.streams.video[:1], *container.streams.audio[:1]]
            if not found:
                raise ValueError(f"{container.format.long_name} without picture or sound")
            self.kinds = frozenset(stream.type for stream in found)
            logger.info("the input is %s, read by libav", container.format.long_name)
            for stream in found:
                stream.codec_context.thread_count = 1
            for packet in container.demux(*found):
                try:
                    self._frames += [_decoded(packet.stream.type, frame) for frame in packet.decode()]
                except av.FFmpegError:
                    if packet.size:
                        self._on_damage()


def _decoded(kind: str, frame: Any) -> Decoded:
    pts = None if frame.pts is None else round(frame.pts * frame.time_base * CLOCK)
    return Decoded(kind, frame, pts)
