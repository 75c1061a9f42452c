"""Addresses and ports of this machine: how they are called, which port is taken, and which is free."""

from __future__ import annotations

import argparse
import socket

from byoc_nb.errors import ByocError

ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # what listens on all addresses, and how it is called from here


class PortInUse(ByocError, OSError):
    """The port is taken; `.free` is one that isn't."""

    def __init__(self, port: int, free: int) -> None:
        self.port, self.free = port, free
        super().__init__(f"port {port} is already in use", hint=f"port {free} is free")


def port_number(text: str) -> int:
    """A port that somebody typed, 0 to 65535; raises argparse.ArgumentTypeError, whose text says so."""
    if not text.isascii() or not text.isdecimal() or len(text) > 5 or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text!r} isn't a port (0 to 65535)")
    return int(text)


def free_port(host: str, near: int = 0) -> int:
    """A port that is free now, the first one after `near` if one of the next fifty is."""
    for port in [*range(near + 1, min(near + 51, 65536)), 0] if near else [0]:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return 0


def base_url(host: str, port: int) -> str:
    """The URL, without a slash at its end, of what listens there, from this machine."""
    host = ANYWHERE.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"
