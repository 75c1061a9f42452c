"""The memory of this process."""

from __future__ import annotations

import mmap
import sys
from types import SimpleNamespace

import numpy as np

from byoc_nb.dashboard.memory import Memory, used


class Large:
    """100 MiB straight from the system: an allocator may have had them already, and may keep them."""

    bytes = 100 << 20

    def __init__(self) -> None:
        self._mapping = mmap.mmap(-1, self.bytes)
        np.frombuffer(self._mapping, np.uint8)[:] = 1

    def release(self) -> None:
        self._mapping.close()


def test_what_is_used_now_and_was_at_most():
    memory = Memory()
    large = Large()
    high = memory.now(0)
    assert high["process"] > large.bytes and high["process_peak"] >= high["process"] * 0.95
    large.release()
    now = memory.now(0)
    assert now["process"] < high["process"] - (50 << 20) and now["process_peak"] >= high["process_peak"]
    assert "reload" not in now


def test_what_a_reload_changed_is_told_against_the_look_before_it():
    memory = Memory()
    memory.now(0)
    large = Large()
    for reloads in (1, 1):
        assert memory.now(reloads)["reload"]["process"] > 50 << 20
    assert abs(memory.now(2)["reload"]["process"]) < 50 << 20
    large.release()


def test_the_gpus_of_torch_count_together(monkeypatch):
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        device_count=lambda: 2,
        memory_allocated=lambda number: 10 + number,
        max_memory_allocated=lambda number: 20 + number,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    assert used()["gpu"] == 21
    now = Memory().now(0)
    assert now["gpu"] == 21 and now["gpu_peak"] == 41
