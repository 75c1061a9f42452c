"""StreamProcessor: pytrickle's way to serve loose functions, or the decorated methods of an instance, as one program.

It has pytrickle's constructor and runs on `StreamServer`. In a notebook and in an export the decorated class itself is
the processor, so that only a program needs this.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from byoc_nb.dialects import VideoProcessingResult, default_name, marked
from byoc_nb.errors import ByocError
from byoc_nb.frames import AudioFrame, VideoFrame
from byoc_nb.processor import FrameProcessor, call
from byoc_nb.runtime.server import StreamServer

__all__ = ["FrameSkipConfig", "OverlayConfig", "OverlayMode", "StreamProcessor", "VideoProcessingResult"]

logger = logging.getLogger(__name__)

# what StreamProcessor is given, and the kind that its decorator marks
_KINDS = {
    "video_processor": "video",
    "audio_processor": "audio",
    "model_loader": "model_loader",
    "param_updater": "param_updater",
    "on_stream_start": "stream_start",
    "on_stream_stop": "stream_stop",
}
# settings of pytrickle's server that change nothing here
_WITHOUT_EFFECT = ("health_check_interval", "publisher_timeout", "subscriber_timeout")
_ELSEWHERE = {
    "cors_config": "add a middleware: middleware=[…]",
    "static_routes": "add it before run(): processor.server.app.router.add_static(prefix, path)",
    "app_context": 'set it before run(): processor.server.app["name"] = value',
    "enable_default_routes": "leave it out: without its routes nobody could start a stream",
}


class StreamProcessorError(ByocError, TypeError):
    """StreamProcessor is given or asked what it can't do here."""


@dataclass
class FrameSkipConfig:
    """pytrickle's settings for leaving out frames; taken, and without effect: the policy `live` does it by itself."""

    target_fps: float | None = None
    adaptation_cooldown: float = 0.5
    max_queue_size: int = 15
    max_cleanup_frames: int = 50


class OverlayMode(Enum):
    """What pytrickle shows while a model loads."""

    PROGRESSBAR = "progressbar"
    PASSTHROUGH = "passthrough"


@dataclass
class OverlayConfig:
    """pytrickle's settings for its "Loading" picture; taken, and without effect: the input's own picture is shown."""

    mode: OverlayMode = OverlayMode.PROGRESSBAR
    message: str = "Loading..."
    progress: float | None = None
    enabled: bool = True
    auto_timeout_seconds: float | None = 1.5
    frame_count_to_disable: int = 1


class StreamProcessor:
    """Serves up to six functions, sync or async, as one processor.

    `video_processor(frame)` gives a VideoFrame, a tensor, VideoProcessingResult.WITHHELD (nothing is sent) or None (the
    frame passes), `audio_processor(frame)` a list of AudioFrames or None. Without them pictures and sounds pass.
    `model_loader()` runs once, `param_updater(params)` at a change, `on_stream_start(params)` and `on_stream_stop()`
    around a stream. `name` is the capability's where no variable names it; `server_kwargs` go to `StreamServer`.

    Raises StreamProcessorError for what can't be called, and for settings that have no meaning here.
    """

    def __init__(  # noqa: PLR0917  # pytrickle's order
        self,
        video_processor: Callable[..., Any] | None = None,
        audio_processor: Callable[..., Any] | None = None,
        model_loader: Callable[..., Any] | None = None,
        param_updater: Callable[..., Any] | None = None,
        on_stream_start: Callable[..., Any] | None = None,
        on_stream_stop: Callable[..., Any] | None = None,
        send_data_interval: float | None = 0.333,
        name: str = "stream-processor",
        port: int = 8000,
        frame_skip_config: FrameSkipConfig | None = None,
        overlay_config: OverlayConfig | None = None,
        validate_signature: bool = True,
        **server_kwargs: Any,
    ) -> None:
        functions = dict(
            zip(
                _KINDS,
                (video_processor, audio_processor, model_loader, param_updater, on_stream_start, on_stream_stop),
                strict=True,
            )
        )
        for argument, function in functions.items():
            if function is not None and not callable(function):
                raise StreamProcessorError(
                    f"{argument} is {type(function).__name__}, not a function", hint=f"pass {argument}=my_function"
                )
        self.name, self.port = name, port
        # a class of the user's name: it is what logs and status call the processor
        self._frame_processor: _Functions = type(name, (_Functions,), {})(functions)
        if frame_skip_config is not None:
            logger.info("FrameSkipConfig has no effect: the policy `live` skips what the processor is too slow for")
        if overlay_config is not None:
            logger.info("OverlayConfig has no effect: pictures pass untouched while set_loading_overlay is on")
        for setting in [setting for setting in _WITHOUT_EFFECT if setting in server_kwargs]:
            del server_kwargs[setting]
            logger.info("%s has no effect here", setting)
        for setting in _ELSEWHERE.keys() & server_kwargs.keys():
            if server_kwargs.pop(setting) not in (None, {}, [], setting == "enable_default_routes"):
                raise StreamProcessorError(f"StreamServer takes no {setting} here", hint=_ELSEWHERE[setting])
        self.server = StreamServer(self._frame_processor, port=port, **server_kwargs)
        if self.server.capability_name == default_name(self._frame_processor):  # no argument and no variable named it
            self.server.capability_name = name

    @classmethod
    def from_handlers(cls, handler_instance: Any, **options: Any) -> StreamProcessor:
        """Serve the methods of an instance that bear `byoc_nb.decorators`; `options` as the constructor takes them."""
        found: dict[str, Any] = {argument: marked(handler_instance, kind) for argument, kind in _KINDS.items()}
        if not any(found.values()):
            logger.warning(
                "%s has no method under a decorator such as @video_handler: every frame passes untouched",
                type(handler_instance).__name__,
            )
        return cls(**found, **options)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; raises StreamProcessorError in a notebook, where a loop runs already."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            asyncio.run(self.run_forever())
            return
        raise StreamProcessorError(
            "run() can't serve where a loop runs already",
            hint="in a notebook put %%byoc above the handlers and leave run() out, elsewhere await run_forever()",
        )

    async def run_forever(self) -> None:
        """Serve until SIGTERM or SIGINT; raises PortInUse."""
        await self.server.run_forever()

    async def send_data(self, data: str) -> bool:
        """Send a text to the stream's data channel; False without a stream or without the channel."""
        return bool(self._frame_processor.publish_data(data))

    def set_loading_overlay(self, active: bool) -> bool:
        """While it is on, pictures pass without `video_processor`; False, and nothing changes, without a stream."""
        if self.server.active:
            self._frame_processor.passes = active
        return self.server.active

    async def send_input_frame(self, frame: VideoFrame | AudioFrame) -> bool:
        """pytrickle's way to add a frame to the input; always raises StreamProcessorError."""
        raise StreamProcessorError(
            "frames come from the stream only",
            hint="return the picture from the video handler, or several sounds from the audio handler",
        )

    @property
    def _byoc_data_sink(self) -> Callable[[Any], bool]:
        """Of a subclass that is a notebook's processor itself, as of a FrameProcessor."""
        return self._frame_processor._byoc_data_sink

    @_byoc_data_sink.setter
    def _byoc_data_sink(self, sink: Callable[[Any], bool]) -> None:
        self._frame_processor._byoc_data_sink = sink


class _Functions(FrameProcessor):
    """The functions, as the processor that the runtime works with."""

    def __init__(self, functions: dict[str, Callable[..., Any] | None]) -> None:
        super().__init__()
        self._functions = functions
        given = [function for function in functions.values() if function is not None]
        self._byoc_written = [getattr(function, "__self__", function) for function in given]  # where `dialects` looks
        self.passes = False  # pictures, without video_processor

    async def load_model(self, **kwargs: Any) -> None:
        await self._call("model_loader", **kwargs)

    async def process_video_async(self, frame: VideoFrame) -> Any:
        made = None if self.passes else await self._call("video_processor", frame)
        return frame if made is None else made

    async def process_audio_async(self, frame: AudioFrame) -> Any:
        made = await self._call("audio_processor", frame)
        return [frame] if made is None else made

    async def update_params(self, params: dict[str, Any]) -> None:
        # pytrickle's own word for loading, which is done before any stream
        if own := {key: value for key, value in params.items() if key != "load_model"}:
            await self._call("param_updater", own)

    async def on_stream_start(self, params: dict[str, Any]) -> None:
        self.passes = False
        await self._call("on_stream_start", params)

    async def on_stream_stop(self) -> None:
        await self._call("on_stream_stop")

    async def _call(self, argument: str, *args: Any, **kwargs: Any) -> Any:
        function = self._functions[argument]
        return None if function is None else await call(function, *args, **kwargs)
