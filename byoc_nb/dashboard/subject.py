"""What a dashboard is about: a stream with its parameters and figures, in this process (`served`) or elsewhere.

Everything here is called on the hub's loop and answers at once, but for `change`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from byoc_nb.dashboard.pictures import Pair


class Controls(Protocol):
    """The processor's parameters."""

    def all(self) -> dict[str, Any]:
        """The message `params`: `fields` (see `fields.fields`; None where nothing is declared) and `values` by name."""

    def look(self) -> dict[str, Any] | None:
        """What has changed since the last look: the message `params`, or `values` with `values` by name; or None."""

    async def change(self, number: int, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Set parameters: the message `changed` with this `number`, `errors` by field, and the `values` after it.

        Returns when the processor has taken them over; with errors, nothing has changed. Never raises.
        """


class Figures(Protocol):
    """What the stream does."""

    def now(self) -> dict[str, Any]:
        """The message `stats`; asked twice a second. It has at least `state` ("waiting", "running" or "ended"),
        `processor` (its name) and `memory` (see `memory`), and of a stream what `StreamStats.snapshot` gives, with
        `budget_ms`, `verdict` and `error` (see `figures`)."""


class Subject(Protocol):
    """A stream that can be looked at."""

    @property
    def controls(self) -> Controls:
        """Its parameters."""

    @property
    def figures(self) -> Figures:
        """Its figures."""

    @property
    def newest(self) -> Pair | None:
        """The last picture before and after processing; another object for each pair of pictures."""

    def in_frame(self) -> bool:
        """Whether this is called on the thread on which the processor works, which is never so for one elsewhere."""
