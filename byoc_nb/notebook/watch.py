"""A processor in a file instead of a cell: every time that the file is saved, it goes into service anew."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from byoc_nb.errors import ByocError
from byoc_nb.notebook.cells import Cell
from byoc_nb.notebook.running import of_file
from byoc_nb.runtime.reload import Reload
from byoc_nb.runtime.stats import describe

LOOK_MS = 500
TRIAL_SECONDS = 2.0  # to wait for a new processor to prove itself, before it is told that it serves


class FileWatch:
    """Watches one file, whose `text` is in use, on a thread of its own until `stop`.

    `say` gets one line for each time that the file was saved with another text.
    """

    def __init__(self, spec: str, text: str, use: Callable[[Cell], Reload | None], say: Callable[[str], None]) -> None:
        self.spec = spec
        self._use, self._say = use, say
        file = spec if Path(spec).is_file() else spec.rpartition(":")[0]
        self._path = Path(file).resolve()
        self._text = text.encode()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="byoc-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no more; waits for a reload that is under way unless that called this."""
        self._over.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(5.0)

    def _run(self) -> None:
        from watchfiles import watch

        # The folder, because editors put another file in the place of the one that they save. It is looked at now and
        # then without a change, too: the first one may come before the watch is set up.
        for _ in watch(
            self._path.parent, stop_event=self._over, recursive=False, rust_timeout=LOOK_MS, yield_on_timeout=True
        ):
            text = self._read()
            if text and text != self._text:
                self._text = text
                self._say(f"{self._path.name}: {self._reload()}")

    def _read(self) -> bytes:
        """The file's bytes; none while an editor is replacing it."""
        try:
            return self._path.read_bytes()
        except OSError:
            return b""

    def _reload(self) -> str:
        try:
            reload = self._use(of_file(self.spec))
        except ByocError as error:
            return error.one_line()
        except Exception as error:  # nothing that a file does may end the watch for its next version
            return describe(error)
        if reload is None:
            return "ready"
        reload.wait(TRIAL_SECONDS)
        return str(reload)
