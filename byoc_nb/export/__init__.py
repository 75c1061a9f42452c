"""Cell to folder: what leaves the notebook."""

from byoc_nb.export.folder import Export, ExportError, export
from byoc_nb.export.freeze import FreezeError

__all__ = ["Export", "ExportError", "FreezeError", "export"]
