"""Every way of writing a processor behaves the same behind `Processor`."""

from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from pydantic import BaseModel, Field

from byoc_nb import FrameProcessor, VideoProcessingResult, pytrickle_names
from byoc_nb.decorators import (
    audio_handler,
    model_loader,
    on_stream_start,
    on_stream_stop,
    param_updater,
    video_handler,
)
from byoc_nb.dialects import NotAProcessor, Processor, default_name, is_processor
from byoc_nb.frames import AudioFrame, AudioOutput, VideoFrame, VideoOutput
from byoc_nb.params import ParamsError, merge

DOCS = Path(__file__).parent / "fixtures" / "livepeer_docs"


def picture(width: int = 8, height: int = 6) -> VideoFrame:
    return VideoFrame(np.full((height, width, 3), 100, np.uint8), 9000)


def sound() -> AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.zeros((1, 4), np.float32), format="fltp", layout="mono")
    frame.sample_rate = 48_000
    return AudioFrame(frame, 960, Fraction(1, 48_000))


def green(frame: VideoFrame) -> VideoFrame:
    out = frame.tensor.clone()
    out[..., 1] = 1.0
    return frame.replace_tensor(out)


def assert_green(frame: VideoFrame | None) -> None:
    assert frame is not None
    assert frame.timestamp == 9000
    assert frame.array[0, 0].tolist() == [100, 255, 100]


# ---- one behaviour, many contracts


class Upstream(FrameProcessor):
    async def process_video_async(self, frame: VideoFrame) -> VideoFrame:
        return green(frame)


class UpstreamSync(FrameProcessor):
    def process_video_async(self, frame: VideoFrame) -> VideoFrame:
        return green(frame)


class ShortName(FrameProcessor):
    def process_video(self, frame: VideoFrame) -> VideoFrame:
        return green(frame)


class NoBase:
    async def process_video_async(self, frame: VideoFrame) -> VideoFrame:
        return green(frame)


class OfBytes(FrameProcessor):
    async def process(self, frame: bytes) -> bytes:
        data = bytearray(frame)
        data[1::3] = b"\xff" * (len(data) // 3)
        return bytes(data)


class OfUnannotatedBytes:
    def process(self, frame):  # type: ignore[no-untyped-def]
        data = bytearray(frame)
        data[1::3] = b"\xff" * (len(data) // 3)
        return data


class OfBytesInATuple:
    def process(self, frame: bytes | bytearray) -> memoryview:
        data = np.frombuffer(frame, np.uint8).reshape(6, 8, 3).copy()
        data[..., 1] = 255
        return memoryview(data)


class ProcessOfVideoFrame:
    def process(self, frame: VideoFrame) -> VideoFrame:
        return green(frame)


class Marked:
    @video_handler
    async def anything(self, frame: VideoFrame) -> VideoFrame:
        return green(frame)


class MarkedWithParentheses:
    @video_handler(description="greener", validate_signature=False)
    def anything(self, frame):  # type: ignore[no-untyped-def]
        return green(frame)


class MarkedProcess:
    @video_handler
    def process(self, frame):  # type: ignore[no-untyped-def]
        return green(frame)


class ClassMethod:
    @classmethod
    def process_video(cls, frame: VideoFrame) -> VideoFrame:
        return green(frame)


class StaticMethod:
    @staticmethod
    def process_video(frame: VideoFrame) -> VideoFrame:
        return green(frame)


class MarkedStatic:
    @video_handler
    @staticmethod
    def anything(frame: VideoFrame) -> VideoFrame:
        return green(frame)


class MarkedClassMethod:
    @classmethod
    @video_handler
    def anything(cls, frame: VideoFrame) -> VideoFrame:
        return green(frame)


class Inherited(Marked):
    pass


class CallableAttribute:
    class Worker:
        def __call__(self, frame: VideoFrame) -> VideoFrame:
            return green(frame)

    def __init__(self) -> None:
        self.process_video_async = self.Worker()


class PartialAttribute:
    def __init__(self) -> None:
        self.process_video = functools.partial(lambda unused, frame: green(frame), None)


class GivesATensor(FrameProcessor):
    def process_video(self, frame: VideoFrame) -> Any:
        return green(frame).tensor


class GivesAnArray(FrameProcessor):
    def process_video(self, frame: VideoFrame) -> Any:
        return green(frame).array


class GivesAnOutput(FrameProcessor):
    def process_video(self, frame: VideoFrame) -> VideoOutput:
        return VideoOutput(frame, request_id="mine").replace_tensor(green(frame).tensor)


class InPlace(FrameProcessor):
    def process_video(self, frame: VideoFrame) -> VideoFrame:
        frame.tensor[..., 1] = 1.0
        return frame


def function(frame: VideoFrame) -> VideoFrame:
    return green(frame)


async def async_function(frame: VideoFrame) -> VideoFrame:
    return green(frame)


def of_bytes(frame: bytes) -> bytes:
    data = bytearray(frame)
    data[1::3] = b"\xff" * (len(data) // 3)
    return bytes(data)


@video_handler
def marked_function(frame):  # type: ignore[no-untyped-def]
    return green(frame)


CONTRACTS = [
    Upstream,
    UpstreamSync,
    ShortName,
    NoBase,
    OfBytes,
    OfUnannotatedBytes,
    OfBytesInATuple,
    ProcessOfVideoFrame,
    Marked,
    MarkedWithParentheses,
    MarkedProcess,
    ClassMethod,
    StaticMethod,
    MarkedStatic,
    MarkedClassMethod,
    Inherited,
    CallableAttribute,
    PartialAttribute,
    GivesATensor,
    GivesAnArray,
    GivesAnOutput,
    InPlace,
    function,
    async_function,
    of_bytes,
    marked_function,
]


@pytest.mark.parametrize("target", CONTRACTS, ids=lambda target: target.__name__)
async def test_every_contract_turns_the_picture_green(target: Any) -> None:
    processor = Processor(target)
    await processor.load()
    await processor.stream_start({})
    assert_green(await processor.video(picture()))
    await processor.stream_stop()


@pytest.mark.parametrize("target", [t for t in CONTRACTS if isinstance(t, type)], ids=lambda target: target.__name__)
async def test_an_instance_does_as_well_as_its_class(target: Any) -> None:
    instance = target()
    processor = Processor(instance)
    assert processor.instance is instance
    assert_green(await processor.video(picture()))


@pytest.mark.parametrize(
    "target", [t for t in CONTRACTS if t not in (CallableAttribute, PartialAttribute)], ids=lambda t: t.__name__
)
def test_every_contract_is_seen_in_a_users_code(target: Any) -> None:
    assert is_processor(target)


def test_what_takes_no_frame_is_not_a_processor() -> None:
    class Model:
        def forward(self, x: Any) -> Any:
            return x

    def helper(x: int) -> int:
        return x

    def two(frame: VideoFrame, other: VideoFrame) -> VideoFrame:
        return frame

    assert not any(is_processor(target) for target in (Model, Model(), helper, two, 5, None, len))
    assert not is_processor(FrameProcessor)
    for target in (Model, Model(), FrameProcessor, 5):
        with pytest.raises(NotAProcessor, match="no method that takes a frame") as caught:
            Processor(target)
        assert "process_video_async(self, frame)" in caught.value.hint
        assert "\n" not in caught.value.one_line()


def test_a_function_with_more_parameters_that_have_defaults_is_a_processor() -> None:
    def tint(frame: VideoFrame, strength: float = 0.3) -> VideoFrame:
        return frame

    assert is_processor(tint)


def test_an_annotation_may_be_text_qualified_or_missing() -> None:
    def quoted(frame: "bytes") -> bytes:  # noqa: UP037
        return frame

    def qualified(frame: "byoc_nb.VideoFrame") -> None:  # type: ignore[name-defined]  # noqa: F821, UP037
        return None

    assert is_processor(quoted)
    assert Processor(quoted).takes_bytes
    assert is_processor(qualified)
    assert not Processor(qualified).takes_bytes


# ---- results


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(5, "int"), ("picture", "str"), ([1], "list"), (b"123", "bytes"), ((1, 2), "tuple"), (True, "bool")],
)
async def test_a_wrong_result_is_told_with_its_type_and_what_to_return(wrong: Any, said: str) -> None:
    class Wrong(FrameProcessor):
        def process_video_async(self, frame: VideoFrame) -> Any:
            return wrong

    with pytest.raises(TypeError, match=f"process_video_async returned {said}; return a VideoFrame"):
        await Processor(Wrong).video(picture())


async def test_a_callable_without_a_name_can_be_told_too() -> None:
    class Worker:
        def __call__(self, frame: VideoFrame) -> int:
            return 5

    class Holder:
        process_video = Worker()

    with pytest.raises(TypeError, match="Worker returned int"):
        await Processor(Holder).video(picture())


async def test_a_wrong_result_of_process_is_told() -> None:
    class Wrong(FrameProcessor):
        def process(self, frame: bytes) -> Any:
            return "text"

    with pytest.raises(TypeError, match="process returned str; return bytes"):
        await Processor(Wrong).video(picture())


@pytest.mark.parametrize("length", [0, 1, 6 * 8 * 3 - 1, 6 * 8 * 3 + 1])
async def test_bytes_of_another_length_are_refused_with_both_lengths(length: int) -> None:
    class Cut(FrameProcessor):
        def process(self, frame: bytes) -> bytes:
            return b"\0" * length

    with pytest.raises(ValueError, match=f"process returned {length} bytes; a 8x6 RGB24 frame has 144"):
        await Processor(Cut).video(picture())


async def test_none_from_a_frame_processor_sends_nothing() -> None:
    class Drops(FrameProcessor):
        async def process_video_async(self, frame: VideoFrame) -> None:
            return None

    assert await Processor(Drops).video(picture()) is None


@pytest.mark.parametrize("order", [[staticmethod, video_handler], [video_handler, staticmethod], [video_handler]])
async def test_none_from_a_marked_handler_leaves_the_frame_unchanged(order: list[Callable[..., Any]]) -> None:
    def handle(*args: Any) -> None:
        return None

    handler: Any = handle
    for decorator in order:
        handler = decorator(handler)
    frame = picture()
    assert await Processor(type("Handled", (), {"handle": handler})).video(frame) is frame


async def test_withheld_sends_nothing() -> None:
    @video_handler
    def handle(frame: VideoFrame) -> VideoProcessingResult:
        return VideoProcessingResult.WITHHELD

    assert await Processor(handle).video(picture()) is None


async def test_what_the_users_code_raises_comes_through() -> None:
    class Raises(FrameProcessor):
        def process_video(self, frame: VideoFrame) -> VideoFrame:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await Processor(Raises).video(picture())


# ---- sound


def with_sound(result: Any, mark: Any = None) -> Processor:
    def process_audio_async(self: Any, frame: AudioFrame) -> Any:
        return result(frame) if callable(result) else result

    hook = mark(process_audio_async) if mark else process_audio_async
    return Processor(type("Sounding", (Upstream,), {"process_audio_async": hook}))


async def test_sound_passes_without_a_hook_for_it() -> None:
    frame = sound()
    assert await Processor(Upstream).audio(frame) == [frame]
    assert await Processor(function).audio(frame) == [frame]


async def test_what_a_sound_hook_may_return() -> None:
    frame = sound()
    assert await with_sound(lambda f: [f]).audio(frame) == [frame]
    assert await with_sound(lambda f: AudioOutput([f, f])).audio(frame) == [frame, frame]
    assert await with_sound(lambda f: (f, f)).audio(frame) == [frame, frame]
    assert await with_sound(lambda f: f).audio(frame) == [frame]
    assert await with_sound([]).audio(frame) == []
    assert await with_sound(None).audio(frame) == []
    assert await with_sound(None, mark=audio_handler).audio(frame) == [frame]
    for loud in (np.ones((1, 4), np.float32), torch.ones(1, 4)):
        (made,) = await with_sound(loud).audio(frame)
        assert made.samples.tolist() == [[1.0] * 4]
        assert made.timestamp == 960


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(5, "returned int"), ("abc", "returned str"), ([None], "list with NoneType"), (b"abc", "returned bytes")],
)
async def test_a_wrong_result_of_a_sound_hook_is_told(wrong: Any, said: str) -> None:
    with pytest.raises(TypeError, match=f"process_audio_async .*{said}|process_audio_async {said}"):
        await with_sound(wrong).audio(sound())


# ---- a life


class Diary:
    """All six hooks under pytrickle's marks."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    @model_loader
    async def load_it(self) -> None:
        self.lines.append("load")

    @on_stream_start
    def started(self, params: dict[str, Any]) -> None:
        self.lines.append(f"start {params}")

    @on_stream_stop
    async def stopped(self) -> None:
        self.lines.append("stop")

    @param_updater
    async def updated(self, params: dict[str, Any]) -> None:
        self.lines.append(f"update {params}")

    @video_handler
    async def video(self, frame: VideoFrame) -> None:
        self.lines.append("video")

    @audio_handler
    def audio(self, frame: AudioFrame) -> None:
        self.lines.append("audio")


class PlainDiary(FrameProcessor):
    """The same without marks, and with the seed's hooks."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def load_model(self) -> None:  # type: ignore[override]
        self.lines.append("load")

    async def initialize(self) -> None:
        self.lines.append("initialize")

    async def on_stream_start(self, params: dict[str, Any]) -> None:
        self.lines.append(f"start {params}")

    def on_stream_stop(self) -> None:  # type: ignore[override]
        self.lines.append("stop")

    def update_params(self, params: dict[str, Any]) -> None:
        self.lines.append(f"update {params}")

    def process(self, frame: bytes) -> bytes:
        self.lines.append("video")
        return frame

    async def process_audio(self, frame: AudioFrame) -> None:
        self.lines.append("audio")

    async def shutdown(self) -> None:
        self.lines.append("shutdown")


async def live(processor: Processor) -> list[str]:
    await processor.load()
    await processor.load()
    await processor.stream_start({"a": 1})
    await processor.video(picture())
    await processor.audio(sound())
    await processor.set_params({"b": 2}, {"b": 2})
    await processor.stream_stop()
    return list(processor.instance.lines)


async def test_marked_hooks_are_called_in_their_turn() -> None:
    assert await live(Processor(Diary)) == ["load", "start {'a': 1}", "video", "audio", "update {'b': 2}", "stop"]


async def test_plain_hooks_are_called_in_their_turn_and_shutdown_last() -> None:
    assert await live(Processor(PlainDiary)) == [
        "load",
        "initialize",
        "start {'a': 1}",
        "video",
        "audio",
        "update {'b': 2}",
        "stop",
        "shutdown",
    ]


async def test_a_marked_loader_with_the_usual_name_runs_once() -> None:
    class Loader:
        loads = 0

        @model_loader
        def load_model(self) -> None:
            self.loads += 1

        def process_video(self, frame: VideoFrame) -> VideoFrame:
            return frame

    processor = Processor(Loader)
    await processor.load()
    assert processor.instance.loads == 1


async def test_an_instance_that_was_started_by_hand_is_not_loaded_again() -> None:
    diary = PlainDiary()
    await diary.start()
    await Processor(diary).load()
    assert diary.lines == ["load", "initialize"]


async def test_shutdown_runs_even_if_the_stop_hook_raises() -> None:
    class Stops(PlainDiary):
        def on_stream_stop(self) -> None:  # type: ignore[override]
            raise RuntimeError("stop")

    processor = Processor(Stops)
    with pytest.raises(RuntimeError, match="stop"):
        await processor.stream_stop()
    assert processor.instance.lines == ["shutdown"]


async def test_a_function_has_no_other_hooks() -> None:
    processor = Processor(function)
    await processor.load()
    await processor.stream_start({})
    await processor.set_params({"a": 1}, {"a": 1})
    await processor.stream_stop()
    assert processor.values == {"a": 1}


def test_what_init_raises_comes_through() -> None:
    class Raises(FrameProcessor):
        def __init__(self) -> None:
            raise OSError("no card")

        def process_video(self, frame: VideoFrame) -> VideoFrame:
            return frame

    with pytest.raises(OSError, match="no card"):
        Processor(Raises)


async def test_properties_are_never_evaluated() -> None:
    class Touchy(FrameProcessor):
        def process_video_async(self, frame: VideoFrame) -> VideoFrame:
            return frame

        @property
        def zzz(self) -> Any:
            raise AssertionError("evaluated")

        process_audio_async = on_stream_start = on_stream_stop = update_params = load_model = zzz  # type: ignore[assignment]
        initialize = shutdown = process = process_video = zzz

    assert is_processor(Touchy)
    frame = picture()
    processor = Processor(Touchy)
    await processor.load()
    await processor.stream_start({})
    assert await processor.video(frame) is frame
    assert await processor.audio(heard := sound()) == [heard]
    await processor.set_params({}, {})
    await processor.stream_stop()


def test_a_params_property_that_raises_is_not_evaluated_either() -> None:
    class Touchy:
        def process_video(self, frame: VideoFrame) -> VideoFrame:
            return frame

        @property
        def params(self) -> Any:
            raise AssertionError("evaluated")

    assert Processor(Touchy).values == {}


# ---- parameters


class Model(BaseModel):
    strength: float = Field(0.3, ge=0, le=1)


@pytest.mark.parametrize("base", [FrameProcessor, object])
def test_params_are_published_with_and_without_the_base_and_without_super(base: type) -> None:
    class Tint(base):  # type: ignore[misc]
        Params = Model

        def __init__(self) -> None:
            pass

        def process_video(self, frame: VideoFrame) -> VideoFrame:
            return frame

    processor = Processor(Tint)
    assert processor.model is Model
    assert processor.instance.params == Model()
    assert processor.values == Model()


def test_params_that_an_instance_was_given_stay() -> None:
    class Tint(FrameProcessor):
        Params = Model

        def __init__(self, strength: float = 0.7) -> None:
            self.params = Model(strength=strength)

        def process_video(self, frame: VideoFrame) -> VideoFrame:
            return frame

    assert Processor(Tint).values == Model(strength=0.7)
    assert Processor(Tint(0.9)).instance.params == Model(strength=0.9)


async def test_params_of_a_processors_own_making_are_left_to_it() -> None:
    class Own:
        def __init__(self) -> None:
            self.params = {"strength": 0.5}

        def update_params(self, params: dict[str, Any]) -> None:
            self.params.update(params)

        def process_video(self, frame: VideoFrame) -> VideoFrame:
            return frame

    processor = Processor(Own)
    assert processor.instance.params == {"strength": 0.5}
    await processor.set_params({"mode": "x"}, {"mode": "x"})
    assert processor.instance.params == {"strength": 0.5, "mode": "x"}


async def test_without_a_model_the_base_has_what_was_sent() -> None:
    processor = Processor(Upstream)
    assert processor.instance.params == {}
    await processor.set_params({"a": 1}, {"a": 1})
    assert processor.instance.params == {"a": 1}


@pytest.mark.parametrize("is_async", [True, False])
async def test_an_update_that_is_refused_restores_the_old_values(is_async: bool) -> None:
    class Refuses(FrameProcessor):
        Params = Model

        def process_video(self, frame: VideoFrame) -> VideoFrame:
            return frame

        def update_params(self, params: dict[str, Any]) -> Any:
            assert self.params.strength == 0.9  # the new values are there already
            if is_async:
                return self.later()
            raise ValueError("not now")

        async def later(self) -> None:
            await asyncio.sleep(0)
            raise ValueError("not now")

    processor = Processor(Refuses)
    with pytest.raises(ValueError, match="not now"):
        await processor.set_params(merge(processor.values, {"strength": 0.9}), {"strength": 0.9})
    assert processor.values == processor.instance.params == Model()


def test_params_without_defaults_are_refused_with_the_fields_name() -> None:
    class Needy:
        class Params(BaseModel):
            weights: str

        def process_video(self, frame: VideoFrame) -> VideoFrame:
            return frame

    with pytest.raises(ParamsError, match="weights"):
        Processor(Needy)


# ---- names


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("GreenTint", "green-tint"),
        ("GreenTintProcessor", "green-tint"),
        ("GreenTintFrameProcessor", "green-tint"),
        ("HTTPTint", "http-tint"),
        ("Tint2Go", "tint2-go"),
        ("YUVTo_RGB", "yuv-to-rgb"),
        ("_Hidden__Tint_", "hidden-tint"),
        ("green_tint", "green-tint"),
        ("Processor", "processor"),
        ("FrameProcessor", "frame"),
        ("GrößenÄnderung", "gr-en-nderung"),
        ("緑", "processor"),
    ],
)
def test_a_capability_is_named_after_its_class(name: str, expected: str) -> None:
    assert default_name(type(name, (), {})) == expected
    assert default_name(type(name, (), {})()) == expected


def test_a_lambda_gets_a_name_that_an_image_can_have() -> None:
    assert default_name(lambda frame: frame) == "lambda"


def test_an_instance_with_a_name_of_its_own_goes_by_its_class() -> None:
    class Tint:
        __name__ = "Other Name!"

    assert default_name(Tint()) == "tint"


# ---- the programs of Livepeer's documentation


@pytest.fixture
def pytrickle() -> Iterator[None]:
    before = list(sys.meta_path)
    pytrickle_names.uninstall()
    pytrickle_names.install()
    yield
    pytrickle_names.uninstall()
    sys.meta_path[:] = before


def program(name: str, **given: Any) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": "documentation", **given}
    exec(compile((DOCS / name).read_text(), name, "exec"), namespace)
    return namespace


@pytest.mark.usefixtures("pytrickle")
async def test_the_developer_guides_processor_works() -> None:
    guide = program("developer_guide.py.txt", load_my_model=lambda: lambda tensor: 1.0 - tensor)
    processor = Processor(guide["MyAIProcessor"])
    await processor.load()
    made = await processor.video(picture())
    assert made is not None
    assert made.array[0, 0].tolist() == [155, 155, 155]
    assert await processor.audio(heard := sound()) == [heard]
    await processor.set_params({"x": 1}, {"x": 1})
    await processor.stream_stop()


@pytest.mark.usefixtures("pytrickle")
async def test_the_developer_guides_own_start_loads_the_model_once() -> None:
    loads: list[int] = []
    guide = program("developer_guide.py.txt", load_my_model=lambda: loads.append(1))
    instance = guide["MyAIProcessor"]()
    await instance.start()
    await Processor(instance).load()
    assert loads == [1]


@pytest.mark.usefixtures("pytrickle")
async def test_the_quickstarts_processor_works(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    quickstart = program("quickstart.py.txt")
    assert is_processor(quickstart["GreenTintProcessor"])
    processor = Processor(quickstart["GreenTintProcessor"])
    assert processor.name == "green-tint"
    await processor.load()
    black = VideoFrame(np.zeros((480, 640, 3), np.uint8))
    tinted = await processor.video(black)
    assert tinted is not None
    assert int(tinted.array[..., 1].sum(dtype=np.int64)) == 640 * 480 * 80
    assert not tinted.array[..., ::2].any()
    assert tinted.tensor.shape == (1, 480, 640, 3)
    await processor.stream_stop()
    assert "initialised" in caplog.text
    assert "shutdown" in caplog.text


def test_a_processor_of_bytes_needs_no_torch() -> None:
    code = f"""
import asyncio, sys
import numpy as np
from byoc_nb import pytrickle_names
pytrickle_names.install()
from byoc_nb.dialects import Processor
from byoc_nb.frames import VideoFrame
space = {{"__name__": "documentation"}}
exec({(DOCS / "quickstart.py.txt").read_text()!r}, space)
processor = Processor(space["GreenTintProcessor"]())
async def main():
    await processor.load()
    tinted = await processor.video(VideoFrame(np.zeros((4, 4, 3), np.uint8)))
    assert tinted.to_bytes() == bytes([0, 80, 0]) * 16
    tinted.to_av()
asyncio.run(main())
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
