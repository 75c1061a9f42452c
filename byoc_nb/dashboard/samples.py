"""How a stream's figures went: a sample twice a second, of the last ten minutes."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, overload

SAMPLES = 1200


class Sample(NamedTuple):
    """The figures at one moment; None where there was no stream, or no frame lately."""

    at: float  # seconds since 1970
    fps_in: float | None
    fps_out: float | None
    latency_ms_p50: float | None
    latency_ms_p99: float | None
    process_ms_p50: float | None
    process_ms_p99: float | None
    frames_dropped: int  # since the stream began
    reloads: int  # since the processor was loaded
    process_bytes: int | None  # memory of this process
    gpu_bytes: int | None  # allocated by torch; None without a GPU

    @classmethod
    def of(cls, message: dict[str, Any], at: float) -> Sample:
        """The sample of a message `stats` (see `subject.Figures`)."""
        stream = message if message["state"] == "running" else {}
        process, memory = stream.get("stages_ms", {}).get("process", {}), message.get("memory", {})
        return cls(
            at,
            fps_in=stream.get("fps_in"),
            fps_out=stream.get("fps_out"),
            latency_ms_p50=stream.get("latency_ms_p50"),
            latency_ms_p99=stream.get("latency_ms_p99"),
            process_ms_p50=process.get("p50"),
            process_ms_p99=process.get("p99"),
            frames_dropped=message.get("frames_dropped", 0),
            reloads=message.get("reloads", 0),
            process_bytes=memory.get("process"),
            gpu_bytes=memory.get("gpu"),
        )


class Samples(Sequence[Sample]):
    """The samples so far, oldest first. One thread adds; any thread reads, and gets them as they are then."""

    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=SAMPLES)

    def add(self, message: dict[str, Any]) -> None:
        """What is told now."""
        self._samples.append(Sample.of(message, time.time()))

    def __len__(self) -> int:
        return len(self._samples)

    def __iter__(self) -> Iterator[Sample]:
        return iter(self._samples.copy())

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...
    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        return list(self._samples.copy())[index]
