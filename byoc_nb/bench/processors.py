# mypy: ignore-errors
"""The processors that are measured: the same file runs under pytrickle's Python and in this package's container.

`python processors.py NAME PORT` serves one of them with whichever package `pytrickle` is.
"""

import asyncio
import logging
import sys
import time

from pytrickle import FrameProcessor, StreamServer


class Unchanged(FrameProcessor):
    """What pytrickle asks of a processor; pictures and sound pass through."""

    async def load_model(self, **kwargs):
        pass

    async def process_video_async(self, frame):
        return frame

    async def process_audio_async(self, frame):
        return [frame]

    async def update_params(self, params):
        pass


class Float32(Unchanged):
    """The negative, by a torch operation on float32."""

    async def process_video_async(self, frame):
        return frame.replace_tensor(1 - frame.tensor)


class Uint8(Unchanged):
    """The negative, on uint8; pytrickle has no such view."""

    async def process_video_async(self, frame):
        return frame.replace_array(255 - frame.array)


class Slow(Unchanged):
    """Blocks for 50 ms with each picture: 20 fps at most."""

    async def process_video_async(self, frame):
        time.sleep(0.05)  # noqa: ASYNC251  # as a model does that runs in the calling thread
        return frame


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    served = StreamServer(frame_processor=globals()[sys.argv[1]](), host="127.0.0.1", port=int(sys.argv[2]))
    asyncio.run(served.run_forever())
