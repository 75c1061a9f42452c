"""The machine: Python, cores, memory, disk, the port."""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import shutil
import sys
from pathlib import Path

from byoc_nb.commands.checks.finding import Finding, error, good, note
from byoc_nb.runtime.ports import free_port, port_number

TESTED = (3, 11)
GIBIBYTE = 1 << 30
LOW_MEMORY, LOW_DISK, NO_DISK = 1 * GIBIBYTE, 2 * GIBIBYTE, GIBIBYTE // 10
_MEMINFO = Path("/proc/meminfo")


def python() -> Finding:
    """Which Python this is."""
    tested = "" if sys.version_info[:2] == TESTED else f"; the tests run on {TESTED[0]}.{TESTED[1]}"
    return good("python", f"{platform.python_version()} at {sys.executable}{tested}")


def cores() -> Finding:
    """Decoding, the processor and encoding each want one."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if count > 1:
        return good("cores", f"{count}")
    return note("cores", "one: large pictures are dropped", "%byoc serve --size 640x360 --fps 15")


def memory() -> Finding:
    """What programs could still get, as the kernel estimates it."""
    try:
        lines = dict(line.split(":", 1) for line in _MEMINFO.read_text().splitlines() if ":" in line)
        available, whole = (int(lines[name].split()[0]) << 10 for name in ("MemAvailable", "MemTotal"))
    except (OSError, KeyError, ValueError, IndexError):
        return good("memory", "not known on this system")
    said = f"{available / GIBIBYTE:.1f} of {whole / GIBIBYTE:.1f} GiB are free"
    if available >= LOW_MEMORY:
        return good("memory", said)
    return note("memory", f"{said}: torch alone takes 0.5", "ps -eo pid,rss,args --sort=-rss | head")


def disk() -> Finding:
    """Where recordings and exports would go."""
    try:
        free, here = shutil.disk_usage(Path()).free, Path().absolute()
    except OSError as problem:
        return error("disk", f"the working folder can't be looked at: {problem.strerror}", "cd")
    said = f"{free / GIBIBYTE:.1f} GiB are free in {here}"
    fix = f"{shlex.quote(sys.executable)} -m pip cache purge"
    if free < NO_DISK:
        return error("disk", said, fix)
    return good("disk", said) if free >= LOW_DISK else note("disk", f"{said}: an image with torch takes 6", fix)


def port() -> Finding:
    """The one that `%byoc serve` takes."""
    try:
        number = port_number(os.environ.get("BYOC_PORT", "8000"))
    except argparse.ArgumentTypeError as wrong:
        return error("port", f"BYOC_PORT: {wrong}", "unset BYOC_PORT")
    if number == 0:
        return good("port", "any that is free (BYOC_PORT is 0)")
    found = free_port("127.0.0.1", near=number - 1)
    if found == number:
        return good("port", f"{number} is free")
    return note("port", f"{number} is taken", f"%byoc serve --port {found}")
