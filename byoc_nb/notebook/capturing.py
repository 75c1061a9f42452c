"""The clip that an export is proven with: what flows through the notebook's stream now, if something does."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from byoc_nb.export.proof import Proof, bundled
from byoc_nb.network.record import RecordError, record
from byoc_nb.notebook.serving import Serving

logger = logging.getLogger(__name__)

PROOF_SECONDS = 2.0


def captured(serving: Serving | None, tolerance: int) -> Proof:
    """The last seconds of what is streamed in; the bundled clip without a stream."""
    if serving is not None:
        with tempfile.TemporaryDirectory(prefix="byoc-clip-") as folder:
            clip = Path(folder) / "clip.ts"
            try:
                serving.run(record(serving.urls["input"], clip, PROOF_SECONDS, start=-2, wait=2 * PROOF_SECONDS))
                return Proof(clip.read_bytes(), "captured stream", tolerance)
            except RecordError as error:
                logger.warning("the stream could not be captured, the bundled clip proves the export: %s", error)
    return bundled(tolerance)
