"""What goes over a dashboard's WebSocket beside the pictures: JSON objects, each with a `type`.

The server sends `params`, `values`, `changed` (see `subject`), `stats` (`figures`), `log`, `presets`, `source`,
`camera`, `stopped` and `refused`, and answers; a page sends its `token`, then `view`, `drawn`, what it asks for
(see `desk`), and its camera's pictures as binary messages.
"""

from __future__ import annotations

import functools
import json
from typing import Any
from urllib.parse import urlsplit

from byoc_nb.runtime.guard import is_loopback


def allowed(origin: str, host: str) -> bool:
    """Whether a page may connect: one of this machine, or of the host that it calls, as behind a proxy."""
    try:
        page = urlsplit(origin)
    except ValueError:
        return False
    return is_loopback(page.hostname or "") or page.netloc == host


def parsed(text: str) -> dict[str, Any] | None:
    """The object; None where the text is none."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def written(message: dict[str, Any]) -> str:
    """JSON for a browser, which knows no NaN."""
    write = functools.partial(json.dumps, default=str)
    try:
        return write(message, allow_nan=False)
    except ValueError:
        return write(json.loads(write(message), parse_constant=str))
