"""An exported folder's image that runs on this machine beside the notebook."""

from __future__ import annotations

import json
import logging
import socket
import subprocess
import threading
import time
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

from byoc_nb.export import image
from byoc_nb.export.image import ImageError, Say
from byoc_nb.runtime.ports import PortInUse, free_port

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.2
MAX_STATUS_BYTES = 1 << 20
STOP_SECONDS = 15.0  # docker gives a container ten to end
_DIRECTLY = build_opener(ProxyHandler({}))  # a proxy for other machines can't reach this one


class LocalImage:
    """Runs from its making to `stop`; what it writes is logged. `port`: where it is on this machine.

    Raises ImageError where no program here can run it, and PortInUse: what listens there would be taken for it.
    """

    def __init__(self, folder: Path, *, tag: str = "", port: int = 8000, say: Say) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self._said = ""
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                raise PortInUse(port, free_port("127.0.0.1", near=port))
        self._process = image.start(folder, say=say, tag=tag, port=port)
        threading.Thread(target=self._log, name="byoc-image", daemon=True).start()

    def wait(self) -> None:
        """Until its processor is loaded; raises ImageError where it ends before, or can't be loaded."""
        while not (status := self._status()).get("pipeline_ready"):
            if self._process.poll() is not None:
                raise ImageError(f"the container ended with exit status {self._process.returncode}: {self._said}")
            if error := status.get("error_message"):
                raise ImageError(f"the container could not load its processor: {error}")
            time.sleep(LOOK_SECONDS)

    def stop(self) -> None:
        """End it, and wait until it has ended."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _status(self) -> dict[str, Any]:
        try:
            with _DIRECTLY.open(f"{self.url}/stream/status", timeout=5) as answer:
                status = json.loads(answer.read(MAX_STATUS_BYTES))
        except (OSError, ValueError, HTTPException):  # it doesn't listen yet
            return {}
        return status if isinstance(status, dict) else {}

    def _log(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                if line.strip():
                    self._said = line.strip()
                    logger.info("%s", self._said)
