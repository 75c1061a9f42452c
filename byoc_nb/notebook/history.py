"""The versions of the processor that were run in this session."""

from __future__ import annotations

import datetime
import html
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from byoc_nb.errors import ByocError


class NoVersion(ByocError, LookupError):
    """There is no such version to go back to."""


@dataclass
class Version:
    """One run of a processor's cell: its text and name, what came of it, the parameters when it was left."""

    number: int
    name: str
    text: str
    what: str
    params: dict[str, Any] = field(default_factory=dict)
    at: datetime.datetime = field(default_factory=datetime.datetime.now)
    rolled_back: bool = False
    target: Callable[[], Any] = lambda: None  # gives its class or function, as long as somebody uses that


class History:
    """Versions in order, numbered from 1; one of them is in force."""

    def __init__(self) -> None:
        self.versions: list[Version] = []
        self.current: Version | None = None

    def add(self, name: str, text: str, what: str, target: Any) -> Version:
        """A new version, which is in force now."""
        self.current = Version(len(self.versions) + 1, name, text, what, target=weakref.ref(target))
        self.versions.append(self.current)
        return self.current

    def of(self, target: Any) -> Version | None:
        """The version whose class or function this is."""
        return next((version for version in reversed(self.versions) if version.target() is target), None)

    def undo(self, version: Version, to: Version | None) -> None:
        """The version was taken back; `to` is in force again."""
        version.rolled_back = True
        if self.current is version:
            self.current = to

    def find(self, number: int | None = None) -> Version:
        """The version with a number, else the one to go back to: the one before that in force.

        After an automatic rollback that is the one in force, whose text the notebook has lost. Raises NoVersion.
        """
        good = [version for version in self.versions if not version.rolled_back]
        if number is None:
            if self.current is not None and self.versions[-1].rolled_back:
                return self.current
            before = [version for version in good if self.current is None or version.number < self.current.number]
            if not before:
                raise NoVersion("there is no earlier version", hint="%byoc history shows those that there are")
            return before[-1]
        for version in self.versions:
            if version.number == number:
                return version
        raise NoVersion(f"there is no version {number}", hint="%byoc history shows those that there are")

    def _rows(self) -> list[tuple[str, str, str, str]]:
        return [
            (
                f"{version.number}{' *' if version is self.current else ''}",
                f"{version.at:%H:%M:%S}",
                version.name,
                version.what + (" · rolled back" if version.rolled_back else ""),
            )
            for version in self.versions
        ]

    def __repr__(self) -> str:
        if not self.versions:
            return "no version yet · run a cell that begins with %%byoc"
        return "\n".join(f"{number:<5} {at}  {name:<20} {what}" for number, at, name, what in self._rows())

    def _repr_html_(self) -> str:
        head = "".join(f'<th style="text-align:left">{name}</th>' for name in ("version", "at", "processor", "what"))
        rows = "".join(
            "<tr>" + "".join(f'<td style="text-align:left">{html.escape(cell)}</td>' for cell in row) + "</tr>"
            for row in self._rows()
        )
        return f"<table><tr>{head}</tr>{rows}</table>"
