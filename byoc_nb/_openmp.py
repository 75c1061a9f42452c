"""How OpenMP's threads wait, which decides whether torch leaves the codecs any time to run.

GNU OpenMP, which torch brings, lets its threads spin for a while after each operation. Beside a decoder and an encoder
on a small machine that is ruinous: on two cores a tensor operation on 1280x720 ran at 8 frames per second with
spinning threads, at the stream's 25 with sleeping ones. The library reads its setting once, when it is loaded.
"""

from __future__ import annotations

import os
import sys

_SETTING = "OMP_WAIT_POLICY"
_sleeps = False


def prefer_sleep() -> None:
    """Ask for sleeping threads, unless the user chose otherwise; has an effect only before torch is imported."""
    global _sleeps  # noqa: PLW0603  # the environment is process-wide too
    if "torch" not in sys.modules:
        os.environ.setdefault(_SETTING, "PASSIVE")
    _sleeps = os.environ.get(_SETTING, "").upper() == "PASSIVE"


def leave_cores_free() -> None:
    """Where torch was loaded with spinning threads: let this thread's operations use half of the cores only."""
    if not _sleeps and "torch" in sys.modules:
        import torch

        torch.set_num_threads(min(torch.get_num_threads(), max(1, (os.cpu_count() or 2) // 2)))
