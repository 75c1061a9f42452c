"""byoc.json: what an export is, for whoever finds the folder later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pydantic import BaseModel

from byoc_nb import params as params_

MANIFEST = "byoc.json"


def described(target: Any, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """`params`, all values that the export starts with, and `schema`, the JSON schema of them (None without one)."""
    model = getattr(target, "Params", None)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return {"params": dict(chosen), "schema": None}
    frozen = SimpleNamespace(Params=model)
    if chosen:
        params_.start_with(frozen, chosen)  # as the exported program does
    return {"params": params_.as_dict(params_.initial(frozen.Params)), "schema": frozen.Params.model_json_schema()}


def read(folder: Path) -> dict[str, Any]:
    """The manifest of an exported folder; empty where there is none that can be read."""
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def write(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Put it into the folder."""
    text = json.dumps(manifest, indent=2, ensure_ascii=False) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")
