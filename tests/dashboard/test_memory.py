"""The memory of this process."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import numpy as np

from byoc_nb.dashboard.memory import Memory, used


def test_what_is_used_now_and_was_at_most():
    memory = Memory()
    large = np.ones(100 << 20, np.uint8)
    high = memory.now(0)
    assert high["process"] > large.nbytes and high["process_peak"] >= high["process"] * 0.95
    del large
    now = memory.now(0)
    assert now["process"] < high["process"] - (50 << 20) and now["process_peak"] >= high["process_peak"]
    assert "reload" not in now


def test_what_a_reload_changed_is_told_against_the_look_before_it():
    memory = Memory()
    memory.now(0)
    large = np.ones(100 << 20, np.uint8)
    for reloads in (1, 1):
        assert memory.now(reloads)["reload"]["process"] > 50 << 20
    assert abs(memory.now(2)["reload"]["process"]) < 50 << 20
    assert large.nbytes == 100 << 20


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
