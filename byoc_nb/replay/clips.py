"""What is played again: a take or a video file, as frames in order of presentation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

from byoc_nb.frames import MPEG_TIME_BASE, AudioFrame, VideoFrame
from byoc_nb.media.decode import Decoder
from byoc_nb.network.record import STREAM_ENDED
from byoc_nb.replay.takes import CLOCK, INPUT, OUTPUT, Entry, Take, TakeError, since

READ_BYTES = 1 << 18


class Clip:
    """Pictures and sound of a take's input, or of a video file that libav reads. Raises TakeError where it can't."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.take = Take.load(path) if path.is_dir() else None
        if self.take is None and not path.is_file():
            raise TakeError(f"no such file: {path}", hint="name a take's folder or a video file")

    @property
    def timeline(self) -> tuple[Entry, ...]:
        """The parameters of a take; none of a file."""
        return self.take.timeline if self.take else ()

    def frames(self) -> Iterator[VideoFrame | AudioFrame]:
        """From the beginning, each time that it is called."""
        if self.take is None:
            return _file_frames(self.path)
        return self._take_frames(self.take)

    def recorded(self) -> Iterator[VideoFrame]:
        """The pictures that came out when the take was recorded."""
        if self.take is not None and (self.path / OUTPUT).is_file():
            for frame in _decoded(self.take, OUTPUT):
                if isinstance(frame, VideoFrame):
                    yield frame

    @property
    def kinds(self) -> frozenset[str]:
        """Which of "video" and "audio" a take has."""
        with (self.path / INPUT).open("rb") as data:
            decoder = Decoder()
            for _ in decoder.feed(data.read(READ_BYTES)):
                break
        return decoder.kinds

    @staticmethod
    def _take_frames(take: Take) -> Iterator[VideoFrame | AudioFrame]:
        for frame in _decoded(take, INPUT):
            if not isinstance(frame, VideoFrame) or since(take.last, frame.timestamp) <= 0:
                yield frame


def _decoded(take: Take, name: str) -> Iterator[VideoFrame | AudioFrame]:
    """Frames of one of its files, as a running stream decodes them.

    Where the recording was cut off, the last picture may be there by half, and is left out.
    """
    decoder = Decoder()
    with (take.folder / name).open("rb") as data:
        while part := data.read(READ_BYTES):
            yield from decoder.feed(part)
    if take.ended == STREAM_ENDED:
        yield from decoder.flush()


def _file_frames(path: Path) -> Iterator[VideoFrame | AudioFrame]:
    try:
        container: Any = av.open(str(path))
    except (av.FFmpegError, OSError, ValueError) as error:
        raise TakeError(f"{path} can't be read: {getattr(error, 'strerror', None) or error}") from None
    with container:
        if not container.streams.video or container.format.name == "tty":  # libav takes any text for pictures
            raise TakeError(f"{path} holds no video", hint="name a take's folder or a video file")
        for packet in container.demux(*container.streams.video[:1], *container.streams.audio[:1]):
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue  # a damaged packet costs its frames
            for frame in frames:
                if frame.pts is None or frame.time_base is None:
                    continue
                pts = round(frame.pts * frame.time_base * CLOCK)
                if isinstance(frame, av.AudioFrame):
                    yield AudioFrame(frame, pts, MPEG_TIME_BASE)
                else:
                    yield VideoFrame(frame, pts, MPEG_TIME_BASE)
