"""FrameProcessor: the contract that a user writes against.

One method is needed, any of these, sync or async:

- `process_video_async(self, frame: VideoFrame) -> VideoFrame | None` (also as `process_video`), pytrickle's;
- `process(self, frame: bytes) -> bytes`, raw RGB24, H·W·3 bytes in and as many out;
- a method or function under `@video_handler` (`byoc_nb.decorators`).

`byoc_nb.dialects` gives all of them one face for the runtime.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine, Generator
from typing import Any, ClassVar

from pydantic import BaseModel

from byoc_nb.params import Values, initial


class FrameProcessor:
    """Base of a processor; every method is optional but one that takes frames (see the module's docstring).

    - `Params`, a nested pydantic model, declares the parameters; `self.params` is always a valid instance of it, from
      before `__init__` on. Without `Params`, `self.params` is the dict of what was sent.
    - `load_model()` or `initialize()`: once, before the first frame.
    - `on_stream_start(params)`, `on_stream_stop()`, `shutdown()`: around every stream. `shutdown` runs when a job
      ends and may run again: it must not undo `initialize`.
    - `update_params(params: dict)`: after a change of parameters, with what was sent. Raising refuses the change.
    - `process_audio_async(frame) -> list[AudioFrame] | None`: None or an empty list drops the sound; without the
      method it passes.

    All of them run on one thread with one asyncio loop of the processor's own.
    """

    Params: ClassVar[type[BaseModel] | None] = None
    params: Any
    _byoc_data_sink: Callable[[Any], bool] = staticmethod(lambda data: False)  # the running stream's

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.Params is not None and not (inspect.isclass(cls.Params) and issubclass(cls.Params, BaseModel)):
            raise TypeError(f"{cls.__name__}.Params must be a pydantic model: class Params(BaseModel)")

    def __new__(cls, *args: Any, **kwargs: Any) -> FrameProcessor:
        self = super().__new__(cls)
        values: Values = initial(cls.Params)
        self.params = values
        return self

    def __init__(self, error_callback: Any = None, **init_kwargs: Any) -> None:
        """Subclasses may call it or not; `error_callback` and `init_kwargs` are kept for pytrickle's callers."""
        self.error_callback = error_callback
        self.init_kwargs = init_kwargs

    async def load_model(self, **kwargs: Any) -> None:
        """Load weights and whatever else the frames need."""

    async def on_stream_start(self, params: dict[str, Any]) -> None:
        """A stream begins; `params` are the ones it was started with."""

    async def on_stream_stop(self) -> None:
        """A stream ended."""

    def publish_data(self, data: Any) -> Done:
        """Send a JSON-able value to the stream's data channel, beside the video; never waits for the network.

        From any hook or thread: `await self.publish_data(x)`, or without `await` where there is no loop. Values that
        come faster than ten a second go together as one JSON array. False when the stream has no data channel. Raises
        TypeError or ValueError, at once, for what isn't JSON or has more than 60,000 bytes.
        """
        return Done(self._byoc_data_sink(data))

    async def start(self) -> None:
        """Load now, once; the server does it by itself when it starts."""
        await ensure_loaded(self)

    async def ensure_model_loaded(self, **kwargs: Any) -> None:
        """pytrickle's name for `start`."""
        await ensure_loaded(self)


class Done(Coroutine[Any, Any, bool]):
    """An answer that is there already, for code that awaits it and for code that can't; as true as the answer is."""

    def __init__(self, answer: bool) -> None:
        self._answer = answer

    def __bool__(self) -> bool:
        return self._answer

    def __await__(self) -> Generator[Any, Any, bool]:
        return self._answer
        yield

    def send(self, value: Any) -> Any:
        raise StopIteration(self._answer)

    def throw(self, *error: Any) -> Any:
        raise error[0]

    def close(self) -> None:
        """There is nothing to give up."""


async def call(hook: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a user's hook, sync or async, and give its result."""
    result = hook(*args, **kwargs)
    return await result if inspect.isawaitable(result) else result


def method(owner: Any, name: str) -> Any:
    """What is callable under a name of a user's class or instance, else None; properties are not evaluated."""
    if isinstance(inspect.getattr_static(owner, name, None), property | functools.cached_property):
        return None
    found = getattr(owner, name, None)
    return found if callable(found) else None


async def ensure_loaded(instance: Any, also: Any = None) -> None:
    """Run the loading hooks of `instance` (`load_model`, `initialize`, then `also`) unless they ran before.

    A failed load may be tried again.
    """
    state = instance.__dict__ if hasattr(instance, "__dict__") else {}
    lock = state.setdefault("_byoc_load_lock", asyncio.Lock())
    async with lock:
        if state.get("_byoc_loaded"):
            return
        hooks = [method(instance, "load_model"), method(instance, "initialize")]
        if also not in hooks:  # `@model_loader def load_model` is found both ways
            hooks.append(also)
        for hook in hooks:
            if hook is not None:
                await call(hook)
        state["_byoc_loaded"] = True
