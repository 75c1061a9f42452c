"""Who may call the container: holders of the bearer token, and no web page of another site."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Set
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Refuse = Callable[[int, str], web.Response]

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


def bearer(token: str, guarded: Set[str], refuse: Refuse) -> Any:
    """Ask for `Authorization: Bearer <token>` on the routes `guarded` (their paths); an empty one asks nothing."""
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        resource = request.match_info.route.resource
        concerned = token and resource is not None and resource.canonical in guarded
        if concerned and not hmac.compare_digest(given, expected):
            return refuse(401, "this container asks for a bearer token")
        return await handler(request)

    return middleware


def same_site(host: str, refuse: Refuse) -> Any:
    """On a loopback address, refuse what a page of another site makes the user's browser send.

    A browser lets any page post to 127.0.0.1, and a name that resolves to it makes it the page's own site. Programs
    send no `Origin` and are not concerned; nor is a server that listens for other machines.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        origin = request.headers.get("Origin")
        concerned = origin is not None and request.method not in _READING and is_loopback(host)
        if concerned and not is_own(str(origin), request.host):
            return refuse(403, f"a page of {origin} may not call this server")
        return await handler(request)

    return middleware


def is_own(origin: str, host: str) -> bool:
    """Whether a page's origin is the loopback host that it calls."""
    try:
        page = urlsplit(origin)
    except ValueError:  # as for "http://[::1"
        return False
    return page.netloc == host and is_loopback(page.hostname or "")


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
