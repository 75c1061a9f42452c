"""The installed byoc_nb as a wheel, for an export that needs neither a checkout nor an index that has it.

Packed from the package's own files and metadata, so it works from a checkout and from an installed wheel alike and
gives the same bytes for the same files.
"""

from __future__ import annotations

import base64
import hashlib
import zipfile
from importlib import metadata
from pathlib import Path

import byoc_nb

_EPOCH = (2020, 1, 1, 0, 0, 0)  # a fixed time in the archive: equal files give an equal wheel
# What hatch_build.py puts beside the package: `import pytrickle` finds byoc_nb, see pytrickle_names.
_ALIAS_MODULE, _ALIAS_PTH = "byoc_nb_pytrickle.py", "byoc_nb_pytrickle.pth"


def write_wheel(folder: Path) -> Path:
    """Write `byoc_nb-<version>-py3-none-any.whl` into the folder and return its path.

    Raises PackageNotFoundError where byoc_nb is imported from a folder that was never installed.
    """
    package = Path(byoc_nb.__file__).parent
    version, here = byoc_nb.__version__, len(package.parts)
    info = f"byoc_nb-{version}.dist-info"
    files = {
        f"byoc_nb/{path.relative_to(package).as_posix()}": path.read_bytes()
        for path in sorted(package.rglob("*"))
        if path.is_file() and not any(part == "__pycache__" or part.startswith(".") for part in path.parts[here:])
    }
    files[_ALIAS_MODULE] = files["byoc_nb/pytrickle_names.py"]
    files[_ALIAS_PTH] = files["byoc_nb/pytrickle.pth"]
    files[f"{info}/METADATA"] = (metadata.distribution("byoc_nb").read_text("METADATA") or "").encode()
    files[f"{info}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: byoc_nb\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    record = "".join(f"{name},{_digest(data)},{len(data)}\n" for name, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    target = folder / f"byoc_nb-{version}-py3-none-any.whl"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, data)
    return target


def _digest(data: bytes) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
