"""Frames that Python code makes, a notebook's generator for example."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

from byoc_nb.frames import MPEG_TIME_BASE, VideoFrame
from byoc_nb.media.encode import CLOCK
from byoc_nb.network.sources.feed import Feed, Given, SourceError
from byoc_nb.runtime.stats import describe

DEFAULT_FPS = 30.0


class GeneratorFeed(Feed):
    """What a callable's iterator, or an iterable, gives: pictures as `VideoFrame.replace_tensor` takes them.

    That is NumPy arrays and torch tensors, [H, W, C], [C, H, W], [1, H, W, C] or [H, W], float in 0..1 or uint8; each
    is taken before the next one is asked for, so the same buffer may be drawn on again. A callable, and an iterable
    that isn't its own iterator (a list), begins again at its end if `loop`; an iterator ends. The code runs on the
    source's thread. What it raises, and what isn't a picture, ends the source with a SourceError that has its line.
    """

    kind, sets_rate, slips = "generator", True, True

    def __init__(self, given: Any, *, fps: float | None, loop: bool) -> None:
        self.label = getattr(given, "__name__", None) or type(given).__name__
        self._given, self.fps = given, fps or DEFAULT_FPS
        if inspect.iscoroutinefunction(given) or inspect.isasyncgenfunction(given) or inspect.isasyncgen(given):
            raise SourceError(f"{self.label} is async", hint="a source is a plain generator function: def, yield")
        if not callable(given):
            _check_iterable(given, self.label)
        self.loopable = callable(given) or iter(given) is not given
        self.loop = loop and self.loopable
        self._stopped = False

    def frames(self) -> Iterator[Given]:
        number = 0
        while not self._stopped:
            begun = number
            frames = self._begin()
            try:
                while not self._stopped:
                    picture = self._next(frames, number)
                    if picture is None:
                        break
                    yield picture
                    number += 1
            finally:
                if hasattr(frames, "close") and not hasattr(frames, "read"):
                    frames.close()  # on this thread, as the rest of it: its `finally` and `with` blocks
            if not number:
                hint = "" if self.loopable else "an iterator plays once: give the function that makes it"
                raise SourceError(f"{self.label} gave no picture", hint=hint)
            if not self.loop or number == begun:
                return

    def stop(self) -> None:
        self._stopped = True

    def _begin(self) -> Iterator[Any]:
        try:
            made = self._given() if callable(self._given) else self._given
            _check_iterable(made, self.label)
            return iter(made)
        except SourceError:
            raise
        except Exception as error:
            raise SourceError(f"{self.label} raised {describe(error)}") from error

    def _next(self, frames: Iterator[Any], number: int) -> VideoFrame | None:
        """The next picture, already in YUV, which is memory of its own; None at the end."""
        try:
            given = next(frames)
        except StopIteration:
            return None
        except Exception as error:
            raise SourceError(f"{self.label} raised {describe(error)}") from error
        try:
            frame = VideoFrame(given)
            self.size = self.size or (frame.width, frame.height)
            return VideoFrame(frame.to_av(), round(number * CLOCK / (self.fps or DEFAULT_FPS)), MPEG_TIME_BASE)
        except Exception as error:
            text = " ".join(str(error).split())
            raise SourceError(f"{self.label} gave no picture as frame {number}: {text}{_line(frames)}") from error


def _check_iterable(made: Any, label: str) -> None:
    """Raise SourceError for what gives no frames: text, a single picture, a number."""
    if isinstance(made, str | bytes | bytearray | memoryview | dict) or not isinstance(made, Iterable):
        raise SourceError(
            f"{label} is {type(made).__name__}, which gives no frames", hint="yield one picture after another"
        )
    if hasattr(made, "shape") and len(made.shape) != 4:
        raise SourceError(f"{label} is one array of shape {list(made.shape)}", hint="yield one picture after another")


def _line(frames: Iterator[Any]) -> str:
    """Where a generator stands, in parentheses."""
    frame = getattr(frames, "gi_frame", None)
    return f" (line {frame.f_lineno} of {frame.f_code.co_name})" if frame is not None else ""
