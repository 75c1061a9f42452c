"""One frame through a processor: what came of it, and what it raised."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from byoc_nb.frames import AudioFrame, VideoFrame
from byoc_nb.media.encode import ticks
from byoc_nb.runtime.encoding import Processed
from byoc_nb.runtime.host import Host
from byoc_nb.runtime.trip import Trip

# A cell's sys.exit() must not end the thread that ran it, nor a task of its own that it cancelled and awaits
_USER_ERRORS = (Exception, SystemExit, KeyboardInterrupt, asyncio.CancelledError)


class Done(NamedTuple):
    """What goes to the encoder; for a frame whose processing raised, the frame itself."""

    made: list[Processed]
    error: BaseException | None = None
    shown: tuple[VideoFrame, VideoFrame] | None = None  # a picture before and after, as frames that nobody else has


def untouched(frame: VideoFrame, trip: Trip) -> Processed:
    """A picture that goes on as it came."""
    return Processed(frame.to_av(), frame.color, None, frame.timestamp, trip)


async def process_video(host: Host, frame: VideoFrame, trip: Trip) -> Done:
    """A picture; nothing comes of it where the processor returns None."""
    trip.processing()
    as_it_came, error, made = untouched(frame, trip), None, []
    try:
        out = await host.processor.video(frame)
        if out is not None:
            made = [Processed(out.to_av(), out.color, None, ticks(out), trip)]
    except _USER_ERRORS as raised:
        _raise_if_cancelled(raised)
        error, made = raised, [as_it_came]
    trip.processed()
    shown = [VideoFrame(one.picture, one.pts) for one in (as_it_came, *made) if one.picture is not None]
    return Done(made, error, (shown[0], shown[1]) if made else None)


async def process_audio(host: Host, frame: AudioFrame) -> Done:
    """Some sound, which may become any number of sounds."""
    as_it_came = frame.copy()
    try:
        sounds = await host.processor.audio(frame)
        return Done([Processed(None, None, sound, ticks(sound), None) for sound in sounds])
    except _USER_ERRORS as raised:
        _raise_if_cancelled(raised)
        return Done([Processed(None, None, as_it_came, as_it_came.timestamp, None)], raised)


def _raise_if_cancelled(error: BaseException) -> None:
    """Tell the end of the processor's thread from a CancelledError of the user's own."""
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
        raise error
