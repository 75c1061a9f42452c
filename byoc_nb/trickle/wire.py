"""What both ends of a trickle connection must spell the same: headers, the 470 status, URLs and client sessions."""

from __future__ import annotations

import re
from collections.abc import Mapping

import aiohttp

LATEST = "Lp-Trickle-Latest"  # the write head: one past the newest segment that has begun
SEQ = "Lp-Trickle-Seq"  # the segment served or written, with -1 and -2 resolved
CLOSED = "Lp-Trickle-Closed"  # presence means the end of the stream, whatever the value
RESET = "Lp-Trickle-Reset"  # on a segment POST: close every older segment
EXPECT_CONTENT = "Expect-Content"  # on the POST that creates a channel: its mime type

NO_SUCH_SEGMENT = 470  # the channel exists, the segment does not
CONNECT_SECONDS = 10.0  # for the TCP and TLS handshake; a trickle request itself may last as long as the stream
BACKOFF_SECONDS = 0.25
BACKOFF_MAX_SECONDS = 4.0


def channel_url(url: str) -> str:
    """The URL without trailing or doubled slashes, which Go redirects. Raises ValueError unless it is http(s)."""
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"a trickle URL starts with http:// or https://, not {url!r}")
    scheme, _, rest = url.partition("://")
    return f"{scheme}://" + re.sub("/+", "/", rest).rstrip("/")


def number(headers: Mapping[str, str], name: str) -> int | None:
    """A decimal header, None if it is absent or not a number."""
    return parse_seq(headers.get(name, ""))


def parse_seq(text: str) -> int | None:
    """A sequence number as Go's Atoi reads one: sign and digits only, inside an int64; else None."""
    digits = text[1:] if text[:1] in {"+", "-"} else text
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 19):
        return None
    value = int(text)
    return value if -(2**63) <= value < 2**63 else None


def open_session() -> aiohttp.ClientSession:
    """A session fit for trickle: no total timeout, a connect timeout, any number of connections at once."""
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=patient(), auto_decompress=False)


def patient() -> aiohttp.ClientTimeout:
    """The timeouts of every trickle request: for connecting only."""
    return aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)


def backoff(attempt: int) -> float:
    """Seconds to wait before try number `attempt` + 1: a quarter, doubling, four at most."""
    return float(min(BACKOFF_SECONDS * 2**attempt, BACKOFF_MAX_SECONDS))


def reason(error: BaseException) -> str:
    """What went wrong, for people: aiohttp's own text, whose repr is long, else the type."""
    return str(error) or type(error).__name__
