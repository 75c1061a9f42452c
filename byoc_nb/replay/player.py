"""A processor of its own, apart from every stream, that frames are put through one after the other."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, TypeVar

from byoc_nb import params as params_
from byoc_nb.errors import ByocError
from byoc_nb.frames import AudioFrame, VideoFrame
from byoc_nb.runtime.alone import load_alone
from byoc_nb.runtime.host import HOOK_SECONDS, Host, release_memory
from byoc_nb.runtime.stats import describe
from byoc_nb.runtime.trip import Trip
from byoc_nb.runtime.work import Done, process_audio, process_video

T = TypeVar("T")


class ReplayError(ByocError, RuntimeError):
    """The processor can't be played: it could not be loaded, or there is nothing to play."""


def no_room(error: OSError) -> ReplayError:
    """Pictures could not be put aside."""
    return ReplayError(f"a temporary file can't be written: {error.strerror}", hint="TMPDIR names another folder")


class Player:
    """Builds and loads a new instance of `target` on a thread of its own, and frees it at the end of `with`.

    Its stream is one without a network. A frame passes through as in a stream when its processing raises.
    """

    def __init__(self, target: Any, values: Mapping[str, Any]) -> None:
        self._target = target
        self._wanted = dict(values)
        self.dropped: dict[str, str] = {}  # parameters that the processor doesn't have, or not with such a value
        self.busy_seconds = 0.0  # that frames were in work
        self._host: Host | None = None

    def __enter__(self) -> Player:
        self._host = self._open()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._close()

    def set(self, values: Mapping[str, Any]) -> None:
        """Make these values the parameters for the frames that come; raises what `update_params` raises.

        Where one of them counts at loading, another instance is loaded with it, as in a stream; ReplayError where that
        fails, and there is nothing left to play with.
        """
        self._wanted = dict(values)
        host = self._loaded
        processor = host.processor
        new, self.dropped = params_.carry_over(processor.model, values)
        if params_.load_time(new) != params_.load_time(processor.values):
            del host, processor  # or it would stay while the other is loaded
            self._close()
            self._host = self._open()
            return
        old, missing = params_.as_dict(processor.values), object()
        changes = {name: value for name, value in params_.as_dict(new).items() if old.get(name, missing) != value}
        if changes:
            self._run(host.set_params(changes, ignore_unknown=True))

    def video(self, frame: VideoFrame) -> Done:
        """What the processor makes of a picture."""
        began = time.perf_counter()
        try:
            return self._run(process_video(self._loaded, frame, Trip(time.monotonic())))
        finally:
            self.busy_seconds += time.perf_counter() - began

    def audio(self, frame: AudioFrame) -> Done:
        """What the processor makes of some sound."""
        return self._run(process_audio(self._loaded, frame))

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self._loaded.submit(coroutine).result()

    @property
    def _loaded(self) -> Host:
        assert self._host is not None, "entered, and no set has failed"
        return self._host

    def _open(self) -> Host:
        self.dropped = {}
        model = getattr(self._target, "Params", None)
        if isinstance(model, type):
            held, self.dropped = params_.carry_over(model, self._wanted)
            values = params_.as_dict(held)
        else:
            values = self._wanted
        try:
            return load_alone(self._target, values)
        except Exception as error:
            name = getattr(self._target, "__name__", type(self._target).__name__)
            raise ReplayError(f"{name} could not be loaded once more: {describe(error)}", hint="mend it") from error

    def _close(self) -> None:
        host, self._host = self._host, None
        if host is None:
            return
        with contextlib.suppress(Exception):  # a stop hook that raises or hangs changes nothing that was made
            host.submit(host.stop_stream()).result(HOOK_SECONDS)
        host.close()
        del host
        release_memory()
