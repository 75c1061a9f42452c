"""The clip that an export is proven with: what flows through the notebook's stream now, if something does."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from byoc_nb.export.proof import Proof, bundled
from byoc_nb.network.record import RecordError, record
from byoc_nb.runtime.threads import LoopThread

logger = logging.getLogger(__name__)

PROOF_SECONDS = 2.0


def captured(io: LoopThread | None, url: str, tolerance: int) -> Proof:
    """The last seconds of the channel at `url`, read on the thread `io`; the bundled clip without a thread or a URL."""
    if io is not None and url:
        with tempfile.TemporaryDirectory(prefix="byoc-clip-") as folder:
            clip = Path(folder) / "clip.ts"
            try:
                io.run(record(url, clip, PROOF_SECONDS, start=-2, wait=2 * PROOF_SECONDS))
                return Proof(clip.read_bytes(), "captured stream", tolerance)
            except RecordError as error:
                logger.warning("the stream could not be captured, the bundled clip proves the export: %s", error)
    return bundled(tolerance)
