"""What a processor's code asks for."""

import subprocess
import sys
import textwrap

import pytest

from byoc_nb.needs import uses_tensors

BASE = "from byoc_nb import FrameProcessor\nfrom byoc_nb.decorators import video_handler\n"


def made(code, name="Work"):
    space = {"__name__": "cell"}
    exec(BASE + textwrap.dedent(code), space)
    return space[name]


WITH = {
    "the tensor": "class Work(FrameProcessor):\n def process_video(self, f): return f.replace_array(1 - f.tensor)",
    "bytes": "class Work(FrameProcessor):\n async def process_video_async(self, f): return f.tensor_uint8",
    "in a comprehension": "class Work:\n def process_video(self, f): return [x.tensor for x in [f]]",
    "torch itself": "import torch\nclass Work:\n def process_video(self, f): return torch.zeros(1)",
    "a helper": "def help(f): return f.tensor\nclass Work:\n def process_video(self, f): return help(f)",
    "a helper class": "class N:\n def __init__(s, f): s.t = f.tensor\nclass Work:\n def process(self, f): return N(f)",
    "a base": "class Base(FrameProcessor):\n def go(self, f): return f.tensor\nclass Work(Base):\n process = Base.go",
    "a function": "def Work(frame): return frame.tensor",
    "a decorated method": "class Work:\n @video_handler\n def any(self, f): return f.tensor",
    "a static method": "class Work:\n @staticmethod\n def process(f): return f.tensor",
}
WITHOUT = {
    "an array": "class Work(FrameProcessor):\n def process_video(self, f): return f.replace_array(255 - f.array)",
    "nothing": "class Work(FrameProcessor):\n async def process_video_async(self, f): return f",
    "a function": "def Work(frame): return frame",
    "itself": "def a(f): return b(f)\ndef b(f): return a(f)\nclass Work:\n def process(self, f): return a(f)",
}


@pytest.mark.parametrize("code", WITH.values(), ids=WITH)
def test_tensors_are_found(code):
    work = made(code)
    assert uses_tensors(work)
    if isinstance(work, type):
        assert uses_tensors(work())


@pytest.mark.parametrize("code", WITHOUT.values(), ids=WITHOUT)
def test_nothing_is_found_where_none_is_used(code):
    assert not uses_tensors(made(code))


@pytest.mark.parametrize(("code", "loads"), [(WITHOUT["an array"], False), (WITH["the tensor"], True)])
def test_torch_is_loaded_for_those_who_use_it(code, loads):
    program = f"""
import asyncio, sys
space = {{"__name__": "cell"}}
exec({BASE + code!r}, space)
from byoc_nb.dialects import Processor
asyncio.run(Processor(space["Work"]).load())
assert ("torch" in sys.modules) is {loads}
"""
    subprocess.run([sys.executable, "-c", program], check=True)
