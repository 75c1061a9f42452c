"""Which definition of a cell or a file is its processor."""

from __future__ import annotations

from typing import Any

import pytest

import byoc_nb
from byoc_nb import decorators
from byoc_nb.find import FindError, find_processor

METHOD = "    def process_video(self, frame): return frame\n"


def found(code: str, wanted: str = "") -> str:
    namespace: dict[str, Any] = {"FrameProcessor": byoc_nb.FrameProcessor, "video_handler": decorators.video_handler}
    exec(code, namespace)
    name, target = find_processor(code, namespace, wanted)
    assert namespace[name] is target
    return name


def refused(code: str, wanted: str = "") -> str:
    with pytest.raises(FindError) as caught:
        found(code, wanted)
    assert "\n" not in caught.value.one_line()
    return caught.value.one_line()


@pytest.mark.parametrize(
    "code",
    [
        f"class P(FrameProcessor):\n{METHOD}",
        f"class P:\n{METHOD}",
        "class P:\n    @video_handler\n    def any(self, frame): return frame\n",
        "def P(frame: 'VideoFrame'): return frame\n",
        "def P(frame: bytes) -> bytes: return frame\n",
        "def P(frame): return frame\n",
        "async def P(frame, amount=2): return frame\n",
        "async def P(frame: bytes) -> bytes: return frame\n",
        "@video_handler\ndef P(frame): return frame\n",
        f"if True:\n    class P:\n    {METHOD}",
        f"try:\n    import unheard_of_module\nexcept ImportError:\n    class P:\n    {METHOD}",
        f"import contextlib\nwith contextlib.nullcontext():\n    class P:\n    {METHOD}",
    ],
)
def test_a_lone_processor_is_found(code: str) -> None:
    assert found(code) == "P"


@pytest.mark.parametrize(
    "code",
    [
        f"class Base(FrameProcessor):\n{METHOD}class P(Base): pass\n",
        f"class P(FrameProcessor):\n{METHOD}class Helper:\n{METHOD}",
        f"class P(FrameProcessor):\n{METHOD}def process(frame): return frame\n",
        f"class P:\n{METHOD}def process(frame): return frame\n",
        f"class P:\n{METHOD}class Model:\n    def forward(self, x): return x\n",
        f"class P:\n    class Other:\n    {METHOD}{METHOD}",
        f"def make():\n    class Other:\n    {METHOD}    return Other\nclass P:\n{METHOD}",
        f"class P:\n    pass\nclass P:\n{METHOD}",
    ],
)
def test_the_better_candidate_is_taken(code: str) -> None:
    assert found(code) == "P"


def test_a_cell_without_a_processor_is_told_what_one_has() -> None:
    assert "this cell holds no processor: it needs a class with process_video_async(self, frame)" in refused("x = 1\n")
    assert "no processor" in refused("class P(FrameProcessor):\n    def forward(self, x): return x\n")


def test_two_processors_are_both_named_and_one_can_be_chosen() -> None:
    code = f"class P(FrameProcessor):\n{METHOD}class Q(FrameProcessor):\n{METHOD}"
    assert refused(code) == "this cell holds 2 processors, P and Q: choose: %%byoc --name P"
    assert found(code, "Q") == "Q"
    assert found(code, "P") == "P"


def test_the_base_of_another_processor_can_be_chosen() -> None:
    code = f"class Base(FrameProcessor):\n{METHOD}class P(Base): pass\n"
    assert found(code, "Base") == "Base"


def test_a_chosen_name_that_isnt_there_or_takes_no_frames_is_told() -> None:
    code = f"class P:\n{METHOD}class Model: pass\n"
    assert refused(code, "Q") == "Q is not defined in this cell"
    assert refused(code, "Model").startswith("Model can't take frames: a processor has process_video_async")


def test_a_processor_that_the_cell_deleted_is_none() -> None:
    assert "no processor" in refused(f"class P:\n{METHOD}del P\n")


@pytest.mark.parametrize(
    "start",
    [
        "processor = StreamProcessor(video_processor=tint, param_updater=change, name='tint')",
        "def main(): return pytrickle.StreamProcessor(tint, None, None, change)",
        "if __name__ == '__main__':\n    StreamProcessor(video_processor=tint, param_updater=change).run()",
    ],
)
def test_functions_that_belong_together_are_told_to_become_a_class(start: str) -> None:
    code = (
        f"StreamProcessor = lambda **given: given\ndef tint(frame): return frame\ndef change(params): pass\n{start}\n"
    )
    assert refused(code).startswith(
        "StreamProcessor is given the functions tint, change; a processor here is one class: make them"
    )


def test_a_lone_function_of_a_stream_processor_is_a_processor_as_any() -> None:
    code = "def tint(frame): return frame\ndef main(): StreamProcessor(video_processor=tint, name='tint').run()\n"
    assert found(code) == "tint"


def test_beside_a_class_the_functions_of_a_stream_processor_are_left_alone() -> None:
    functions = "def tint(frame): return frame\ndef change(params): pass\n"
    code = f"class P:\n{METHOD}{functions}def main(): StreamProcessor(tint, None, None, change)\n"
    assert found(code) == "P"
