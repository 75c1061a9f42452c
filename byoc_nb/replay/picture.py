"""The picture of a difference: one side, the other, and what lies between them, amplified."""

from __future__ import annotations

import io

import numpy as np

from byoc_nb.replay.outcomes import Picture

HEIGHT, WIDTH = 270, 480  # that each of the three is fitted into
LABEL, GAP = 20, 6
MOST = 32  # times a difference is amplified


def difference(pair: tuple[Picture, Picture], names: tuple[str, str], frame: int, seconds: float) -> bytes:
    """PNG bytes: two pictures of one size and their difference, with what they are above each."""
    from PIL import Image, ImageDraw, ImageFont

    a, b = pair[0].rgb, pair[1].rgb
    apart = np.abs(a.astype(np.int16) - b)
    greatest = int(apart.max())
    times = max(1, min(MOST, 255 // greatest)) if greatest else 1
    between = np.minimum(apart * times, 255).astype(np.uint8)
    scale = min(1.0, HEIGHT / a.shape[0], WIDTH / a.shape[1])
    size = max(1, round(a.shape[1] * scale)), max(1, round(a.shape[0] * scale))
    column = max(size[0], 200)
    canvas = Image.new("RGB", (3 * column + 2 * GAP, size[1] + LABEL), "white")
    font = ImageFont.load_default(13)
    what = f"difference x {times}" if greatest else "no difference"
    labels = (f"{names[0]}, frame {frame} at {seconds:.2f} s", names[1], what)
    for place, (label, rgb) in enumerate(zip(labels, (a, b, between), strict=True)):
        left = place * (column + GAP)
        tile = Image.new("RGB", (column, LABEL), "white")
        ImageDraw.Draw(tile).text((2, 0), label, fill="black", font=font)
        canvas.paste(tile, (left, 0))  # a long name ends with its column
        canvas.paste(Image.fromarray(rgb).resize(size), (left, LABEL))
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG")
    return buffer.getvalue()
