"""What `/hardware/info` and `/hardware/stats` tell: the GPUs of this machine, in pytrickle's shape.

Asked of `nvidia-smi`, which NVIDIA's container runtime puts into every container with the "utility" capability.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

ANSWER_SECONDS = 5.0
_MEBIBYTE = 1 << 20
_FIELDS = "index,uuid,name,memory.total,memory.free,compute_cap,utilization.gpu,utilization.memory"


async def gpus() -> list[dict[str, Any]]:
    """One dict a GPU: `id`, `name`, `memory_total` and `memory_free` in bytes, `major` and `minor` of its compute
    capability, `utilization_compute` and `utilization_memory` in percent; no GPU or no driver gives an empty list."""
    try:
        process = await asyncio.create_subprocess_exec(
            "nvidia-smi",
            f"--query-gpu={_FIELDS}",
            "--format=csv,noheader,nounits",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError:
        return []
    try:
        output, _ = await asyncio.wait_for(process.communicate(), ANSWER_SECONDS)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        return []
    return parse(output.decode(errors="replace")) if process.returncode == 0 else []


def parse(output: str) -> list[dict[str, Any]]:
    """The lines of `nvidia-smi`; a value that the GPU doesn't report is 0."""
    found = []
    for line in output.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != len(_FIELDS.split(",")):
            continue
        _, uuid, name, total, free, capability, compute, memory = cells
        major, _, minor = capability.partition(".")
        found.append(
            {
                "id": uuid,
                "name": name,
                "memory_total": _number(total) * _MEBIBYTE,
                "memory_free": _number(free) * _MEBIBYTE,
                "major": _number(major),
                "minor": _number(minor),
                "utilization_compute": _number(compute),
                "utilization_memory": _number(memory),
            }
        )
    return found


def info(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The part of `/hardware/info`, by index."""
    keys = ("id", "name", "memory_total", "memory_free", "major", "minor")
    return {str(index): {key: gpu[key] for key in keys} for index, gpu in enumerate(found)}


def stats(found: list[dict[str, Any]]) -> dict[str, Any]:
    """The part of `/hardware/stats`, by index."""
    keys = ("id", "name", "memory_total", "memory_free", "utilization_compute", "utilization_memory")
    return {str(index): {key: gpu[key] for key in keys} for index, gpu in enumerate(found)}


def _number(text: str) -> int:
    try:
        return int(float(text))
    except ValueError:
        return 0
