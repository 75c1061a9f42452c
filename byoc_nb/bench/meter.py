"""What a process uses, read from Linux: processor time and memory of it alone, not of its driver."""

from __future__ import annotations

import os
import time
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_SCHED_CLOCK = 2  # of linux/posix-timers.h: the clock that counts what the scheduler gave


class Meter:
    """Watches one running process, and what others take from it. Raises ProcessLookupError once it has ended."""

    def __init__(self, pid: int) -> None:
        self._folder = Path(f"/proc/{pid}")
        self._clock = ~pid << 3 | _SCHED_CLOCK  # MAKE_PROCESS_CPUCLOCK: in nanoseconds, where /proc has hundredths

    def cpu(self) -> float:
        """Processor seconds of all its threads so far, those that ended included."""
        try:
            return time.clock_gettime(self._clock)
        except OSError:
            raise ProcessLookupError("the process has ended") from None

    def elsewhere(self) -> float:
        """Processor seconds so far of all that is neither this process nor the one that runs here, from any zero.

        What a virtual machine's host gave to others is among them.
        """
        fields = Path("/proc/stat").read_text(encoding="ascii").split(maxsplit=9)[1:9]
        user, nice, system, _idle, _iowait, irq, softirq, steal = (int(value) for value in fields)
        return (user + nice + system + irq + softirq + steal) / _TICKS - self.cpu() - time.process_time()

    def memory(self) -> int:
        """Resident bytes now."""
        return int((self._folder / "statm").read_text().split()[1]) * _PAGE

    def peak_memory(self) -> int:
        """The most resident bytes so far."""
        for line in (self._folder / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
        raise ProcessLookupError("the process has ended")
