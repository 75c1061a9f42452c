"""`byoc-nb doctor`: what this machine has for a stream in a notebook, and the command that brings what is missing.

Exit status 0 when the main job can run: a cell served in JupyterLab, and its export.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from byoc_nb.commands.arguments import Command
from byoc_nb.commands.checks import CHECKS, Finding


def add_commands(command: Command) -> None:
    """Add it."""
    made = command("doctor", _doctor, "look at this machine, and say how to mend what is missing")
    made.add_argument("--json", action="store_true", help="findings as JSON: id, level, message, fix")


def _doctor(options: argparse.Namespace) -> int:
    findings = [check() for check in CHECKS]
    errors = [finding.id for finding in findings if finding.level == "error"]
    if options.json:
        text = json.dumps({"ok": not errors, "findings": [asdict(finding) for finding in findings]}, indent=2)
    else:
        last = f"The main job can't run before this is mended: {', '.join(errors)}." if errors else "Ready."
        text = "\n".join([*map(_line, findings), "", last])
    print(text, flush=True)  # noqa: T201
    return 1 if errors else 0


def _line(finding: Finding) -> str:
    fix = f"\n{'':22}{finding.fix}" if finding.fix else ""
    return f"{finding.level:7} {finding.id:13} {finding.message}{fix}"
