"""The memory that this process takes: now, at most so far, and what the last reload has changed."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Any

_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes


class Memory:
    """Looked at from time to time, since what a reload changes is told against the look before it."""

    def __init__(self) -> None:
        self._reloads = 0
        self._last: dict[str, int] = {}
        self._before: dict[str, int] = {}  # the last reload

    def now(self, reloads: int) -> dict[str, Any]:
        """Bytes: `process` and `process_peak`, `gpu` and `gpu_peak` where torch uses one; after a reload also
        `reload`, the change of `process` and `gpu` since before it."""
        now = used()
        if reloads != self._reloads:
            self._reloads, self._before = reloads, self._last or now
        self._last = now
        peaks = {"process_peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT}
        if "gpu" in now:
            peaks["gpu_peak"] = _gpu("max_memory_allocated")
        if not self._before:
            return now | peaks
        return now | peaks | {"reload": {name: value - self._before.get(name, 0) for name, value in now.items()}}


def used() -> dict[str, int]:
    """Bytes now: `process`, and `gpu` (allocated by torch, on all GPUs) where torch uses one."""
    found: dict[str, int] = {}
    statm = Path("/proc/self/statm")
    if statm.exists():
        found["process"] = int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        found["gpu"] = _gpu("memory_allocated")
    return found


def _gpu(figure: str) -> int:
    cuda: Any = sys.modules["torch"].cuda
    return sum(int(getattr(cuda, figure)(number)) for number in range(cuda.device_count()))
