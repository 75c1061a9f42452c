"""What libav opens, as a feed: a file, the test pattern, or MPEG-TS on standard input."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import av.stream

from byoc_nb.frames import MPEG_TIME_BASE, AudioFrame, VideoFrame
from byoc_nb.media.encode import CLOCK
from byoc_nb.network.sources.feed import CUT, OPEN_SECONDS, POSSIBLE, Feed, Given, SourceError, within

DEFAULT_SIZE, DEFAULT_FPS = (640, 480), 30


class ContainerFeed(Feed):
    """The first video and the first audio stream of a container, pass after pass with `loop`.

    A pass is as long as its pictures: sound beyond them would be cut by the next pass's, so it is left out. A damaged
    packet costs its frames.
    """

    def __init__(self, kind: str, label: str, opener: Callable[[], Any], *, loop: bool = False) -> None:
        self.kind, self.label, self.loop, self.loopable = kind, label, loop, kind in ("file", "url")
        self._opener = opener
        self._targets: deque[int] = deque(maxlen=1)  # in ticks: where to go on from
        self._stopped = False
        self._container: Any = None
        self._adopt(opener())

    def frames(self) -> Iterator[Given]:
        offset = skip = 0  # of this pass on the feed's clock; up to where it is left out
        while not self._stopped:
            end, pictures = offset, 0
            for at, decoded in self._decoded():
                if self._targets or self._stopped:
                    break
                picture = isinstance(decoded, av.VideoFrame)
                if at + (self._interval // 2 if picture else 0) < skip or (skip and not pictures and not picture):
                    continue  # sound waits for the first picture after a seek, which opens it
                if picture:
                    pictures += 1
                    end = max(end, offset + at + self._interval)
                elif self._length is None:
                    end = max(end, offset + at + decoded.samples * CLOCK // decoded.sample_rate)
                elif self._rewinds and at >= self._length:
                    continue
                self.position = at / CLOCK
                made = VideoFrame if picture else AudioFrame
                yield made(decoded, offset + at, MPEG_TIME_BASE)
            if self._targets:
                offset, skip = 0, self._targets.pop()
                self._go_to(skip)
                yield CUT
            elif not self._rewinds or (not skip and pictures < 2):
                return
            else:
                offset, skip = end, 0
                self._rewind()

    def seek(self, seconds: float) -> None:
        last = math.floor((self.duration or 0.0) * CLOCK) - self._interval
        self._targets.append(max(0, min(last, round(seconds * CLOCK))))

    def stop(self) -> None:
        self._stopped = True

    def close(self) -> None:
        if self._container is not None:
            self._container.close()
            self._container = None

    @property
    def _rewinds(self) -> bool:
        return self.loop

    def _adopt(self, container: Any) -> None:
        """Play this one from now on."""
        self.close()
        self._container = container
        video = container.streams.video[0]
        self.audio = bool(container.streams.audio)
        self.size = (video.width, video.height)
        self.fps = float(video.average_rate or DEFAULT_FPS)
        self._interval = round(CLOCK / self.fps)
        length = video.duration and video.time_base and round(video.duration * video.time_base * CLOCK)
        self._length: int | None = length or None
        self._start: int | None = None
        if container.start_time is not None:
            self._start = container.start_time * CLOCK // av.time_base
        whole = length / CLOCK if length else (container.duration or 0) / av.time_base
        # one picture is nothing to seek in, and what has no length neither
        self.duration = whole if whole > 1.5 * self._interval / CLOCK else None

    def _rewind(self) -> None:
        self._container.seek(0)

    def _go_to(self, target: int) -> None:
        """To the key frame before that."""
        self._container.seek(max(0, (self._start or 0) + target) * av.time_base // CLOCK)

    def _decoded(self) -> Iterator[tuple[int, Any]]:
        """Pictures and sound from where the container stands, each with its time since the container's beginning."""
        streams = self._container.streams
        for packet in self._container.demux(*streams.video[:1], *streams.audio[:1]):
            try:
                frames: list[Any] = packet.decode()
            except av.FFmpegError:
                continue
            for frame in frames:
                if frame.pts is None or frame.time_base is None:
                    continue
                pts = round(frame.pts * frame.time_base * CLOCK)
                self._start = pts if self._start is None else self._start
                if pts >= self._start:  # else priming sound, which an edit list leaves out
                    yield pts - self._start, frame


def file_feed(spec: str, *, loop: bool) -> ContainerFeed:
    """A video file; raises SourceError."""
    path = Path(spec).expanduser()
    if not path.exists():
        raise SourceError(f"no such file: {spec}", hint=POSSIBLE)
    return ContainerFeed("file", spec, lambda: open_container(str(path), spec), loop=loop)


def pattern_feed(size: tuple[int, int] | None, fps: float | None) -> ContainerFeed:
    """A moving pattern with a tone, 640x480 at 30 pictures a second where nothing else is asked for."""
    (width, height), rate = size or DEFAULT_SIZE, fps or DEFAULT_FPS
    graph = f"testsrc2=size={width}x{height}:rate={rate}[out0];sine=frequency=440:sample_rate=48000[out1]"
    feed = ContainerFeed("testsrc", "testsrc", lambda: av.open(graph, format="lavfi"))
    feed.sets_rate = True
    return feed


def open_container(target: Any, label: str, *, form: str | None = None, options: dict[str, str] | None = None) -> Any:
    """The container, which holds video; raises SourceError, after 10 s at the latest.

    `target` is a path or URL, or an object with `read`, which may be silent for as long as it likes. `form` is the
    only format that it may have.
    """

    def make() -> Any:
        limit = (OPEN_SECONDS, OPEN_SECONDS) if isinstance(target, str) else None
        return av.open(target, format=form, timeout=limit, options=options or {})

    try:
        container = within(OPEN_SECONDS + 0.5, make, lambda made: made.close()) if isinstance(target, str) else make()
    except PermissionError:
        raise SourceError(f"{label} can't be read: permission denied") from None
    except (av.InvalidDataError, av.EOFError):
        raise SourceError(f"{label} isn't {'MPEG-TS' if form else 'a video file'} that can be read") from None
    except av.ProtocolNotFoundError:
        raise SourceError(f"{label} can't be opened: libav has no such protocol here", hint=POSSIBLE) from None
    except (TimeoutError, av.ExitError):
        raise SourceError(f"{label} did not answer within {OPEN_SECONDS:.0f} s") from None
    except (av.FFmpegError, OSError, ValueError) as error:
        raise SourceError(f"{label} can't be opened: {getattr(error, 'strerror', None) or 'it is refused'}") from None
    problem = None
    cover_art = av.stream.Disposition.attached_pic
    if container.format.name == "tty":  # libav takes any text for pictures of a terminal
        problem = "isn't a video file that can be read"
    elif all(stream.disposition & cover_art for stream in container.streams.video):
        problem = "holds no video"
    if problem:
        container.close()
        raise SourceError(f"{label} {problem}", hint=POSSIBLE)
    return container
