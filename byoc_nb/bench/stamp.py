"""A number burned into a picture, read back from what a codec and a processor made of it.

A strip of black and white cells in the upper left corner: one white and one black cell that say how bright and which
way round the picture is, 16 bits, and a checksum. It survives x264, RGB and back, and being turned into its negative.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import av
import numpy as np

BITS = 16
MAX_NUMBER = 2**BITS - 1
_CHECK_BITS = 4
_CELLS = 2 + BITS + _CHECK_BITS  # white, black, the bits from the lowest up, those of the checksum
_STRIP = 32  # pixels high: two rows of macroblocks
_WHITE, _BLACK, _GREY = 190, 60, 128  # not the extremes, which would cost the encoder more than a real picture does
_CONTRAST = 40  # less between white and black is no strip


class Stamp(NamedTuple):
    """What a picture shows: its number, and whether the picture is a negative."""

    number: int
    negative: bool


def burn(picture: av.VideoFrame, number: int) -> av.VideoFrame:
    """A yuv420p copy of the picture that shows the number, 0 to 65535."""
    planes: Any = picture.to_ndarray(format="yuv420p")
    width, height = picture.width, picture.height
    word = number | _checksum(number) << BITS
    cell = width // _CELLS
    for index, value in enumerate([1, 0, *(word >> bit & 1 for bit in range(BITS + _CHECK_BITS))]):
        planes[:_STRIP, index * cell : (index + 1) * cell] = _WHITE if value else _BLACK
    for start in (height, height + height // 4):  # U and V, a quarter of the picture's bytes each
        chroma = planes[start : start + height // 4].reshape(height // 2, width // 2)
        chroma[: _STRIP // 2, : _CELLS * cell // 2] = _GREY
    return av.VideoFrame.from_ndarray(planes, format="yuv420p")


def read(picture: av.VideoFrame) -> Stamp | None:
    """The number in a picture with a luma plane; None where there is none that could be read."""
    plane: Any = picture.planes[0]
    luma = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    cell = picture.width // _CELLS
    inner = luma[_STRIP // 4 : _STRIP * 3 // 4, : _CELLS * cell].reshape(-1, _CELLS, cell)
    levels = inner[:, :, cell // 4 : cell - cell // 4].mean(axis=(0, 2))
    white, black = float(levels[0]), float(levels[1])
    if abs(white - black) < _CONTRAST:
        return None
    bits = [int((level > (white + black) / 2) == (white > black)) for level in levels[2:]]
    word = sum(bit << index for index, bit in enumerate(bits))
    number = word & MAX_NUMBER
    return Stamp(number, white < black) if word >> BITS == _checksum(number) else None


def _checksum(number: int) -> int:
    """The sum of the number's nibbles, each with a weight of its own, so that cells that are swapped show too."""
    return sum((number >> 4 * place & 15) * (2 * place + 1) for place in range(4)) + 5 & 15
