"""Cell to folder: what leaves the notebook."""

from byoc_nb.export.findings import Finding
from byoc_nb.export.folder import ExportError, export
from byoc_nb.export.freeze import FreezeError, check
from byoc_nb.export.report import Export

__all__ = ["Export", "ExportError", "Finding", "FreezeError", "check", "export"]
