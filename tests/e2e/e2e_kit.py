"""A real kernel to type cells into, and a clean virtual environment to run an export in."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.manager import start_new_kernel

CLIP = Path(__file__).parents[2] / "notebooks" / "bigbuckbunny.mp4"  # 1280x720 at 25 fps, 132 pictures, with sound


@dataclass
class Ran:
    """What running one cell gave."""

    text: str = ""  # everything printed, on both streams
    value: str = ""  # the text form of the cell's value
    data: dict[str, Any] = field(default_factory=dict)
    error: str = ""  # the type of an exception, with its traceback shown in full


class Kernel:
    """A notebook that is typed cell by cell into a real ipykernel."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Kernel:
        self._manager, self._client = start_new_kernel(kernel_name="python3", cwd=str(self._folder))
        return self

    def __exit__(self, *error: object) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=False)

    def run(self, code: str) -> Ran:
        ran = Ran()

        def take(message: dict[str, Any]) -> None:
            content = message["content"]
            match message["msg_type"]:
                case "stream":
                    ran.text += content["text"]
                case "error":
                    ran.error = f"{content['ename']}: {content['evalue']}"
                case "execute_result" | "display_data":
                    ran.data |= content["data"]
                    ran.value += content["data"].get("text/plain", "")

        self._client.execute_interactive(code, allow_stdin=False, timeout=90, output_hook=take)
        return ran

    def ok(self, code: str) -> Ran:
        """`run` for a cell that must not fail."""
        ran = self.run(code)
        assert not ran.error and "UsageError" not in ran.text, f"{code}\n{ran}"
        return ran


def clean_environment(folder: Path) -> Path:
    """A new virtual environment with what the export's requirements.txt asks for, and nothing else; its python."""
    environment = folder.parent / f"{folder.name}-environment"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    python = environment / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--requirement", "requirements.txt"]
    subprocess.run(install, cwd=folder, check=True, capture_output=True)
    return python


async def run_until(process: asyncio.subprocess.Process, line: bytes) -> None:
    """Read the process's standard error until a line holds these bytes."""
    assert process.stderr is not None
    seen = []
    while text := await asyncio.wait_for(process.stderr.readline(), 30):
        seen.append(text)
        if line in text:
            return
    raise AssertionError(b"".join(seen).decode())


def clean_variables() -> dict[str, str]:
    """The environment without what this test run has set."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "BYOC", "VIRTUAL_ENV"))}
