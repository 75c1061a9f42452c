"""Whole programs in the shapes of pytrickle's examples: they serve, change pictures and sound, and end with 0."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
from kit import WAIT, Trickle, auntil, collect, collect_json, decode, picture, publish, segments, tone

from byoc_nb.dialects import Processor
from byoc_nb.frames import VideoFrame
from byoc_nb.runtime.requests import StreamStart
from byoc_nb.runtime.stream_processor import (
    FrameSkipConfig,
    OverlayConfig,
    OverlayMode,
    StreamProcessor,
    StreamProcessorError,
)

# as an installed wheel does when Python starts, with this checkout's names
START = "import runpy, sys; from byoc_nb import pytrickle_names as names; names.uninstall(); names.install(); "
START += "runpy.run_path(sys.argv[1], run_name='__main__')"

HANDLERS = """
import asyncio
import logging
from dataclasses import dataclass

import numpy as np

from pytrickle import AudioFrame, FrameSkipConfig, StreamProcessor, VideoFrame
from pytrickle.decorators import (
    audio_handler, model_loader, on_stream_start, on_stream_stop, param_updater, video_handler
)

logging.basicConfig(level=logging.INFO)


@dataclass
class Config:
    invert: bool = False


class Handlers:
    def __init__(self):
        self.config, self.processor, self.told = Config(), None, None

    @model_loader
    async def load(self, **kwargs):
        print("load", flush=True)

    @on_stream_start
    async def start(self, params):
        self.config.invert = bool(params.get("invert"))

    @on_stream_stop
    async def stop(self):
        self.told.cancel()
        print("stop", flush=True)

    @video_handler
    async def picture(self, frame: VideoFrame) -> VideoFrame:
        if self.told is None:
            self.told = asyncio.create_task(self.tell())
        return frame.replace_tensor(1 - frame.tensor) if self.config.invert else frame

    async def tell(self):
        print("sent", await self.processor.send_data("first picture"), flush=True)

    @audio_handler
    async def sound(self, frame: AudioFrame):
        return [frame.replace_samples(np.zeros_like(frame.samples))]

    @param_updater
    async def update(self, params):
        self.config.invert = bool(params["invert"])
        print("update", params, flush=True)


async def main():
    handlers = Handlers()
    processor = StreamProcessor.from_handlers(
        handlers, name="inverter", port=0, host="127.0.0.1", frame_skip_config=FrameSkipConfig(target_fps=24)
    )
    handlers.processor = processor
    await processor._frame_processor.load_model()
    await processor.run_forever()


if __name__ == "__main__":
    asyncio.run(main())
"""

FUNCTIONS = """
import logging

from pytrickle import AudioOutput, StreamProcessor, VideoOutput
from pytrickle.frames import AudioFrame, VideoFrame

logging.basicConfig(level=logging.INFO)
invert = False


async def load_model(**kwargs):
    print("load", flush=True)


async def process_video(frame: VideoFrame):
    return VideoOutput(frame.replace_tensor(1 - frame.tensor)) if invert else VideoOutput(frame)


async def process_audio(frame: AudioFrame):
    return AudioOutput([frame.replace_samples(frame.samples * 0)])


async def begin(params):
    await update_params(params)


async def update_params(params):
    global invert
    invert = params["invert"]
    print("update", params, flush=True)


processor = StreamProcessor(
    video_processor=process_video,
    audio_processor=process_audio,
    model_loader=load_model,
    param_updater=update_params,
    on_stream_start=begin,
    name="inverter",
    port=0,
    host="127.0.0.1",
    health_check_interval=5.0,
)

if __name__ == "__main__":
    processor.run()
"""

SUBCLASS = """
import logging

from pytrickle.frame_overlay import OverlayConfig, OverlayMode
from pytrickle.frame_skipper import FrameSkipConfig
from pytrickle.frames import AudioFrame, VideoFrame
from pytrickle.stream_processor import StreamProcessor, VideoProcessingResult

logging.basicConfig(level=logging.INFO)


class Inverter(StreamProcessor):
    def __init__(self):
        self.invert = False
        super().__init__(
            video_processor=self.process_video,
            audio_processor=self.process_audio,
            model_loader=self.load_model,
            param_updater=self.update_params,
            on_stream_start=self.on_stream_start,
            on_stream_stop=self.on_stream_stop,
            name="inverter",
            port=0,
            host="127.0.0.1",
            frame_skip_config=FrameSkipConfig(),
            overlay_config=OverlayConfig(mode=OverlayMode.PROGRESSBAR, message="Loading...", auto_timeout_seconds=1.0),
            route_prefix="/",
        )

    async def load_model(self, **kwargs):
        print("load", flush=True)

    async def on_stream_start(self, params):
        self.invert = params["invert"]

    async def on_stream_stop(self):
        print("stop", flush=True)

    async def process_video(self, frame: VideoFrame):
        return frame.replace_tensor(1 - frame.tensor) if self.invert else VideoProcessingResult.WITHHELD

    async def process_audio(self, frame: AudioFrame):
        return [frame.replace_samples(frame.samples * 0)]

    async def update_params(self, params):
        self.invert = params["invert"]
        print("update", params, flush=True)


if __name__ == "__main__":
    Inverter().run()
"""


@asynccontextmanager
async def running(text: str, folder: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """The program and its URL."""
    path = folder / "program.py"
    path.write_text(text)
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", START, path),
        cwd=folder,
        env=os.environ | {"BYOC_POLICY": "lossless"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert program.stdout is not None
    try:
        async with asyncio.timeout(20):
            while b"listening on port" not in (line := await program.stdout.readline()):
                assert line, "the program ended"
        yield program, f"http://127.0.0.1:{int(line.split()[-1])}"
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()


async def ended(program: asyncio.subprocess.Process) -> str:
    """SIGTERM; what it said until it ended with 0."""
    program.send_signal(signal.SIGTERM)
    said, _ = await asyncio.wait_for(program.communicate(), WAIT)
    assert program.returncode == 0, said
    return said.decode()


async def post(url: str, body: dict[str, Any]) -> None:
    async with aiohttp.ClientSession() as web, web.post(url, json=body) as answer:
        assert answer.status == 200, await answer.text()


@pytest.mark.parametrize("text", [HANDLERS, FUNCTIONS, SUBCLASS], ids=["handlers", "functions", "subclass"])
async def test_a_program_in_the_shape_of_pytrickles_examples_runs_whole(
    text: str, tmp_path: Path, trickle: Trickle
) -> None:
    into, out, data = (trickle.channel(name) for name in ("in", "out", "data"))
    async with running(text, tmp_path) as (program, url):
        body = {"subscribe_url": into, "publish_url": out, "data_url": data, "gateway_request_id": "x"}
        told: list[Any] = []
        telling = asyncio.create_task(collect_json(data, told))
        await post(f"{url}/stream/start", body | {"params": {"invert": False}})
        await post(f"{url}/stream/params", {"invert": True})
        collecting = asyncio.create_task(collect(out))
        await publish(into, segments(1.0))
        made = await asyncio.wait_for(collecting, WAIT)
        if text is HANDLERS:
            await auntil(lambda: told == ["first picture"])
        telling.cancel()
        said = await ended(program)
    pictures, sounds = decode(b"".join(made))
    assert len(pictures) == 30
    assert all(picture.array[..., 1].min() > 20 for picture in pictures), "bars of 20 and 220 became 235 and 35"
    assert len(sounds) >= 50
    assert not any(np.abs(sound.samples).max() > 0.01 for sound in sounds)
    assert "update {'invert': True}" in said
    assert ("stop" in said.split()) is (text is not FUNCTIONS)
    assert ("sent True" in said) is (text is HANDLERS)


async def test_the_name_is_the_capabilitys_unless_a_variable_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert StreamProcessor(name="green-processor").server.capability_name == "green-processor"
    assert StreamProcessor(name="mine", capability_name="given").server.capability_name == "given"
    monkeypatch.setenv("CAPABILITY_NAME", "deployed")
    assert StreamProcessor(name="mine").server.capability_name == "deployed"


async def test_handlers_left_out_let_everything_pass() -> None:
    processor = Processor(StreamProcessor()._frame_processor)
    await processor.load()
    await processor.stream_start({})
    await processor.set_params({"any": 1}, {"any": 1})
    frame, sound = VideoFrame(picture()), tone(0)
    assert await processor.video(frame) is frame
    assert await processor.audio(sound) == [sound]
    await processor.stream_stop()


async def test_torch_is_there_before_a_first_frame_that_asks_for_tensors(tmp_path: Path) -> None:
    code = """
import asyncio, sys
from byoc_nb.dialects import Processor
from byoc_nb.runtime.stream_processor import StreamProcessor

class Handlers:
    async def picture(self, frame): return self.work(frame)
    def work(self, frame): return frame.tensor

asyncio.run(Processor(StreamProcessor(Handlers().picture)._frame_processor).load())
print("torch" in sys.modules)
"""
    (tmp_path / "program.py").write_text(code)
    program = await asyncio.create_subprocess_exec(
        sys.executable, "program.py", cwd=tmp_path, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asyncio.wait_for(program.communicate(), 20)
    assert said == b"True\n"


async def test_none_passes_the_frame_and_sync_functions_do_too() -> None:
    processor = Processor(StreamProcessor(lambda frame: None, lambda frame: None)._frame_processor)
    frame, sound = VideoFrame(picture()), tone(0)
    assert await processor.video(frame) is frame
    assert await processor.audio(sound) == [sound]


async def test_a_subclass_that_is_a_notebooks_processor_itself_sends_data_and_has_no_overlay() -> None:
    class Telling(StreamProcessor):
        def __init__(self) -> None:
            super().__init__(video_processor=self.process_video)

        async def process_video(self, frame: VideoFrame) -> VideoFrame:
            assert await self.send_data("seen") is True
            assert self.set_loading_overlay(True) is False, "its own server has no stream"
            return frame

    sent: list[Any] = []
    processor = Processor(Telling)
    processor.send_data_to(lambda value: not sent.append(value))  # type: ignore[func-returns-value]
    frame = VideoFrame(picture())
    assert await processor.video(frame) is frame
    assert sent == ["seen"]


async def test_pytrickles_word_for_loading_is_no_parameter() -> None:
    updates: list[Any] = []
    functions = StreamProcessor(param_updater=updates.append)._frame_processor
    await functions.update_params({"load_model": True})
    await functions.update_params({"load_model": True, "strength": 1})
    assert updates == [{"strength": 1}]


async def test_while_the_overlay_is_on_pictures_pass_without_the_handler(trickle: Trickle) -> None:
    seen: list[VideoFrame] = []
    processor = StreamProcessor(video_processor=seen.append, port=0, host="127.0.0.1", policy="lossless")
    assert processor.set_loading_overlay(True) is False, "there is no stream"
    assert await processor.send_data("nobody listens") is False
    await processor.server.start_server()
    try:
        into = trickle.channel("in")
        await processor.server.start_stream(StreamStart(gateway_request_id="x", subscribe_url=into))
        session = processor.server.session
        assert session is not None
        assert processor.set_loading_overlay(True) is True
        await publish(into, segments(0.5, audio=False), end=False)
        await auntil(lambda: session.stats.frames_out == 15)
        assert not seen
        processor.set_loading_overlay(False)
        await publish(into, segments(0.5, start=45_000, audio=False))
        await session.wait_ended()
        assert len(seen) == 15
    finally:
        await processor.server.stop()


def test_settings_without_effect_say_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    overlay = OverlayConfig(mode=OverlayMode.PASSTHROUGH, auto_timeout_seconds=None)
    StreamProcessor(
        frame_skip_config=FrameSkipConfig(), overlay_config=overlay, publisher_timeout=3.0, enable_default_routes=True
    )
    said = [message for message in caplog.messages if "no effect" in message]
    assert [message.split()[0] for message in said] == ["FrameSkipConfig", "OverlayConfig", "publisher_timeout"]
    assert "`live`" in said[0]


def test_an_instance_without_handlers_is_told(caplog: pytest.LogCaptureFixture) -> None:
    StreamProcessor.from_handlers(object())
    assert "object has no method under a decorator such as @video_handler" in caplog.text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"video_processor": 5}, "video_processor is int, not a function: pass video_processor=my_function"),
        ({"cors_config": {"*": {}}}, "StreamServer takes no cors_config here: add a middleware"),
        ({"app_context": {"a": 1}}, "StreamServer takes no app_context here: set it before run"),
        ({"enable_default_routes": False}, "StreamServer takes no enable_default_routes here: leave it out"),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_to_do(options: dict[str, Any], said: str) -> None:
    with pytest.raises(StreamProcessorError) as caught:
        StreamProcessor(**options)
    assert caught.value.one_line().startswith(said)


async def test_run_and_send_input_frame_say_what_to_do_instead() -> None:
    processor = StreamProcessor()
    with pytest.raises(StreamProcessorError, match="where a loop runs already") as caught:
        processor.run()
    assert "%%byoc" in caught.value.hint
    with pytest.raises(StreamProcessorError, match="frames come from the stream only"):
        await processor.send_input_frame(VideoFrame(picture()))
