"""`/metrics`: the container's figures in Prometheus' text format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from byoc_nb.runtime.server import StreamServer

_STATES = ("LOADING", "IDLE", "OK", "ERROR")


def render(server: StreamServer, accept: str = "") -> tuple[bytes, str]:
    """The figures of the server and of its newest stream, and their content type, one that `accept` names if it can be.

    A stream's counters begin at 0 when it begins.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Figures(server))
    encoder, content_type = choose_encoder(accept)
    return encoder(registry), content_type


class _Figures(Collector):
    def __init__(self, server: StreamServer) -> None:
        self._server = server

    def collect(self) -> Iterator[Metric]:
        server = self._server
        state = GaugeMetricFamily("byoc_state", "1 for the state that the container is in", labels=["state"])
        for name in _STATES:
            state.add_metric([name], float(server.state == name))
        yield state
        yield CounterMetricFamily("byoc_reloads", "Processors swapped in", value=server.slot.reloads)
        if server.session is None:
            return
        figures = server.session.stats.snapshot()
        frames = CounterMetricFamily("byoc_frames", "Video frames of the stream", labels=["direction"])
        sounds = CounterMetricFamily("byoc_audio_frames", "Audio frames of the stream", labels=["direction"])
        rate = GaugeMetricFamily("byoc_frames_per_second", "Over the last two seconds", labels=["direction"])
        for direction in ("in", "out"):
            frames.add_metric([direction], figures[f"frames_{direction}"])
            sounds.add_metric([direction], figures[f"audio_{direction}"])
            rate.add_metric([direction], figures[f"fps_{direction}"])
        drops = CounterMetricFamily(
            "byoc_frames_dropped", "Video frames of the stream that were lost", labels=["cause"]
        )
        for cause, count in figures["drops"].items():
            drops.add_metric([cause], count)
        latency = GaugeMetricFamily(
            "byoc_latency_seconds", "From a frame's last byte in to its bytes out", labels=["quantile"]
        )
        for quantile, name in (("0.5", "latency_ms_p50"), ("0.99", "latency_ms_p99")):
            if figures[name] is not None:
                latency.add_metric([quantile], figures[name] / 1000)
        stages = GaugeMetricFamily(
            "byoc_stage_seconds", "What a frame's latency is made of", labels=["stage", "quantile"]
        )
        for stage, times in figures["stages_ms"].items():
            for quantile, name in (("0.5", "p50"), ("0.99", "p99")):
                if times[name] is not None:
                    stages.add_metric([stage, quantile], times[name] / 1000)
        yield from (frames, sounds, rate, drops, latency, stages)
        yield CounterMetricFamily("byoc_errors", "Errors of the stream", value=figures["errors"])
