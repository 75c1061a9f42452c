"""A picture's trip through the container: when it passed each stage, and what that makes of the latency."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable

STAGES = ("decode", "queue", "process", "encode", "publish")
SAMPLES = 600  # 20 s at 30 fps


class Trip:
    """Times of one picture, in seconds of `time.monotonic()`. Each method notes that a stage is passed."""

    __slots__ = ("_decoded", "_encoded", "_encoding", "_processed", "_processing", "_received")

    def __init__(self, received: float) -> None:
        """`received`: when the last of its bytes came in; it is decoded now."""
        self._received, self._decoded = received, time.monotonic()
        self._processing = self._processed = self._encoding = self._encoded = self._decoded

    def processing(self) -> None:
        self._processing = time.monotonic()

    def processed(self) -> None:
        self._processed = time.monotonic()

    def encoding(self) -> None:
        self._encoding = time.monotonic()

    def encoded(self) -> None:
        self._encoded = time.monotonic()

    def published(self) -> tuple[float, ...]:
        """Seconds spent in each of STAGES; their sum is the latency. Waiting before and after processing is "queue"."""
        return (
            self._decoded - self._received,
            self._processing - self._decoded + self._encoding - self._processed,
            self._processed - self._processing,
            self._encoded - self._encoding,
            time.monotonic() - self._encoded,
        )


class StageTimes:
    """The stage times of the last pictures."""

    def __init__(self) -> None:
        self._trips: deque[tuple[float, ...]] = deque(maxlen=SAMPLES)

    def add(self, seconds: tuple[float, ...]) -> None:
        self._trips.append(seconds)

    def snapshot(self) -> dict[str, object]:
        """Milliseconds, None before the first picture: `latency_ms_p50`, `latency_ms_p99`, `stages_ms` by stage."""
        trips = self._trips.copy()  # in one step, while others add to them
        columns = list(zip(*trips, strict=True)) or [()] * len(STAGES)
        latency = sorted(map(sum, trips))
        return {
            "latency_ms_p50": percentile_ms(latency, 0.50),
            "latency_ms_p99": percentile_ms(latency, 0.99),
            "stages_ms": {
                stage: {"p50": percentile_ms(sorted(column), 0.50), "p99": percentile_ms(sorted(column), 0.99)}
                for stage, column in zip(STAGES, columns, strict=True)
            },
        }


def percentile_ms(ordered: Iterable[float], share: float) -> float | None:
    """The value below which `share` of the ordered seconds lie, in milliseconds; None where there are none."""
    values = list(ordered)
    if not values:
        return None
    return round(values[min(len(values) - 1, int(share * len(values)))] * 1000, 2)
