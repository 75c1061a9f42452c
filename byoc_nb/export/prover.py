"""The exported side of a proof, in a process of its own: `python -m byoc_nb.export.prover NAME COUNT CLIP PICTURES`.

Runs in the exported folder; imports its `processor.py`, sends COUNT frames of CLIP through its NAME, with the
parameters that the program starts it with, and writes the pictures into PICTURES. Standard output is the outcomes as
JSON; what the program prints goes to standard error.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

from byoc_nb.export.replay import replay


def main(name: str, count: str, clip: str, pictures: str) -> None:
    """The whole of it."""
    with contextlib.redirect_stdout(sys.stderr):
        program = importlib.import_module("processor")
        params = getattr(program, "_BYOC_PARAMS", None)
        clip_bytes = Path(clip).read_bytes()
        outcomes = replay(getattr(program, name), clip_bytes, Path(pictures), params=params, count=int(count))
    print(json.dumps(list(map(asdict, outcomes))))  # noqa: T201


if __name__ == "__main__":
    main(*sys.argv[1:])
