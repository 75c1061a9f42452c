"""The checks that an export runs over all code that leaves the notebook: one function each.

A check takes the `Program` and yields findings. Errors stop the export, warnings are told; `# byoc: ignore[id]` on the
line silences one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from byoc_nb.export import secrets, upstream
from byoc_nb.export.checks import errors, warnings
from byoc_nb.export.findings import Finding, is_ignored
from byoc_nb.export.program import Program

CHECKS: tuple[Callable[[Program], Iterator[Finding]], ...] = (
    errors.notebook_only,
    errors.star_import,
    errors.relative_import,
    errors.top_level_await,
    errors.gpu_at_import,
    errors.irreproducible,
    errors.secret,
    warnings.absolute_path,
    warnings.missing_file,
    warnings.cuda_index,
    warnings.blocking_call,
    warnings.unseeded_random,
    warnings.print_per_frame,
)


def run_checks(program: Program, params: Mapping[str, Any], runtime: str = "byoc_nb") -> list[Finding]:
    """What the checks find and what the program could not resolve: errors first, each line once for each id."""
    checks = CHECKS if runtime == "byoc_nb" else (*CHECKS, upstream.check)
    found = [finding for check in checks for finding in check(program)]
    found += [*program.findings, *secrets.in_params(params)]
    once: dict[tuple[object, ...], Finding] = {}
    for finding in found:
        if not is_ignored(finding, program.lines(finding)):
            once.setdefault((finding.id, finding.cell, finding.file, finding.line or finding.message), finding)
    return sorted(once.values(), key=lambda one: (one.level, one.file, one.cell, one.line))
