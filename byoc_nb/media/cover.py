"""Pictures scaled to cover a size, the middle cut out: what go-livepeer's `width` and `height` parameters ask for."""

from __future__ import annotations

from typing import Any

import av
from av.filter import Graph


class Cover:
    """Scales and crops frames to one size (width, height in pixels), whatever sizes come in; stays in YUV."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = (size[0] & ~1, size[1] & ~1)  # yuv420p has no odd sizes
        self._made_for: tuple[int, int, str] | None = None
        self._graph: Any = None

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        if (frame.width, frame.height) == self.size:
            return frame
        shape = (frame.width, frame.height, frame.format.name)
        if shape != self._made_for:
            self._graph, self._made_for = self._build(frame), shape
        self._graph.push(frame)
        result: av.VideoFrame = self._graph.pull()
        result.pts, result.time_base = frame.pts, frame.time_base
        return result

    def _build(self, frame: av.VideoFrame) -> Any:
        width, height = self.size
        graph = Graph()
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
        )
        scale = graph.add(
            "scale", f"{width}:{height}:force_original_aspect_ratio=increase:force_divisible_by=2:flags=bicubic"
        )
        crop = graph.add("crop", f"{width}:{height}")
        graph.link_nodes(source, scale, crop, graph.add("buffersink")).configure()
        return graph
