"""Programs of pytrickle's as cells."""

from __future__ import annotations

from notebook_kit import Notebook

FUNCTIONS = """%%byoc
from pytrickle import StreamProcessor

async def tint(frame): return frame
async def change(params): pass

if __name__ == "__main__":
    StreamProcessor(video_processor=tint, param_updater=change).run()
"""
HANDLERS = """%%byoc
from pytrickle import FrameSkipConfig, StreamProcessor
from pytrickle.decorators import video_handler

class Handlers:
    @video_handler
    async def picture(self, frame): return frame

processor = StreamProcessor.from_handlers(Handlers(), frame_skip_config=FrameSkipConfig())

if __name__ == "__main__":
    processor.run()
"""


def test_functions_of_which_only_one_would_be_found_are_refused_though_the_main_block_is_left_out(
    notebook: Notebook,
) -> None:
    said = notebook.refused(FUNCTIONS)
    assert said.startswith("StreamProcessor is given the functions tint, change; a processor here is one class: make")


def test_the_class_beside_a_stream_processor_is_the_cells_processor(notebook: Notebook) -> None:
    assert "Handlers is ready" in notebook.run(HANDLERS)
