"""One face for every way of writing a processor.

`is_processor` says whether a class or function meets one of the contracts; `Processor` is what the runtime works with.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from collections.abc import Callable
from enum import Enum
from types import FunctionType, MethodType
from typing import Any

import numpy as np
from pydantic import BaseModel

from byoc_nb import _openmp
from byoc_nb import params as params_
from byoc_nb.decorators import MARK
from byoc_nb.errors import ByocError
from byoc_nb.frames import AudioFrame, AudioOutput, VideoFrame, VideoOutput
from byoc_nb.needs import uses_tensors
from byoc_nb.processor import call, ensure_loaded, method

VIDEO_NAMES = ("process_video_async", "process_video", "process")
AUDIO_NAMES = ("process_audio_async", "process_audio")
_HOOK_NAMES = {
    "video": VIDEO_NAMES,
    "audio": AUDIO_NAMES,
    "param_updater": ("update_params",),
    "stream_start": ("on_stream_start",),
    "stream_stop": ("on_stream_stop",),
}
NEEDED = "process_video_async(self, frame), process(self, frame: bytes) -> bytes or a method under @video_handler"
# what a cell or a file needs at least
WANTED = f"a class with {NEEDED}, or a function of one frame: def name(frame)"


class NotAProcessor(ByocError, TypeError):
    """A class, instance or function that meets none of the contracts."""


class VideoProcessingResult(Enum):
    """What a video handler may return instead of a picture."""

    WITHHELD = "withheld"  # send nothing for this frame


def is_processor(target: Any) -> bool:
    """Whether a class or function, as found in a user's code, is meant to process frames."""
    if inspect.isclass(target):
        return _hook(target, "video") is not None
    if inspect.isfunction(target):
        first = next(iter(_positional(target)), None)
        meant = target.__name__ in VIDEO_NAMES or _first_annotation(target) in ("VideoFrame", "bytes")
        return _is_marked(target, "video") or (
            (meant or (first is not None and first.name == "frame")) and _takes_one(target)
        )
    return False


def hook_name(target: Any, kind: str) -> str:
    """The name of a class's method for a hook ("video", "audio", "model_loader", …); empty without one."""
    found = _hook(target, kind) if kind in _HOOK_NAMES else marked(target, kind)
    return "" if found is None else _name(found)


def default_name(target: Any) -> str:
    """The capability's name of a class, instance or function: `GreenTintProcessor` gives `green-tint`.

    Small letters, digits and single hyphens, as an image's name takes them.
    """
    name = target.__name__ if inspect.isclass(target) or inspect.isfunction(target) else type(target).__name__
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name).lower()
    plain = re.sub(r"[^a-z0-9]+", "-", words).strip("-")
    return re.sub(r"-(frame-)?processor$", "", plain) or "processor"


class Processor:
    """A user's processor behind one interface; every method runs on the thread that made it."""

    def __init__(self, target: Any) -> None:
        """`target`: a class (built here, without arguments), an instance, or a function that takes a frame.

        Raises NotAProcessor when it meets no contract, and whatever the user's `__init__` raises.
        """
        self.name = default_name(target)
        self.target = target if inspect.isclass(target) or inspect.isfunction(target) else type(target)
        self._function = target if inspect.isfunction(target) else None
        self.instance: Any = None if self._function else target() if inspect.isclass(target) else target
        owner = self._function or self.instance
        found = self._function or _hook(self.instance, "video")
        if found is None:
            raise NotAProcessor(f"{type(owner).__name__} has no method that takes a frame", hint=f"give it {NEEDED}")
        self._video: Callable[..., Any] = found
        self.takes_bytes = _takes_bytes(self._video, self._function is not None)
        self._passes_none = _is_marked(self._video, "video")  # pytrickle: None from a handler = unchanged
        self._audio = _hook(self.instance, "audio")
        model = getattr(owner, "Params", None)
        self.model: type[BaseModel] | None = model if inspect.isclass(model) and issubclass(model, BaseModel) else None
        # What the instance's own code made of its params stays; without a model, they are ours only if it made nothing.
        own = inspect.getattr_static(self.instance, "params", None)
        # whether `instance.params` is ours to set
        self.publishes = self.model is not None or (isinstance(own, dict) and not own)
        self._values = own if self.model is not None and isinstance(own, self.model) else params_.initial(self.model)
        self._publish(self._values)

    # ---- life

    async def load(self) -> None:
        """Run the user's loading hooks, once."""
        written = getattr(self.instance, "_byoc_written", None) or [self._function or self.instance]
        if any(map(uses_tensors, written)) and importlib.util.find_spec("torch") is not None:
            import torch  # noqa: F401  # takes seconds: better now than at the first frame that needs it
        _openmp.leave_cores_free()
        if self.instance is not None:
            await ensure_loaded(self.instance, also=marked(self.instance, "model_loader"))

    async def stream_start(self, params: dict[str, Any]) -> None:
        """A stream begins."""
        await self._call("stream_start", params)

    def send_data_to(self, sink: Callable[[Any], bool]) -> None:
        """Where `publish_data` of a FrameProcessor and `send_data` of a StreamProcessor go."""
        if hasattr(type(self.instance), "_byoc_data_sink"):
            self.instance._byoc_data_sink = sink

    async def stream_stop(self) -> None:
        """A stream ended: `on_stream_stop`, then the seed contract's `shutdown`; both are called even if one raises."""
        try:
            await self._call("stream_stop")
        finally:
            shutdown = method(self.instance, "shutdown")
            if shutdown is not None:
                await call(shutdown)

    # ---- parameters

    @property
    def values(self) -> params_.Values:
        """The current parameters."""
        return self._values

    def put(self, values: params_.Values) -> None:
        """Make `values` current without telling the user's code."""
        self._values = values
        self._publish(values)

    async def set_params(self, values: params_.Values, changes: dict[str, Any]) -> None:
        """Make `values` current and tell the user's `update_params`; if that raises, the old ones stay."""
        old = self._values
        self.put(values)
        try:
            await self._call("param_updater", changes)
        except BaseException:
            self.put(old)
            raise

    def _publish(self, values: params_.Values) -> None:
        if self.instance is not None and self.publishes:
            self.instance.params = values

    # ---- frames

    async def video(self, frame: VideoFrame) -> VideoFrame | None:
        """The processed frame; None sends nothing. Raises what the user's code raises."""
        if self.takes_bytes:
            result = await call(self._video, frame.to_bytes())
            if isinstance(result, bytes | bytearray | memoryview):
                return _from_bytes(frame, result)
        else:
            result = await call(self._video, frame)
        if isinstance(result, VideoOutput):
            result = result.frame
        if isinstance(result, VideoFrame):
            return result
        if result is None:
            return frame if self._passes_none else None
        if result is VideoProcessingResult.WITHHELD:
            return None
        if isinstance(result, np.ndarray) or _is_tensor(result):
            return frame.replace_tensor(result)
        wanted = "bytes" if self.takes_bytes else "a VideoFrame, such as frame.replace_tensor(tensor), or None"
        raise TypeError(f"{_name(self._video)} returned {type(result).__name__}; return {wanted}")

    async def audio(self, frame: AudioFrame) -> list[AudioFrame]:
        """The frames to send for this one. Raises what the user's code raises."""
        if self._audio is None:
            return [frame]
        result = await call(self._audio, frame)
        if result is None:
            return [frame] if _is_marked(self._audio, "audio") else []
        if isinstance(result, AudioOutput):
            result = result.frames
        if isinstance(result, AudioFrame):
            return [result]
        if isinstance(result, np.ndarray) or _is_tensor(result):
            return [frame.replace_samples(result)]
        if not isinstance(result, list | tuple):
            raise TypeError(
                f"{_name(self._audio)} returned {type(result).__name__}; return a list of AudioFrames or None"
            )
        if wrong := [type(item).__name__ for item in result if not isinstance(item, AudioFrame)]:
            raise TypeError(f"{_name(self._audio)} returned a list with {wrong[0]}; it takes AudioFrames only")
        return list(result)

    async def _call(self, kind: str, *args: Any) -> None:
        hook = _hook(self.instance, kind)
        if hook is not None:
            await call(hook, *args)


# ---- which hook is which


def _hook(owner: Any, kind: str) -> Callable[..., Any] | None:
    """The owner's hook of a kind: the marked one, else the first of the known names."""
    if owner is None:
        return None
    named = (method(owner, name) for name in _HOOK_NAMES[kind])
    return marked(owner, kind) or next((found for found in named if found is not None), None)


def marked(owner: Any, kind: str) -> Callable[..., Any] | None:
    """The method of a class or instance under the decorator of a kind ("video", "audio", "model_loader", …)."""
    cls = owner if inspect.isclass(owner) else type(owner)
    for klass in cls.__mro__:  # through the classes' dicts: a property must not be evaluated for this
        for name, value in vars(klass).items():
            if _is_marked(value, kind):
                return method(owner, name)  # type: ignore[no-any-return]
    return None


def _is_marked(hook: Any, kind: str) -> bool:
    """Whether a function, a method, or the function in a classmethod or staticmethod bears the mark of a kind."""
    if not isinstance(hook, FunctionType | MethodType | classmethod | staticmethod):
        return False
    return kind in (getattr(hook, MARK, None), getattr(getattr(hook, "__func__", None), MARK, None))


def _name(func: Callable[..., Any]) -> str:
    return getattr(func, "__name__", None) or type(func).__name__


def _positional(func: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        parameters = list(inspect.signature(func).parameters.values())
    except (TypeError, ValueError):
        return []
    return [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _takes_one(func: Callable[..., Any]) -> bool:
    parameters = _positional(func)
    return bool(parameters) and all(p.default is not p.empty for p in parameters[1:])


def _first_annotation(func: Callable[..., Any]) -> str:
    """The name of the first parameter's annotation, also when it is a string; empty without one."""
    for parameter in _positional(func):
        if parameter.name in ("self", "cls"):
            continue
        note = parameter.annotation
        if note is parameter.empty:
            return ""
        text = note.strip("'\"") if isinstance(note, str) else str(getattr(note, "__name__", note))
        return text.rsplit(".", 1)[-1]
    return ""


def _takes_bytes(func: Callable[..., Any], is_function: bool) -> bool:
    note = _first_annotation(func)
    if "VideoFrame" in note:
        return False
    if "bytes" in note:  # `bytearray | bytes` too
        return True
    return _name(func) == "process" and not is_function and not _is_marked(func, "video")


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _from_bytes(frame: VideoFrame, data: bytes | bytearray | memoryview) -> VideoFrame:
    expected, found = frame.height * frame.width * 3, memoryview(data).nbytes
    if found != expected:
        raise ValueError(f"process returned {found} bytes; a {frame.width}x{frame.height} RGB24 frame has {expected}")
    return frame.replace_array(np.frombuffer(data, np.uint8).reshape(frame.height, frame.width, 3))
