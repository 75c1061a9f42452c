"""A trickle channel read back into a file."""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import av

from byoc_nb.errors import ByocError
from byoc_nb.media.mpegts import Demuxer
from byoc_nb.trickle import TrickleSubscriber

CLOCK = 90_000  # ticks a second
START_TAG = "byoc_start"  # metadata of the file: where on the stream's clock it begins, in seconds


class RecordError(ByocError, OSError):
    """Nothing could be recorded, or the file can't be written."""


@dataclass(frozen=True, repr=False)
class Recording:
    """What was recorded. `start` in seconds on the stream's clock; `seconds` long; `frames` pictures."""

    path: Path
    frames: int
    seconds: float
    start: float

    def __str__(self) -> str:
        return f"{self.path}: {self.frames} frames, {self.seconds:.1f} s"

    __repr__ = __str__


async def record(url: str, path: Path, seconds: float, *, wait: float = 15.0) -> Recording:
    """Record `seconds` of the channel, from the beginning of its newest segment; returns earlier if the stream ends.

    The packets are copied, not encoded again; the file's type follows its name (.mp4, .mkv, .ts, …). `wait`: how many
    seconds without a byte are too many. Raises RecordError.
    """
    if not path.parent.is_dir():
        raise RecordError(f"there is no folder {path.parent}")
    with tempfile.TemporaryFile(suffix=".ts") as buffer:
        try:
            await _capture(url, buffer, seconds, wait)
        except TimeoutError:
            raise RecordError(f"nothing came from {url} for {wait:.0f} s", hint="is the stream running? %byoc status") from None
        buffer.seek(0)
        try:
            return await asyncio.to_thread(_remux, buffer, path, seconds)
        except (av.FFmpegError, OSError) as error:
            raise RecordError(f"{path} can't be written: {getattr(error, 'strerror', None) or error}") from None


async def _capture(url: str, buffer: IO[bytes], seconds: float, wait: float) -> None:
    demuxer, begin, deadline = Demuxer(), None, time.monotonic() + wait
    async with TrickleSubscriber(url, start=-2) as channel:
        segments = aiter(channel)
        while True:
            try:
                segment = await asyncio.wait_for(anext(segments), max(0.0, deadline - time.monotonic()))
            except StopAsyncIteration:
                return
            async for data in segment:
                deadline = time.monotonic() + wait
                buffer.write(data)
                for unit in demuxer.feed(data):
                    if unit.stream.kind == "video" and unit.pts is not None:
                        begin = unit.pts if begin is None else begin
                        if unit.pts - begin > seconds * CLOCK:
                            return


def _remux(buffer: IO[bytes], path: Path, seconds: float) -> Recording:
    """Copy the packets of an MPEG-TS file into another container, from its first key frame on."""
    try:
        source = av.open(buffer, format="mpegts")
    except av.FFmpegError:
        raise RecordError("the stream had no picture to record", hint="is the stream running? %byoc status") from None
    with source:
        kept = [stream for stream in (*source.streams.video[:1], *source.streams.audio[:1])]
        if not source.streams.video:
            raise RecordError("the stream had no picture to record", hint="is the stream running? %byoc status")
        packets = [packet for packet in source.demux(*kept) if packet.dts is not None and packet.pts is not None]
        first = next((p.pts * p.time_base for p in packets if p.stream.type == "video" and p.is_keyframe), None)
        if first is None:
            raise RecordError("the stream had no key frame to begin with")
        with av.open(str(path), "w", options={"movflags": "use_metadata_tags+faststart"}) as target:
            target.metadata[START_TAG] = f"{float(first):.6f}"
            streams = {stream.index: target.add_stream_from_template(stream) for stream in kept}
            frames, last = 0, first
            for packet in packets:
                at = packet.pts * packet.time_base
                if not first <= at <= first + seconds:
                    continue
                if packet.stream.type == "video":
                    frames, last = frames + 1, max(last, at)
                shift = round(first / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = streams[packet.stream.index]
                target.mux(packet)
    return Recording(path, frames, float(last - first), float(first))
