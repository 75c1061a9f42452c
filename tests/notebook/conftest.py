"""An IPython shell in this process, with the extension loaded."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest
from IPython.core.interactiveshell import InteractiveShell
from notebook_kit import Notebook
from traitlets.config import Config

from byoc_nb.notebook import extension


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    hooks = sys.displayhook, sys.excepthook
    meta_path = list(sys.meta_path)
    made = InteractiveShell.instance(config=config)
    yield made
    extension.unload(made)
    InteractiveShell.clear_instance()
    sys.displayhook, sys.excepthook = hooks
    sys.meta_path[:] = meta_path


@pytest.fixture
def notebook(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> Notebook:
    shell.run_line_magic("load_ext", "byoc_nb")
    return Notebook(shell, capsys)
