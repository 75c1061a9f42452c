"""Put files into the wheel a second time.

`byoc_nb/pytrickle_names.py` as a top-level module with its .pth file, so that `import pytrickle` finds byoc_nb where
pytrickle is missing; `kernels/byoc` as `byoc_nb/kernel`, for `byoc-nb kernelspec install`. hatchling's own
`force-include` would move the files instead of copying them, so it is given copies from outside of the project.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

KERNEL = ("kernel.json", "logo-32x32.png", "logo-64x64.png", "logo-svg.svg")
COPIES = {
    "byoc_nb/pytrickle_names.py": "byoc_nb_pytrickle.py",
    "byoc_nb/pytrickle.pth": "byoc_nb_pytrickle.pth",
    **{f"kernels/byoc/{name}": f"byoc_nb/kernel/{name}" for name in KERNEL},
}


class CopyHook(BuildHookInterface):  # type: ignore[misc,type-arg]
    """Runs around every build of a wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the copies and name them."""
        self._folder = Path(tempfile.mkdtemp(prefix="byoc-build-"))
        for source, target in COPIES.items():
            copy = self._folder / target
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(self.root) / source, copy)
            build_data["force_include"][str(copy)] = target

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the copies."""
        shutil.rmtree(self._folder)
