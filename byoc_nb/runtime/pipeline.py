"""The way of a frame through the container: decode, process, encode, each on a thread of its own.

The queues between them are short. Under the `live` policy the oldest waiting picture gives way to a new one and is
counted as dropped; under `lossless` the decoder waits. Bytes go in and out through two queues that the io loop serves.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Literal, NamedTuple

import av

from byoc_nb._pixels import Color
from byoc_nb.frames import AudioFrame, VideoFrame
from byoc_nb.media.decode import Decoder
from byoc_nb.media.encode import SegmentEncoder, ticks
from byoc_nb.runtime.egress import TimedChunk
from byoc_nb.runtime.slot import Host, ProcessorSlot
from byoc_nb.runtime.stats import StreamStats
from byoc_nb.runtime.threads import Closed, CrossQueue

logger = logging.getLogger(__name__)

Policy = Literal["live", "lossless"]

WAITING_FRAMES = 4  # pictures between two threads; each is a frame interval of latency when the queue is full
WAITING_BYTES = 4 << 20  # between the network and the decoder, and between the encoder and the network
TOO_SLOW = "processor too slow"
_USER_ERRORS = (Exception, SystemExit, KeyboardInterrupt)  # a cell's sys.exit() must not end the thread that ran it


class _Input(NamedTuple):
    frame: VideoFrame | AudioFrame
    received: float  # time.monotonic() when the last of its bytes came in


class _Output(NamedTuple):
    """For the encoder: a picture with its place in time, or sound."""

    picture: av.VideoFrame | None
    color: Color | None
    sound: AudioFrame | None
    pts: int
    received: float


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
        self.bytes_in: CrossQueue[bytes] = CrossQueue(WAITING_BYTES, weigh=len)
        self.bytes_out: CrossQueue[TimedChunk] = CrossQueue(WAITING_BYTES, weigh=lambda item: len(item[0].data))
        self.newest: tuple[VideoFrame, VideoFrame] | None = None  # the last picture before and after processing
        self._decoder, self._slot, self._stats, self._retire = decoder, slot, stats, retire
        self._frames: CrossQueue[_Input] = CrossQueue(
            WAITING_FRAMES,
            weigh=lambda item: isinstance(item.frame, VideoFrame),
            make_room=self._drop_oldest if policy == "live" else None,
        )
        self._processed: CrossQueue[_Output] = CrossQueue(WAITING_FRAMES, weigh=lambda item: item.picture is not None)
        self._threads = [
            threading.Thread(target=work, name=f"byoc-{name}", daemon=True)
            for name, work in (("decode", self._decode), ("encode", self._encode))
        ]
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
        deadline = time.monotonic() + timeout
        finished = self._processing_done.wait(timeout) if self._serving else True
        if not finished:
            logger.warning("the processor did not finish its frame within %.0f s; the stream ends without it", timeout)
        self._processed.close()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.5, deadline - time.monotonic()))
        self.bytes_out.close()
        return finished

    # ---- hot reload

    def swapped(self, old: Host) -> threading.Event:
        """Another processor is current; the event is set when `old` has finished its last frame."""
        with self._lock:
            done = self._handed_over = threading.Event()
            waits = self._serving is old and not self._processing_done.is_set()
        if waits:
            self._frames.wake()
        else:  # replaced before it got its first frame, or after the last one
            self._retire(old)
            done.set()
        return done

    # ---- the decode thread

    def _decode(self) -> None:
        try:
            while True:
                data = self.bytes_in.get()
                received = time.monotonic()
                for frame in self._decoder.feed(data):
                    self._queue(frame, received)
        except Closed:
            pass
        except Exception as error:  # whatever libav finds in a stream costs this stream, not the container
            self._stats.error("decoding", error)
        try:
            for frame in self._decoder.flush():
                self._queue(frame, time.monotonic())
        except (Closed, av.FFmpegError):
            pass
        self.bytes_in.close(discard=True)
        self._frames.close()

    def _queue(self, frame: VideoFrame | AudioFrame, received: float) -> None:
        if isinstance(frame, VideoFrame):
            self._stats.frame_in()
        else:
            self._stats.audio_in += 1
        self._frames.put(_Input(frame, received))

    def _drop_oldest(self, waiting: deque[_Input]) -> None:
        for index, item in enumerate(waiting):
            if isinstance(item.frame, VideoFrame):
                del waiting[index]
                self._stats.drop(TOO_SLOW)
                return

    # ---- the processor's thread

    async def _pump(self, host: Host) -> None:
        """Feed frames to one processor until another is current or the input is over."""
        try:
            while True:
                item = await self._frames.aget(stop=lambda: self._slot.current is not host)
                if item is None:
                    self._hand_over(host)
                    return
                if isinstance(item.frame, VideoFrame):
                    await self._process_video(host, item.frame, item.received)
                else:
                    await self._process_audio(host, item.frame, item.received)
        except Closed:
            self._finish()
        except BaseException as error:  # the thread is being ended, or a defect of ours: never a silent stall
            self._stats.error("processing ended", error)
            self._finish()
            raise

    def _hand_over(self, old: Host) -> None:
        with self._lock:
            new = self._slot.current
            if new is not None:
                self._serving = new
        if new is None:  # the server shuts down
            self._finish()
        else:
            new.submit(self._pump(new))
            self._retire(old)
        self._handed_over.set()

    def _finish(self) -> None:
        self._processed.close()
        self._processing_done.set()
        self._handed_over.set()

    async def _process_video(self, host: Host, frame: VideoFrame, received: float) -> None:
        untouched = frame.to_av()
        out: VideoFrame | None
        try:
            out = await host.processor.video(frame)
            picture = None if out is None else out.to_av()
        except _USER_ERRORS as error:
            self._stats.error("the processor raised", error)
            out, picture = VideoFrame(untouched, frame.timestamp, frame.time_base), untouched
        if out is None or picture is None:
            self._stats.drop("withheld")
            return
        self.newest = (VideoFrame(untouched, frame.timestamp), VideoFrame(picture, ticks(out)))
        await self._processed.aput(_Output(picture, out.color, None, ticks(out), received))

    async def _process_audio(self, host: Host, frame: AudioFrame, received: float) -> None:
        try:
            sounds = await host.processor.audio(frame)
        except _USER_ERRORS as error:
            self._stats.error("the processor raised", error)
            sounds = [frame]
        for sound in sounds:
            await self._processed.aput(_Output(None, None, sound, ticks(sound), received))

    # ---- the encode thread

    def _encode(self) -> None:
        encoder: SegmentEncoder | None = None
        try:
            while True:
                item = self._processed.get()
                if encoder is None:
                    kinds = self._decoder.kinds
                    encoder = SegmentEncoder(with_video="video" in kinds, with_audio="audio" in kinds)
                try:
                    self._encode_one(encoder, item)
                except (av.FFmpegError, ValueError, RuntimeError) as error:
                    self._stats.error("encoding", error)
        except Closed:
            pass
        try:
            for chunk in encoder.flush() if encoder else ():
                self.bytes_out.put((chunk, time.monotonic()))
        except (Closed, av.FFmpegError):
            pass
        self.bytes_out.close()

    def _encode_one(self, encoder: SegmentEncoder, item: _Output) -> None:
        if item.picture is not None and item.color is not None:
            late = encoder.late_frames
            for chunk in encoder.video(item.picture, item.pts, item.color):
                self.bytes_out.put((chunk, item.received))
            if encoder.late_frames > late:
                self._stats.drop("out of order")
        elif item.sound is not None:
            for chunk in encoder.audio(item.sound):
                self._stats.audio_out += 1
                self.bytes_out.put((chunk, item.received))
