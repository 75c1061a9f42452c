"""byoc_nb: hot-reload Livepeer BYOC frame processors in JupyterLab while video runs, freeze them into containers.

These are the names that a processor needs. `%load_ext byoc_nb` in a notebook adds the `%byoc` magic.
"""

from __future__ import annotations

__version__ = "0.1.0"

from byoc_nb import _openmp

_openmp.prefer_sleep()  # before anything below could import torch

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from byoc_nb.dialects import VideoProcessingResult
from byoc_nb.errors import ByocError
from byoc_nb.frames import AudioFrame, VideoFrame
from byoc_nb.processor import FrameProcessor
from byoc_nb.runtime.server import StreamServer, run_processor

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from byoc_nb.notebook.workbench import Workbench

    workbench: Workbench

__all__ = [
    "AudioFrame",
    "BaseModel",
    "ByocError",
    "Field",
    "FrameProcessor",
    "StreamServer",
    "VideoFrame",
    "VideoProcessingResult",
    "run_processor",
]


def __getattr__(name: str) -> Any:
    """`byoc_nb.workbench`: what the magics of this notebook drive, and programs without magics."""
    if name != "workbench":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from byoc_nb.notebook import extension

    return extension.here()


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext byoc_nb`: register the magic and put the processor's names where they are free."""
    from byoc_nb.notebook import extension

    extension.load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """`%unload_ext byoc_nb`: stop every thread, free every port, take the magic away."""
    from byoc_nb.notebook import extension

    extension.unload(shell)
