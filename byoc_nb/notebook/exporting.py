"""What leaves the notebook: checks, exported folders, images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from byoc_nb.errors import ByocError
from byoc_nb.export import Export, Finding, check, export
from byoc_nb.notebook.capturing import captured
from byoc_nb.notebook.cells import Cell
from byoc_nb.notebook.reloading import Reloading
from byoc_nb.notebook.serving import Serving


class NotExportable(ByocError, RuntimeError):
    """What is in force isn't what the notebook's text says, or nothing was exported yet."""


class Exporting:
    """Exports of the processor's cell in force; remembers the last folder, for its image."""

    def __init__(self, reloading: Reloading) -> None:
        self._reloading = reloading
        self._last: Export | None = None

    def check(self, params: Mapping[str, Any], **options: Any) -> list[Finding]:
        """What an export would stop at or warn of; see `byoc_nb.export.check`."""
        cell = self._cell()
        return check(cell.notebook, cell.name, cell.namespace, params=dict(params), **options)

    def export(
        self,
        folder: Path,
        params: Mapping[str, Any],
        stream: Serving | None,
        *,
        prove: bool,
        tolerance: int,
        **options: Any,
    ) -> Export:
        """Write the folder; proven with what `stream` plays, else with the bundled clip."""
        cell = self._cell()
        if prove:
            options["prove"] = captured(stream, tolerance)
        found = (cell.notebook, cell.name, cell.namespace)
        self._last = export(folder, *found, params=dict(params), hashes=True, **options)
        return self._last

    def folder(self, named: str | Path | None) -> Path:
        """The folder that is named, else the one that was exported last; raises NotExportable without one."""
        if named:
            return Path(named).expanduser()
        if self._last is None:
            raise NotExportable("nothing was exported yet", hint="%byoc export DIR, or name an exported folder")
        return self._last.folder

    def _cell(self) -> Cell:
        cell, versions = self._reloading.cell, self._reloading.history.versions
        if cell is None:
            raise NotExportable("there is no processor to export", hint="run a cell that begins with %%byoc first")
        if versions[-1].rolled_back:
            raise NotExportable(
                f"{cell.name} as it stands in the notebook was rolled back",
                hint="mend its cell and run it again, or %byoc rollback",
            )
        if cell.namespace.get(cell.name, cell.target) is not cell.target:
            raise NotExportable(
                f"{cell.name} was defined again without %%byoc", hint="run its cell with %%byoc in front"
            )
        return cell
