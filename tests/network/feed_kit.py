"""A source on a channel, and what comes out of it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

from kit import WAIT, Trickle, auntil, collect, decode

from byoc_nb.network.source import Source
from byoc_nb.trickle import ChannelNotFound


class Playing:
    """`segments`, `pictures` and `sounds` are there once the block has ended; `error` is what `run` raised."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.error: BaseException | None = None

    async def sent(self, count: int) -> None:
        """Wait until so many pictures more were sent."""
        wanted = self.source.frames_sent + count
        await auntil(lambda: self.source.frames_sent >= wanted)


@contextlib.asynccontextmanager
async def playing(trickle: Trickle, source: Source, *, to_its_end: bool = False) -> AsyncIterator[Playing]:
    """Run the source while the block runs, or `to_its_end`."""
    url = trickle.channel("played")
    reading = asyncio.create_task(collect(url))
    running = asyncio.create_task(source.run(url))
    made = Playing(source)
    try:
        yield made
        if to_its_end:
            await asyncio.wait({running}, timeout=WAIT)
            assert running.done(), "it doesn't end"
    finally:
        source.stop()
        await asyncio.wait({running}, timeout=WAIT)
        await asyncio.to_thread(source.join, WAIT)
        made.error = running.exception()
        trickle.server.close("played")
    made.segments = []
    with contextlib.suppress(ChannelNotFound):  # it ended before anybody read
        made.segments = await asyncio.wait_for(reading, WAIT)
    made.pictures, made.sounds = decode(b"".join(made.segments))


def ffmpeg(*arguments: object) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True, timeout=60)


def clip(path: Path, seconds: float = 4.0, *, size: str = "96x64", gop: int = 50) -> Path:
    """A real clip at 25 fps with sound; its brightness says where in it a picture is: see `second_of`."""
    ramp = f"color=black:size={size}:rate=25:duration={seconds},geq=lum='20+200*T/{seconds}':cb=128:cr=128"
    ffmpeg("-f", "lavfi", "-i", ramp, "-f", "lavfi", "-i", f"sine=sample_rate=48000:duration={seconds}",
           "-pix_fmt", "yuv420p", "-c:v", "libx264", "-g", gop, "-bf", 2, "-crf", 10, "-c:a", "aac",
           "-movflags", "+faststart", path)  # fmt: skip
    return path


def second_of(picture, seconds: float = 4.0) -> float:
    """Where in the `clip` a decoded picture is from."""
    luma = picture.to_av().to_ndarray()[: picture.height].mean()
    return (luma - 20) / 200 * seconds


def descriptors() -> set[str]:
    """What this process has open: files, sockets and pipes."""
    found = set()
    for entry in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found.add(os.readlink(f"/proc/self/fd/{entry}"))
    return found
