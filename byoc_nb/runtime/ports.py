"""Ports of this machine: which one is taken, and which is free."""

from __future__ import annotations

import socket

from byoc_nb.errors import ByocError


class PortInUse(ByocError, OSError):
    """The port is taken; `.free` is one that isn't."""

    def __init__(self, port: int, free: int) -> None:
        self.port, self.free = port, free
        super().__init__(f"port {port} is already in use", hint=f"port {free} is free")


def free_port(host: str, near: int = 0) -> int:
    """A port that is free now, the first one after `near` if one of the next fifty is."""
    for port in [*range(near + 1, min(near + 51, 65536)), 0] if near else [0]:
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return 0
