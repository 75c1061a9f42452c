"""Another trickle channel's pictures and sound.

They are decoded and encoded again, as every other source's: so size and rate can be set, the clock begins at 0 and
never goes back whatever the channel does, and damage stays on that side.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future

from byoc_nb.frames import AudioFrame, VideoFrame
from byoc_nb.media.decode import Decoder
from byoc_nb.media.timeline import Timeline
from byoc_nb.network.sources.feed import OPEN_SECONDS, Feed, Given, SourceError
from byoc_nb.network.sources.url import without_credentials
from byoc_nb.runtime.threads import Closed, CrossQueue, LoopThread
from byoc_nb.trickle import ChannelNotFound, TrickleError, TrickleSubscriber

PREFIXES = ("trickle+http://", "trickle+https://")
WAITING_BYTES = 4 << 20
TRIES = 3  # a server that is away is told within two seconds


class TrickleFeed(Feed):
    """The channel from its newest segment on; ends when the channel ends.

    Raises SourceError when there is no such channel, or when nothing comes from it within 10 s.
    """

    kind, live = "trickle", True

    def __init__(self, spec: str) -> None:
        self.label = without_credentials(spec)
        self._url = spec.removeprefix("trickle+")
        self._bytes: CrossQueue[bytes | None] = CrossQueue(WAITING_BYTES, weigh=lambda data: len(data or b""))
        self._decoder = Decoder()
        self._error: SourceError | None = None
        self._loop = LoopThread("byoc-source-io")
        opened: Future[None] = Future()
        self._loop.submit(self._read(opened))
        try:
            opened.result(OPEN_SECONDS)
        except TimeoutError:
            self.close()
            raise SourceError(
                f"nothing came from {self.label} within {OPEN_SECONDS:.0f} s", hint="does somebody publish to it?"
            ) from None
        except BaseException:
            self.close()
            raise

    def frames(self) -> Iterator[Given]:
        start: int | None = None
        timeline = Timeline()
        for frame in self._frames():
            picture = isinstance(frame, VideoFrame)
            if start is None and picture:
                start, self.audio = frame.timestamp, "audio" in self._decoder.kinds
            if start is None or (at := timeline.place("video" if picture else "audio", frame.timestamp)) is None:
                continue
            if at >= start:  # sound before the first picture has none to go with
                frame.timestamp = at - start
                yield frame
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        self._bytes.close(discard=True)

    def close(self) -> None:
        self.stop()
        self._loop.stop()

    def _frames(self) -> Iterator[VideoFrame | AudioFrame]:
        try:
            while True:
                data = self._bytes.get()
                yield from self._decoder.cut() if data is None else self._decoder.feed(data)
        except Closed:
            yield from self._decoder.flush()

    async def _read(self, opened: Future[None]) -> None:
        """The channel's bytes, on a loop of their own; None in place of those that are missing."""
        problem = f"{self.label} has ended"
        try:
            async with TrickleSubscriber(self._url, max_retries=TRIES) as channel:
                async for segment in channel:
                    if not opened.done():
                        opened.set_result(None)
                    if segment.gap:
                        await self._bytes.aput(None)
                    async for data in segment:
                        await self._bytes.aput(data)
                    if segment.truncated:
                        await self._bytes.aput(None)
        except Closed:
            pass
        except ChannelNotFound:
            problem = f"there is no channel {self.label}"
        except (TrickleError, ValueError) as error:
            status = getattr(error, "status", 0)
            problem = f"{self.label} can't be read" + (f": it answers {status}" if status else "")
            self._error = SourceError(problem, hint="is the trickle server running?")
        finally:
            if not opened.done():
                opened.set_exception(self._error or SourceError(problem))
            self._bytes.close()
