"""The exported side of a proof on pytrickle, in a Python that has it and no byoc_nb: `python -c TEXT FRAMES PICTURES`.

Runs in the exported folder; sends the RGB24 pictures of FRAMES through the processor as pytrickle's server has it, and
writes what pytrickle would encode into PICTURES. Standard output is the outcomes as JSON, as `byoc_nb.export.prover`
gives them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib
import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any


async def outcomes(given: Path, pictures: Path) -> list[dict[str, Any]]:
    """What becomes of each frame."""
    torch, upstream = importlib.import_module("torch"), importlib.import_module("pytrickle")
    processor = importlib.import_module("processor")._byoc_server().frame_processor
    await processor.ensure_model_loaded()
    if hasattr(processor, "on_stream_start"):
        await processor.on_stream_start({})
    found: list[dict[str, Any]] = []
    with given.open("rb") as source, pictures.open("wb") as target:
        for width, height, timestamp, over, under in json.loads(given.with_suffix(".json").read_text()):
            pixels = torch.frombuffer(bytearray(source.read(width * height * 3)), dtype=torch.uint8)
            tensor = pixels.reshape(1, height, width, 3).float() / 255.0
            try:
                frame = upstream.VideoFrame.from_av_video(tensor, timestamp, Fraction(over, under))
                made = await processor.process_video_async(frame)
                array = None if made is None else made.to_av_frame(made.tensor).to_ndarray(format="rgb24")
            except Exception as error:
                found.append({"error": f"{type(error).__name__}: {error}"})
                continue
            if array is None:
                found.append({})
                continue
            data, offset = array.tobytes(), target.tell()
            target.write(data)
            digest = hashlib.sha256(data).hexdigest()
            found.append({"width": array.shape[1], "height": array.shape[0], "digest": digest, "offset": offset})
    if hasattr(processor, "on_stream_stop"):
        await processor.on_stream_stop()
    return found


def main(given: str, pictures: str) -> None:
    """The whole of it."""
    with contextlib.redirect_stdout(sys.stderr):
        sys.path.insert(0, str(Path.cwd()))
        said = asyncio.run(outcomes(Path(given), Path(pictures)))
    print(json.dumps(said))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
