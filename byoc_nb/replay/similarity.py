"""How alike two pictures are: PSNR and ffmpeg's SSIM, over the samples of Y, U and V."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import NamedTuple

import av
import av.filter
import numpy as np

from byoc_nb.replay.outcomes import Picture

PEAK = 255.0
LEAST = 16  # pixels of a side that the windows of SSIM need in the planes of colour


class Similarity(NamedTuple):
    """`mse` and `difference` (the greatest of any sample) in steps of 255; `ssim` is 1 for equal
    pictures, nan for those below 16x16."""

    mse: float
    ssim: float
    difference: int

    @property
    def psnr(self) -> float:
        """In dB; infinite for equal pictures."""
        return psnr(self.mse)


def psnr(mse: float) -> float:
    """Peak signal-to-noise ratio in dB of a mean squared error of 8-bit samples."""
    return 10 * math.log10(PEAK**2 / mse) if mse else math.inf


class Meter:
    """Compares pictures of one size."""

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size
        self._graph = graph = av.filter.Graph()
        (width, height), layout = size, av.VideoFormat("yuv420p")
        self._a, self._b = (
            graph.add_buffer(width=width, height=height, format=layout, time_base=Fraction(1, 25)) for _ in range(2)
        )
        structure = graph.add("ssim")
        self._sink = graph.add("buffersink")
        self._a.link_to(structure, 0, 0)
        self._b.link_to(structure, 0, 1)
        structure.link_to(self._sink)
        graph.configure()
        self._count = 0

    def measure(self, a: Picture, b: Picture) -> Similarity:
        """Compare two pictures, whose samples alone count."""
        both = a.samples, b.samples
        for source, samples in zip((self._a, self._b), both, strict=True):
            frame = av.VideoFrame.from_ndarray(samples, format="yuv420p")
            frame.pts, frame.time_base = self._count, Fraction(1, 25)
            source.push(frame)
        self._count += 1
        found = self._sink.pull().metadata
        apart = np.abs(both[0].astype(np.int16) - both[1])
        mse = np.square(apart, dtype=np.float32).mean(dtype=np.float64)
        ssim = float(found["lavfi.ssim.All"]) if min(self.size) >= LEAST else math.nan
        return Similarity(float(mse), ssim, int(apart.max()))
