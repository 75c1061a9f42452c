"""The way of a frame through the container: decode, process, encode, each on a thread of its own.

The queues between them are short; `backlog` tells what becomes of frames that a processor is too slow for. Bytes go in
and out through two queues that the io loop serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator

from byoc_nb.dialects import Processor
from byoc_nb.frames import AudioFrame, VideoFrame
from byoc_nb.media.decode import Decoder
from byoc_nb.runtime.backlog import SOUNDS_A_PICTURE, Backlog, Policy, Waiting
from byoc_nb.runtime.egress import TimedChunk
from byoc_nb.runtime.encoding import Processed, encode_all
from byoc_nb.runtime.host import Host
from byoc_nb.runtime.slot import ProcessorSlot
from byoc_nb.runtime.stats import StreamStats
from byoc_nb.runtime.threads import Closed, CrossQueue
from byoc_nb.runtime.trip import Trip
from byoc_nb.runtime.watchdog import Watchdog
from byoc_nb.runtime.work import process_audio, process_video, untouched

logger = logging.getLogger(__name__)

ENCODING_FRAMES = 4  # pictures between processor and encoder
WAITING_BYTES = 4 << 20  # between the network and the decoder, and between the encoder and the network
RETURNED_NONE = "processor returned None"
HUNG = "processor hung"
Observer = Callable[[VideoFrame, Processor], None]
Received = tuple[bytes, float]  # with time.monotonic() when they came in
CUT = None  # in place of bytes: those before were broken off, those after come from elsewhere in the stream


class Pipeline:
    """Media bytes in, media bytes out."""

    def __init__(
        self,
        decoder: Decoder,
        slot: ProcessorSlot,
        stats: StreamStats,
        *,
        policy: Policy = "live",
    ) -> None:
        self.bytes_in: CrossQueue[Received | None] = CrossQueue(
            WAITING_BYTES, weigh=lambda item: len(item[0]) if item else 0
        )
        self.bytes_out: CrossQueue[TimedChunk] = CrossQueue(WAITING_BYTES, weigh=lambda item: len(item[0].data))
        self.newest: tuple[VideoFrame, VideoFrame] | None = None  # the last picture before and after processing
        # Each hears of a picture before the processor gets it, on the processor's thread; must neither raise nor wait
        self.observers: tuple[Observer, ...] = ()
        self._decoder, self._slot, self._stats, self._policy = decoder, slot, stats, policy
        self._frames = Backlog(policy, stats)
        self._processed: CrossQueue[Processed] = CrossQueue(
            ENCODING_FRAMES * SOUNDS_A_PICTURE,
            weigh=lambda item: 1 if item.picture is None else SOUNDS_A_PICTURE,
        )
        self._threads = [
            threading.Thread(target=work, name=f"byoc-{name}", daemon=True)
            for name, work in (("decode", self._decode), ("encode", self._encode))
        ]
        self._watchdog = Watchdog()
        self._lock = threading.Lock()
        self._serving: Host | None = None  # the processor that gets the frames
        self._handed_over = threading.Event()
        self._processing_done = threading.Event()

    @property
    def serving(self) -> Host | None:
        """The processor that gets the frames, or got the last one."""
        with self._lock:
            return self._serving

    def start(self, host: Host) -> None:
        """Begin with this processor."""
        with self._lock:
            self._serving = host
        for thread in self._threads:
            thread.start()
        host.submit(self._pump(host))

    def stop(self, timeout: float) -> bool:
        """Drop what waits, let the frame in work finish, encode it, end the threads; blocks up to `timeout` seconds.

        False when the processor doesn't come back from its frame; the threads of the pipeline end all the same.
        """
        self.bytes_in.close(discard=True)
        self._frames.close(discard=True)
        self._processed.unbound()  # where nobody takes the output, the processor must not wait for it
        deadline = time.monotonic() + timeout
        finished = self._processing_done.wait(timeout) if self._serving else True
        if not finished:
            logger.warning("the processor did not finish its frame within %.0f s; the stream ends without it", timeout)
        self._processed.close()
        self._join(max(0.5, deadline - time.monotonic()))
        self.bytes_out.close()  # a server that takes no bytes held the encoder up to here
        self._join(0.5)
        return finished

    def _join(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))

    # ---- hot reload

    def swapped(self, old: Host) -> threading.Event:
        """Another processor is current; the event is set when `old` has finished its last frame.

        One that hangs in a frame is given up by `abandon`.
        """
        with self._lock:
            done = self._handed_over = threading.Event()
            waits = self._serving in (old, None) and not self._processing_done.is_set()
        if waits:  # for the frame in work; before the first one, for `start`
            self._frames.wake()
        else:
            done.set()
        return done

    def exchanged(self) -> None:
        """The processor has other code: what is known of the old one's frames is over."""
        self.newest = None
        self._stats.forget_errors()

    @property
    def overflowed(self) -> int:
        """How many pictures found the queue before the processor full."""
        return self._frames.overflowed

    @property
    def hanging(self) -> bool:
        """Whether the processor was found not to come back from a frame; then frames pass it by."""
        return self._watchdog.hanging

    def abandon(self, old: Host) -> None:
        """Go on with the current processor although `old` is still in a frame; what becomes of that is thrown away."""
        if self.serving is old and not self._processing_done.is_set():
            self._stats.drop(HUNG)
            self._watchdog.end()
            self._hand_over(old)

    # ---- the decode thread

    def _decode(self) -> None:
        try:
            while True:
                item = self.bytes_in.get()
                if item is CUT:
                    self._decode_from(self._decoder.cut(), time.monotonic())
                else:
                    self._decode_from(self._decoder.feed(item[0]), item[1])
        except Closed:
            pass
        with contextlib.suppress(Closed):
            self._decode_from(self._decoder.flush(), time.monotonic())
        self.bytes_in.close(discard=True)
        self._frames.close()

    def _decode_from(self, frames: Iterator[VideoFrame | AudioFrame], received: float) -> None:
        try:
            for frame in frames:
                self._queue(frame, received)
        except Closed:
            raise
        except Exception as error:  # whatever libav finds in a stream costs these bytes, not the stream
            self._stats.error("decoding", error)

    def _queue(self, frame: VideoFrame | AudioFrame, received: float) -> None:
        if isinstance(frame, VideoFrame):
            self._stats.frame_in()
        else:
            self._stats.audio_in += 1
        item = Waiting(frame, Trip(received))
        if self._policy == "live" and (hang := self._watchdog.look()) is not None:
            self._stats.error("the processor hangs", hang)
            logger.warning("the processor's thread is here:\n%s", hang.stack)
            for waiting in self._frames.drain():
                self._pass_by(waiting)
        if self._watchdog.hanging:
            self._pass_by(item)
        else:
            self._frames.put(item)

    def _pass_by(self, item: Waiting) -> None:
        """The frame goes to the encoder without the processor, which hangs."""
        if isinstance(item.frame, VideoFrame):
            self._processed.put(untouched(item.frame, item.trip))
            self.newest = item.frame, item.frame
        else:
            self._processed.put(Processed(None, None, item.frame, item.frame.timestamp, None))

    # ---- the processor's thread

    async def _pump(self, host: Host) -> None:
        """Feed frames to one processor until another is current or the input is over."""
        try:
            while True:
                item = await self._frames.aget(stop=lambda: self._slot.current is not host, skip=self._frames.skip)
                if item is None:
                    self._hand_over(host)
                    return
                began = time.monotonic()
                async with host.working:
                    await self._process(host, item)
                if isinstance(item.frame, VideoFrame):
                    self._frames.pace.took(time.monotonic() - began)
                await asyncio.sleep(0)  # a processor that never waits would leave parameters and exchanges no turn
        except Closed:
            self._finish(host)
        except BaseException as error:  # the thread is being ended, or a defect of ours: never a silent stall
            if self._finish(host):
                self._stats.error("processing ended", error)
            raise

    def _hand_over(self, old: Host) -> None:
        with self._lock:
            if self._serving is not old:  # done already, by `abandon`
                return
            new = self._slot.current
            if new is not None:
                self._serving = new
        self.exchanged()
        if new is None:  # the server shuts down
            self._finish(old)
        else:
            new.submit(self._pump(new))
        self._handed_over.set()

    def _finish(self, host: Host) -> bool:
        """Nothing more will be processed; False where it isn't for `host` to say, which was left behind."""
        if self.serving is not host:
            return False
        self._processed.close()
        self._processing_done.set()
        self._handed_over.set()
        return True

    async def _process(self, host: Host, item: Waiting) -> None:
        """One frame through the processor, and on to the encoder unless another one serves meanwhile."""
        self._watchdog.begin()
        if isinstance(item.frame, VideoFrame):
            for observe in self.observers:
                observe(item.frame, host.processor)
            done = await process_video(host, item.frame, item.trip)
        else:
            done = await process_audio(host, item.frame)
        if self.serving is not host:
            return
        if not self._watchdog.end():  # frames have passed it by
            self._stats.drop(HUNG)
            return
        if done.error is not None:
            self._stats.error("the processor raised", done.error)
        if isinstance(item.frame, VideoFrame):
            if not done.made:
                self._stats.drop(RETURNED_NONE)
            self.newest = done.shown or self.newest
        for made in done.made:
            await self._processed.aput(made)
        if host.trial is not None and isinstance(item.frame, VideoFrame):
            host.trial.frame(done.error)

    # ---- the encode thread

    def _encode(self) -> None:
        encode_all(self._processed, self.bytes_out, lambda: self._decoder.kinds, self._stats)
