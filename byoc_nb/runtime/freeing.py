"""The exchange of two processors that don't fit into memory together: one is released before the other is built."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from byoc_nb.frames import VideoFrame
from byoc_nb.runtime.host import HOOK_SECONDS, release_memory
from byoc_nb.runtime.reload import Reload

if TYPE_CHECKING:
    from byoc_nb.runtime.slot import ProcessorSlot


def replace_freed(slot: ProcessorSlot, target: Any, timeout: float | None, why: str) -> Reload:
    """`ProcessorSlot.replace` with the current processor released first; frames pass through meanwhile.

    Where the new one fails, the old one is loaded again, and what was raised is raised.
    """
    began = time.perf_counter()
    with slot.replacing:
        before, old = slot.held(), slot.current
        assert old is not None
        old_target, old_thread = old.processor.target, old.thread
        del old
        slot.replace(_pass_through, timeout)
        slot.accept()
        old_thread.join(HOOK_SECONDS)
        release_memory()
        try:
            reload = slot.replace(target, timeout, held=lambda: before | slot.held(), why=why)
        except BaseException as error:
            try:
                slot.replace(old_target, held=lambda: before | slot.held())
            except Exception as second:
                raise error from second
            raise
        slot.accept()  # there is nothing to go back to but the pass-through
    reload.seconds = time.perf_counter() - began
    return reload


def _pass_through(frame: VideoFrame) -> VideoFrame:
    return frame
