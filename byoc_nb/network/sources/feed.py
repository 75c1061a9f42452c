"""The protocol that every kind of source is behind.

A feed opens when it is made, on the caller's thread; one other thread then iterates over `frames` and calls `close`
when that has ended. `stop` and `seek` come from any thread.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Protocol, TypeVar

from byoc_nb.errors import ByocError
from byoc_nb.frames import AudioFrame, VideoFrame

T = TypeVar("T")

POSSIBLE = (
    "a source is a video file, a folder of images, a URL (http, rtmp, rtsp, …), trickle+http://HOST/CHANNEL, "
    "testsrc or webcam"
)
OPEN_SECONDS = 10.0  # for a source to open; then it is refused
CUT = None  # in place of a frame: those after it are from elsewhere, on a clock of their own
Given = VideoFrame | AudioFrame | None


class SourceError(ByocError, OSError):
    """The source can't be opened or played."""


class Feed(Protocol):
    """Frames with times in 90 kHz ticks that begin at 0 or soon after; between two `CUT`s the clock runs forward."""

    kind: str  # "file" | "images" | "testsrc" | "url" | "generator" | "trickle" | "webcam" | "stdin"
    label: str  # for people: what was asked for, without the credentials in it
    loop: bool = False  # start again at the end; may be set while it plays
    loopable: bool = False  # whether that means anything
    fps: float | None = None  # pictures a second, where they are known
    size: tuple[int, int] | None = None  # (width, height) in pixels, where it is known
    duration: float | None = None  # seconds, of what has an end; it can be sought in and played at another speed
    position: float | None = None  # seconds from its beginning, of the frame that was given last
    audio: bool = False  # whether it has sound; settled by the time of its first frame
    live: bool = False  # its frames come when they are due, so nobody waits before they are sent
    sets_rate: bool = False  # `fps` is what was asked for; otherwise that limits what it gives
    slips: bool = False  # a picture that comes late is shown later; otherwise those after it hurry

    @property
    def counts(self) -> dict[str, int]:
        """What was lost, by cause."""
        return {}

    def frames(self) -> Iterator[Given]:
        """What there is to play; raises SourceError, or whatever broke it off."""
        ...

    def seek(self, seconds: float) -> None:
        """Go on from there, behind a `CUT`; only where `duration` is known."""
        return None

    def push(self, jpeg: bytes) -> bool:
        """A picture for a webcam."""
        raise SourceError(f"{self.label} takes no pictures", hint="%byoc serve --source webcam")

    def stop(self) -> None:
        """Let `frames` end soon, as far as that can be; idempotent."""
        return None

    def close(self) -> None:
        """Free what was opened; idempotent."""
        return None


def within(seconds: float, make: Callable[[], T], free: Callable[[T], None]) -> T:
    """What `make` makes on a thread of its own; TimeoutError after `seconds`.

    libav's calls can't be broken off: what comes too late, or after an interrupt of the caller, is freed by `free`.
    """
    future = _begun(make, free)
    try:
        return future.result(seconds)
    except BaseException:
        _given_up(future, free)
        raise


async def awaited(make: Callable[[], T], free: Callable[[T], None]) -> T:
    """`within` for a coroutine, without a limit: what comes after it was cancelled is freed."""
    future = _begun(make, free)
    try:
        return await asyncio.wrap_future(future)
    except BaseException:
        _given_up(future, free)
        raise


def _begun(make: Callable[[], T], free: Callable[[T], None]) -> Future[T]:
    future: Future[T] = Future()

    def work() -> None:
        try:
            made = make()
        except BaseException as error:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
        else:
            if future.set_running_or_notify_cancel():
                future.set_result(made)
            else:
                free(made)

    threading.Thread(target=work, name="byoc-open", daemon=True).start()
    return future


def _given_up(future: Future[T], free: Callable[[T], None]) -> None:
    if not future.cancel() and future.exception() is None:
        free(future.result())  # it came just now
