"""Media for the tests: numbered pictures, tones, encoded streams, and what ffprobe sees in them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np

from byoc_nb.frames import MPEG_TIME_BASE, AudioFrame, VideoFrame
from byoc_nb.media.decode import Decoder
from byoc_nb.media.encode import SegmentEncoder
from byoc_nb.trickle import TricklePublisher, TrickleServer, TrickleSubscriber

CLIP = Path(__file__).parents[1] / "notebooks" / "bigbuckbunny.mp4"  # 1280x720, 25 fps, 132 pictures, AAC 5.1
CLOCK = 90_000
WAIT = 10.0  # seconds after which a test has failed, never the time that it takes
BITS = 12  # of the number that a picture carries


def picture(number: int = 0, size: tuple[int, int] = (96, 64), format: str = "yuv420p") -> av.VideoFrame:
    """A picture that shows its number as black and white bars, so that it survives every codec."""
    bars = np.array([number >> bit & 1 for bit in range(BITS)], np.uint8) * 200 + 20
    row = np.repeat(bars, -(-size[0] // BITS))[: size[0]]
    rgb = np.broadcast_to(row[None, :, None], (size[1], size[0], 3))
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
    return frame if format == "rgb24" else frame.reformat(format=format)


def number_of(frame: VideoFrame) -> int:
    """The number that a picture shows."""
    row = frame.array[frame.height // 2, :, 1]
    step = -(-frame.width // BITS)
    return sum(int(row[bit * step + step // 2] > 120) << bit for bit in range(BITS))


def tone(pts: int, samples: int = 960, rate: int = 48_000, layout: str = "stereo", hertz: float = 440.0) -> AudioFrame:
    """A piece of an endless tone; `pts` in 90 kHz ticks decides its phase."""
    time_ = pts / CLOCK + np.arange(samples) / rate
    wave = (0.4 * np.sin(2 * np.pi * hertz * time_)).astype(np.float32)
    channels = av.AudioLayout(layout).nb_channels
    frame = av.AudioFrame.from_ndarray(np.repeat(wave[None], channels, axis=0), format="fltp", layout=layout)
    frame.sample_rate = rate
    return AudioFrame(frame, pts, MPEG_TIME_BASE)


def programme(
    seconds: float,
    *,
    fps: float = 30,
    size: tuple[int, int] = (96, 64),
    start: int = 0,
    video: bool = True,
    audio: bool = True,
) -> Iterator[VideoFrame | AudioFrame]:
    """Numbered pictures and a tone, in order of time."""
    sounds = iter(range(0, round(seconds * 50) if audio else 0))
    sound = next(sounds, None)
    for number in range(round(seconds * fps)):
        at = round(number * CLOCK / fps)
        while sound is not None and sound * 1800 <= at:
            yield tone(start + sound * 1800)
            sound = next(sounds, None)
        if video:
            yield VideoFrame(picture(number, size), start + at)
    while sound is not None:
        yield tone(start + sound * 1800)
        sound = next(sounds, None)


def encode(
    frames: Iterable[VideoFrame | AudioFrame], encoder: SegmentEncoder | None = None, **options: Any
) -> list[bytes]:
    """The segments of a stream as this project makes them."""
    encoder = encoder or SegmentEncoder(**options)
    segments: list[bytearray] = []

    def take(chunks: Any) -> None:
        for chunk in chunks:
            if chunk.opens_segment:
                segments.append(bytearray())
            segments[-1].extend(chunk.data)

    for frame in frames:
        if isinstance(frame, VideoFrame):
            take(encoder.video(frame.to_av(), frame.timestamp, frame.color))
        else:
            take(encoder.audio(frame))
    take(encoder.flush())
    return [bytes(segment) for segment in segments]


@lru_cache
def segments(seconds: float, *, start: int = 0, **options: Any) -> tuple[bytes, ...]:
    """`programme`, encoded; cached."""
    kinds = {f"with_{kind}": options.get(kind, True) for kind in ("video", "audio")}
    return tuple(encode(programme(seconds, start=start, **options), **kinds))


def decode(data: bytes, **options: Any) -> tuple[list[VideoFrame], list[AudioFrame]]:
    """Pictures and sounds of a whole stream."""
    decoder = Decoder(**options)
    return split([*decoder.feed(data), *decoder.flush()])


def split(frames: Iterable[VideoFrame | AudioFrame]) -> tuple[list[VideoFrame], list[AudioFrame]]:
    frames = list(frames)
    return (
        [frame for frame in frames if isinstance(frame, VideoFrame)],
        [frame for frame in frames if isinstance(frame, AudioFrame)],
    )


def onsets(sounds: Iterable[AudioFrame], level: float = 0.1, gap: float = 0.2) -> list[float]:
    """Where sound begins after silence, in seconds."""
    found: list[float] = []
    loud = -1.0
    for sound in sounds:
        samples = sound.samples.reshape(-1) if sound.samples.shape[0] == 1 else sound.samples[0]
        step = max(1, len(samples) // sound.nb_samples)
        for index in np.flatnonzero(np.abs(samples[::step]) > level):
            at = sound.seconds + index / sound.rate
            if at - loud > gap:
                found.append(at)
            loud = at
    return found


def ffprobe(data: bytes, *arguments: str) -> dict[str, Any]:
    """What ffprobe says about a stream; its warnings are failures."""
    done = subprocess.run(
        ["ffprobe", "-v", "warning", "-f", "mpegts", "-of", "json", *arguments, "-i", "pipe:0"],
        input=data,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert not done.stderr, done.stderr.decode()
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def ffprobe_file(path: Path, *arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-of", "json", *arguments, str(path)], capture_output=True, check=True, timeout=60
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def ours() -> list[str]:
    """The names of this project's threads that run."""
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("byoc"))


def open_sockets() -> int:
    """How many sockets this process has open."""
    count = 0
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            count += os.readlink(f"/proc/self/fd/{entry}").startswith("socket:")
    return count


def until(condition: Callable[[], Any], seconds: float = WAIT) -> None:
    """Wait, on a thread, for something that has no event."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        time.sleep(0.005)


async def auntil(condition: Callable[[], Any], seconds: float = WAIT) -> None:
    """`until` on a loop."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} s: {condition}"
        await asyncio.sleep(0.005)


class Trickle:
    """A trickle server for tests."""

    def __init__(self, server: TrickleServer, base: str) -> None:
        self.server, self.base = server, base

    def channel(self, name: str) -> str:
        self.server.create(name)
        return f"{self.base}/{name}"


async def publish(url: str, parts: Iterable[bytes], *, end: bool = True) -> None:
    """Send segments; with `end`, delete the channel."""
    async with TricklePublisher(url) as channel:
        for part in parts:
            async with await channel.next() as segment:
                for pos in range(0, len(part), 1 << 16):
                    await segment.write(part[pos : pos + (1 << 16)])
        if end:
            await channel.close(delete=True)


async def collect(url: str, **options: Any) -> list[bytes]:
    """All segments of a channel until it ends."""
    async with TrickleSubscriber(url, **options) as channel:
        return [await segment.read() async for segment in channel]


async def collect_json(url: str, into: list[Any]) -> None:
    """The JSON objects of a channel from its first on, as they come."""
    async with TrickleSubscriber(url, start=0) as channel:
        async for segment in channel:
            into.append(json.loads(await segment.read()))
