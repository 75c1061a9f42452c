"""Pictures scaled to cover a size, the middle cut out: what go-livepeer's `width` and `height` parameters ask for."""

from __future__ import annotations

from typing import Any

import av
from av.filter import Graph

from byoc_nb.frames import MPEG_TIME_BASE
from byoc_nb.frames.colors import BT709, Color, color_of


class Cover:
    """Scales and crops frames to one size (width, height in pixels), whatever sizes come in; stays in YUV."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = (size[0] & ~1, size[1] & ~1)  # yuv420p has no odd sizes
        self._made_for: tuple[int, int, str, Color] | None = None
        self._graph: Any = None

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        if (frame.width, frame.height) == self.size:
            return frame
        color = color_of(frame)
        shape = (frame.width, frame.height, frame.format.name, color)
        if shape != self._made_for:
            self._graph, self._made_for = self._build(frame, color), shape
        self._graph.push(frame)
        result: av.VideoFrame = self._graph.pull()
        result.pts, result.time_base = frame.pts, frame.time_base or MPEG_TIME_BASE
        # How untagged samples are read goes by the picture's size, which is another one now: so say it
        result.colorspace, result.color_range = color.matrix, color.range
        return result

    def _build(self, frame: av.VideoFrame, color: Color) -> Any:
        width, height = self.size
        graph = Graph()
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base or MPEG_TIME_BASE
        )
        matrix, range_ = "bt709" if color.matrix == BT709 else "bt601", "full" if color.full_range else "limited"
        scale = graph.add(
            "scale",
            f"{width}:{height}:force_original_aspect_ratio=increase:force_divisible_by=2:flags=bicubic"
            # said twice: left alone, the filter converts what is tagged to what it takes for the default
            f":in_color_matrix={matrix}:out_color_matrix={matrix}:in_range={range_}:out_range={range_}",
        )
        crop = graph.add("crop", f"{width}:{height}")
        graph.link_nodes(source, scale, crop, graph.add("buffersink")).configure()
        return graph
