"""A notebook as a user has it, in this process."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from IPython.core.interactiveshell import ExecutionResult, InteractiveShell

from byoc_nb.notebook import extension


@dataclass
class Notebook:
    """`run` a cell and read what it printed."""

    shell: InteractiveShell
    capture: pytest.CaptureFixture[str]
    results: list[ExecutionResult] = field(default_factory=list)

    def run(self, cell: str) -> str:
        """Run a cell and give everything that it printed, errors included."""
        self.capture.readouterr()
        self.results.append(self.shell.run_cell(cell, store_history=True))
        printed = self.capture.readouterr()
        return printed.out + printed.err

    def refused(self, cell: str) -> str:
        """Run a cell that is a mistake: one line, no traceback."""
        printed = self.run(cell)
        assert self.error.__class__.__name__ == "UsageError", printed
        lines = [line for line in printed.splitlines() if line.strip()]
        assert len(lines) == 1, printed
        assert lines[0].startswith("UsageError: ")
        return lines[0].removeprefix("UsageError: ")

    @property
    def error(self) -> BaseException | None:
        return self.results[-1].error_in_exec or self.results[-1].error_before_exec

    @property
    def result(self) -> Any:
        return self.results[-1].result

    @property
    def bench(self) -> Any:
        return extension.workbench(self.shell)
