"""Encoded chunks to a trickle channel, a segment at a time, every byte as soon as it is there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from byoc_nb.media.encode import Chunk
from byoc_nb.runtime.threads import Closed, CrossQueue
from byoc_nb.runtime.trip import Trip
from byoc_nb.trickle import ChannelClosed, SegmentWriter, TrickleError, TricklePublisher

logger = logging.getLogger(__name__)

LAST_BYTES_SECONDS = 2.0  # for the server to take the end of the last segments

TimedChunk = tuple[Chunk, Trip | None]  # with the trip of the picture that it carries


async def publish_segments(
    url: str,
    chunks: CrossQueue[TimedChunk],
    *,
    sent: Callable[[TimedChunk], None] = lambda item: None,
    failed: Callable[[TrickleError], None] = lambda error: None,
    done: Callable[[], bool] = lambda: True,
    verify_tls: bool = False,
) -> None:
    """Publish until `chunks` is closed, then delete the channel if `done()`: its readers learn that this is the end.

    `sent` hears of each chunk that the server took. A segment that fails is reported to `failed` and left out, the
    next one is a fresh start. Raises TrickleError when the channel itself is gone.
    """
    writer: SegmentWriter | None = None
    closing: set[asyncio.Task[None]] = set()
    async with TricklePublisher(url, verify_tls=verify_tls) as channel:
        try:
            while (item := await chunks.aget()) is not None:
                if item[0].opens_segment:
                    if writer is not None:
                        closing.add(asyncio.create_task(_finish(writer)))
                        closing = {task for task in closing if not task.done()}
                    writer = await channel.next()
                if writer is None:
                    continue
                try:
                    await writer.write(item[0].data)
                except ChannelClosed:
                    raise
                except TrickleError as error:
                    failed(error)
                    writer = None
                    continue
                sent(item)
        except Closed:
            if writer is not None:
                closing.add(asyncio.create_task(_finish(writer)))
            if closing:
                await asyncio.wait(closing, timeout=LAST_BYTES_SECONDS)
            if done():
                await channel.close(delete=True)
        finally:
            for task in closing:
                task.cancel()
            await asyncio.gather(*closing, return_exceptions=True)


async def _finish(writer: SegmentWriter) -> None:
    try:
        await writer.close()
    except TrickleError as error:
        logger.warning("a segment's end was not acknowledged: %s", error.one_line())
