"""What is at a URL that libav opens: a file to play, or a live stream, which is opened anew where it breaks off."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator

import av

from byoc_nb.network.sources.container import ContainerFeed, open_container
from byoc_nb.network.sources.feed import CUT, OPEN_SECONDS, Given, SourceError

logger = logging.getLogger(__name__)

RETRY_SECONDS, RETRY_AT_MOST = 0.5, 8.0  # after the first failure; then twice as long each time, up to this
VAIN_TRIES = 3  # openings of a file in a row without a picture; then it is given up
LIVE_PROTOCOLS = ("rtmp", "rtsp", "srt", "udp", "rtp")


def without_credentials(url: str) -> str:
    """The URL as it may be shown: no user, no password, and no query, which may hold a key."""
    return re.sub(r"\?.*", "?…", re.sub(r"//[^/?#]*@", "//…@", url, count=1), count=1, flags=re.DOTALL)


class UrlFeed(ContainerFeed):
    """A URL whose end is known is played like a file. Any other one is live.

    What breaks off is opened anew, after half a second, a second and so on up to eight, for as long as the source
    plays, and a file goes on from where it was. A live one that ends is opened anew too, unless `loop` is False. One
    warning tells of it.
    """

    def __init__(self, url: str, *, loop: bool) -> None:
        options = {"rtsp_flags": "prefer_tcp"} if url.startswith(("rtsp://", "rtsps://")) else {}
        label = without_credentials(url)
        self._unwanted = threading.Event()
        self._in_order = False  # a server that gives no parts of a file: nothing can be sought in it
        super().__init__("url", label, lambda: open_container(url, label, options=options), loop=loop)
        self.live = self.duration is None and url.startswith(LIVE_PROTOCOLS)

    def frames(self) -> Iterator[Given]:
        failures, vain, told = 0, 0, False
        while not self._unwanted.is_set():
            came, why = False, "it ended"
            try:
                for frame in super().frames():
                    if frame is not CUT and not came:
                        came, failures, vain = True, 0, 0
                        if told:
                            told = False
                            logger.info("the source %s is back", self.label)
                    yield frame
                if self._complete or not self.loop:
                    return
            except av.ExitError:
                why = f"nothing came for {OPEN_SECONDS:.0f} s"
            except av.FFmpegError as error:
                why = getattr(error, "strerror", None) or "it can't be read"
            except SourceError:
                why = "it can't be opened"
            if self._unwanted.is_set():
                return
            vain += not came
            if self._complete and vain >= VAIN_TRIES:
                raise SourceError(f"{self.label} can't be read: {why}")
            if not told:
                told = True
                logger.warning("the source %s broke off (%s); opening it again", self.label, why)
            resume = self.position if self.duration else None
            failures = self._reopen(failures)
            if resume is not None and self.duration and not self._targets:
                self.seek(resume)
            if not self._targets:  # which give a CUT of their own
                yield CUT

    def stop(self) -> None:
        super().stop()
        self._unwanted.set()

    @property
    def _complete(self) -> bool:
        """Whether it is a file or a picture: what doesn't go on behind its end."""
        name = "" if self._container is None else str(self._container.format.name)
        return self.duration is not None or "_pipe" in name or "image2" in name

    @property
    def _rewinds(self) -> bool:
        return self.loop and self._complete

    def _rewind(self) -> None:
        self._go_to(0)

    def _go_to(self, target: int) -> None:
        if not self._in_order:
            try:
                super()._go_to(target)
                if next(self._container.demux(video=0)).size:
                    super()._go_to(target)
                    return
            except (av.FFmpegError, StopIteration):
                pass
            self._in_order = True
        try:
            self._adopt(self._opener())  # and what is before the target is passed over
        except SourceError:
            if not self._targets:
                self._targets.append(target)  # for when it can be opened again
            raise

    def _reopen(self, failures: int) -> int:
        """Open it again, as often as it takes; how often in a row it had to be, this time included."""
        self.close()  # a server may let in one at a time
        while not self._unwanted.wait(min(RETRY_SECONDS * 2.0**failures, RETRY_AT_MOST)):
            failures = min(failures + 1, 10)
            try:
                self._adopt(self._opener())
                break
            except SourceError as error:
                logger.debug("the source %s is still away: %s", self.label, error)
        return failures
