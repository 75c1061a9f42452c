"""Cell to folder: what leaves the notebook."""

from byoc_nb.export.findings import Finding
from byoc_nb.export.folder import Export, ExportError, export
from byoc_nb.export.freeze import FreezeError, check

__all__ = ["Export", "ExportError", "Finding", "FreezeError", "check", "export"]
