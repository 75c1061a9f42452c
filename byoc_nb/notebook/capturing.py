"""The clip that an export is proven with: what flows through the notebook's stream now, if something does."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from byoc_nb.export.proof import Proof, bundled
from byoc_nb.network.record import RecordError, record
from byoc_nb.notebook.serving import Serving

PROOF_SECONDS = 2.0
WAIT_SECONDS = 15.0  # for a picture, where the machine is busy


def captured(serving: Serving | None, tolerance: int) -> Proof:
    """The last seconds of what is streamed in; the bundled clip without a stream."""
    if serving is not None:
        with tempfile.TemporaryDirectory(prefix="byoc-clip-") as folder:
            clip = Path(folder) / "clip.ts"
            try:
                serving.run(record(serving.urls["input"], clip, PROOF_SECONDS, start=-2, wait=WAIT_SECONDS))
                return Proof(clip.read_bytes(), "captured stream", tolerance)
            except RecordError as error:
                return replace(bundled(tolerance), source=f"bundled clip (the stream could not be captured: {error})")
    return bundled(tolerance)
