"""An aiohttp application that listens to the whole world: what strangers send is answered, and not logged at length."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

log = logging.getLogger(__name__)

CLOSING_SECONDS = 2.0  # for requests that are still under way when the server stops

_Handler = Callable[[Any], Awaitable[web.StreamResponse]]


class _Quiet(logging.LoggerAdapter[logging.Logger]):
    """aiohttp's errors; what is no proper HTTP is the peer's, and would else be a traceback for every stray byte."""

    def exception(self, msg: object, *args: object, exc_info: Any = True, **more: Any) -> None:
        if isinstance(exc_info, HttpProcessingError | web.RequestPayloadError):
            self.debug("%s: %s", msg % args if isinstance(msg, str) else msg, " ".join(str(exc_info).split()))
        else:
            super().exception(msg, *args, exc_info=exc_info, **more)


async def set_up(app: web.Application, *, auto_decompress: bool = True) -> web.AppRunner:
    """The application's runner, ready for its sites; no access log. Its `cleanup` ends all."""
    runner = web.AppRunner(
        app, access_log=None, auto_decompress=auto_decompress, shutdown_timeout=CLOSING_SECONDS, logger=_Quiet(log, {})
    )
    await runner.setup()
    if runner.server is not None:
        runner.server.request_handler = _expecting_little(runner.server.request_handler)
    return runner


def _expecting_little(handler: _Handler) -> _Handler:
    """Answer an unknown `Expect` before aiohttp does, which fails where it can't be written as UTF-8."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Expect", "100-continue").lower() != "100-continue":
            refusal = web.Response(status=417, text="Only 100-continue can be expected")
            refusal.force_close()
            return refusal
        return await handler(request)

    return handle
