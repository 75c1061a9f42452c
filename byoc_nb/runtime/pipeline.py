"""The way of a frame through the container: decode, process, encode, each on a thread of its own.

The queues between them are short. Under the `live` policy a processor that is too slow for its input gets the newest
picture, and after a stall the oldest ones give way where too many wait: both are counted as dropped. Under `lossless`
the decoder waits. Bytes go in and out through two queues that the io loop serves.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import av

from byoc_nb.frames import AudioFrame, VideoFrame
from byoc_nb.media.decode import Decoder
from byoc_nb.media.encode import ticks
from byoc_nb.runtime.egress import TimedChunk
from byoc_nb.runtime.encoding import Processed, encode_all
from byoc_nb.runtime.pace import Pace
from byoc_nb.runtime.slot import Host, ProcessorSlot
from byoc_nb.runtime.stats import StreamStats
from byoc_nb.runtime.threads import Closed, CrossQueue
from byoc_nb.runtime.trip import Trip

logger = logging.getLogger(__name__)

Policy = Literal["live", "lossless"]

WAITING_FRAMES = 8  # pictures before a processor, which catches up after a stall of 0.25 s at 30 fps
ENCODING_FRAMES = 4  # pictures between processor and encoder
SOUNDS_A_PICTURE = 32  # how many sounds take as much room in a queue: 5 s of AAC alone, and no burst displaces pictures
WAITING_BYTES = 4 << 20  # between the network and the decoder, and between the encoder and the network
TOO_SLOW = "processor too slow"
RETURNED_NONE = "processor returned None"
HUNG = "processor hung"
Received = tuple[bytes, float]  # with time.monotonic() when they came in
CUT = None  # in place of bytes: those before were broken off, those after come from elsewhere in the stream
# A cell's sys.exit() must not end the thread that ran it, nor a task of its own that it cancelled and awaits
_USER_ERRORS = (Exception, SystemExit, KeyboardInterrupt, asyncio.CancelledError)


class _Input(NamedTuple):
    frame: VideoFrame | AudioFrame
    trip: Trip


class Pipeline:
    """Media bytes in, media bytes out. `retire(host)` is called when a replaced processor has done its last frame."""

    def __init__(
        self,
        decoder: Decoder,
        slot: ProcessorSlot,
        stats: StreamStats,
        *,
        policy: Policy = "live",
        retire: Callable[[Host], None],
    ) -> None:
        self.bytes_in: CrossQueue[Received | None] = CrossQueue(
            WAITING_BYTES, weigh=lambda item: len(item[0]) if item else 0
        )
        self.bytes_out: CrossQueue[TimedChunk] = CrossQueue(WAITING_BYTES, weigh=lambda item: len(item[0].data))
        self.newest: tuple[VideoFrame, VideoFrame] | None = None  # the last picture before and after processing
        self._decoder, self._slot, self._stats, self._retire = decoder, slot, stats, retire
        self._frames: CrossQueue[_Input] = CrossQueue(
            WAITING_FRAMES * SOUNDS_A_PICTURE,
            weigh=lambda item: SOUNDS_A_PICTURE if isinstance(item.frame, VideoFrame) else 1,
            make_room=self._drop_oldest if policy == "live" else None,
        )
        self._processed: CrossQueue[Processed] = CrossQueue(
            ENCODING_FRAMES * SOUNDS_A_PICTURE,
            weigh=lambda item: 1 if item.picture is None else SOUNDS_A_PICTURE,
        )
        self._threads = [
            threading.Thread(target=work, name=f"byoc-{name}", daemon=True)
            for name, work in (("decode", self._decode), ("encode", self._encode))
        ]
        self._pace = Pace()
        self._skip = self._outrun if policy == "live" else lambda item, waiting: False
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
            self._retire(old)
            done.set()
        return done

    def abandon(self, old: Host) -> None:
        """Go on with the current processor although `old` is still in a frame; what becomes of that is thrown away."""
        if self.serving is old and not self._processing_done.is_set():
            self._stats.drop(HUNG)
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
            self._pace.came(frame.seconds)
        else:
            self._stats.audio_in += 1
        self._frames.put(_Input(frame, Trip(received)))

    def _drop_oldest(self, waiting: deque[_Input]) -> None:
        """The oldest picture where four wait, else the oldest sound."""
        pictures = [index for index, item in enumerate(waiting) if isinstance(item.frame, VideoFrame)]
        if len(pictures) >= WAITING_FRAMES:
            del waiting[pictures[0]]
            self._stats.drop(TOO_SLOW)
        else:
            del waiting[next(index for index, item in enumerate(waiting) if isinstance(item.frame, AudioFrame))]
            self._stats.audio_dropped += 1

    def _outrun(self, item: _Input, waiting: deque[_Input]) -> bool:
        """Whether the processor is behind for good and a newer picture than this one waits for it."""
        if not (
            isinstance(item.frame, VideoFrame)
            and self._pace.behind
            and any(isinstance(other.frame, VideoFrame) for other in waiting)
        ):
            return False
        self._stats.drop(TOO_SLOW)
        return True

    # ---- the processor's thread

    async def _pump(self, host: Host) -> None:
        """Feed frames to one processor until another is current or the input is over."""
        try:
            while True:
                item = await self._frames.aget(stop=lambda: self._slot.current is not host, skip=self._skip)
                if item is None:
                    self._hand_over(host)
                    return
                if isinstance(item.frame, VideoFrame):
                    began = time.monotonic()
                    await self._process_video(host, item.frame, item.trip)
                    self._pace.took(time.monotonic() - began)
                else:
                    await self._process_audio(host, item.frame)
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
        self.newest = None
        self._stats.forget_errors()  # they are the old processor's
        if new is None:  # the server shuts down
            self._finish(old)
        else:
            new.submit(self._pump(new))
            self._retire(old)
        self._handed_over.set()

    def _finish(self, host: Host) -> bool:
        """Nothing more will be processed; False where it isn't for `host` to say, which was left behind."""
        if self.serving is not host:
            return False
        self._processed.close()
        self._processing_done.set()
        self._handed_over.set()
        return True

    async def _process_video(self, host: Host, frame: VideoFrame, trip: Trip) -> None:
        trip.processing()
        untouched, pts = frame.to_av(), frame.timestamp
        picture: av.VideoFrame | None = untouched
        color = frame.color
        try:
            out = await host.processor.video(frame)
            picture = None if out is None else out.to_av()
            if out is not None:
                pts, color = ticks(out), out.color
        except _USER_ERRORS as error:
            _raise_if_cancelled(error)
            self._stats.error("the processor raised", error)
            picture = untouched
        if self.serving is not host:
            return
        if picture is None:
            self._stats.drop(RETURNED_NONE)
            return
        trip.processed()
        self.newest = (VideoFrame(untouched, frame.timestamp), VideoFrame(picture, pts))
        await self._processed.aput(Processed(picture, color, None, pts, trip))

    async def _process_audio(self, host: Host, frame: AudioFrame) -> None:
        try:
            sounds = [(sound, ticks(sound)) for sound in await host.processor.audio(frame)]
        except _USER_ERRORS as error:
            _raise_if_cancelled(error)
            self._stats.error("the processor raised", error)
            sounds = [(frame, frame.timestamp)]
        for sound, pts in sounds if self.serving is host else ():
            await self._processed.aput(Processed(None, None, sound, pts, None))

    # ---- the encode thread

    def _encode(self) -> None:
        encode_all(self._processed, self.bytes_out, lambda: self._decoder.kinds, self._stats)


def _raise_if_cancelled(error: BaseException) -> None:
    """Tell the end of the processor's thread from a CancelledError of the user's own."""
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
        raise error
