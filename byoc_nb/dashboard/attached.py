"""A container elsewhere as the subject of a dashboard."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from byoc_nb.dashboard.fields import fields
from byoc_nb.dashboard.pictures import Pair
from byoc_nb.errors import ByocError
from byoc_nb.network.container import Refused
from byoc_nb.network.remote import RemoteNetwork

_TOLD: dict[str, TypeAdapter[Any]] = {  # what can't be seen from here, as far as it has its form
    "frames_dropped": TypeAdapter(int),
    "drops": TypeAdapter(dict[str, int]),
    "stages_ms": TypeAdapter(dict[str, dict[str, float | None]]),
    "errors": TypeAdapter(int),
    "last_error": TypeAdapter(str | None),
    "last_error_time": TypeAdapter(float),
}
KEEPS_UP = 0.9  # of the pictures that come in


class Attached:
    """What is known of the container of `remote`, and set there."""

    def __init__(self, remote: RemoteNetwork) -> None:
        self.controls, self.figures = _Controls(remote), _Figures(remote)
        self._remote = remote

    @property
    def newest(self) -> Pair | None:
        """The last picture before and after processing."""
        return self._remote.watching.newest

    def in_frame(self) -> bool:
        """Never: its processor works elsewhere."""
        return False


class _Controls:
    """The parameters that the container declares, or a raw mapping."""

    def __init__(self, remote: RemoteNetwork) -> None:
        self._remote = remote
        self._values: dict[str, Any] = {}

    def all(self) -> dict[str, Any]:
        found = None
        with contextlib.suppress(Exception):  # whatever the container takes for a schema
            found = fields(self._remote.schema) if self._remote.schema else None
        return {"type": "params", "fields": found, "values": self._remote.values}

    def look(self) -> dict[str, Any] | None:
        values = dict(self._remote.values)
        if values == self._values:
            return None
        self._values = values
        return {"type": "values", "values": values}

    async def change(self, number: int, changes: Mapping[str, Any]) -> dict[str, Any]:
        errors: dict[str, str] = {}
        try:
            await self._remote.change(dict(changes))
        except Refused as error:
            errors = error.errors or dict.fromkeys(changes, str(error))
        except ByocError as error:
            errors = dict.fromkeys(changes, error.one_line())
        return {"type": "changed", "number": number, "errors": errors, "values": self._remote.values}


class _Figures:
    """What is measured here, and what the container tells beside it."""

    def __init__(self, remote: RemoteNetwork) -> None:
        self._remote = remote

    def now(self) -> dict[str, Any]:
        remote = self._remote
        figures = snapshot(remote)
        fps = figures["fps_in"]
        return figures | {
            "type": "stats",
            "processor": remote.container.url,
            "memory": {},
            "budget_ms": round(1000 / fps, 1) if fps else None,
            "verdict": _verdict(figures) if remote.active else {"text": figures["state"], "good": not remote.ended},
            "error": _error(remote.status),
        }


def snapshot(remote: RemoteNetwork) -> dict[str, Any]:
    """The figures of a stream: `state`, and those of `StreamStats.snapshot`, the container's own where it tells them.

    The latency is measured here, from a picture's decoding on the way in to that on the way out.
    """
    watching, told = remote.watching, remote.status
    measured = watching.stats.snapshot()
    return {
        **measured,
        **_own(told),
        "state": "running" if remote.active else "ended" if remote.ended else "waiting",
        "reason": remote.ended,
        "latency_ms_p50": watching.latency(0.5),
        "latency_ms_p99": watching.latency(0.99),
    }


def _own(told: Mapping[str, Any]) -> dict[str, Any]:
    """The figures that a container tells of itself."""
    own: dict[str, Any] = {}
    for name, kind in _TOLD.items():
        with contextlib.suppress(ValidationError):
            own |= {name: kind.validate_python(told[name], strict=True)} if name in told else {}
    return own


def _verdict(figures: dict[str, Any]) -> dict[str, Any]:
    fps_in, fps_out = figures["fps_in"], figures["fps_out"]
    if not fps_in:
        return {"text": "no picture goes in", "good": False}
    good = fps_out >= KEEPS_UP * fps_in
    return {"text": f"{'keeps up' if good else 'too slow'}: {fps_out:.0f} of {fps_in:.0f} fps come back", "good": good}


def _error(status: Mapping[str, Any]) -> dict[str, Any] | None:
    own = _own(status)
    line = own.get("last_error") or status.get("error_message")
    if not line:
        return None
    count = own.get("errors", 1)
    return {"line": str(line), "count": count, "total": count, "at": own.get("last_error_time", 0.0)}
