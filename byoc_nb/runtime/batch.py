"""One frame by HTTP: raw RGB24 in, the processed frame's raw RGB24 out.

The first job of Livepeer's quickstart, and what a batch job of go-livepeer sends to a container of this kind. What the
processor does wrong is 4xx, because the gateway turns every 5xx of a batch job into an empty 200.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import numpy as np
from aiohttp import web

from byoc_nb.frames import VideoFrame
from byoc_nb.runtime.requests import MAX_SIDE, BadRequest
from byoc_nb.runtime.stats import describe

if TYPE_CHECKING:
    from byoc_nb.runtime.server import StreamServer

logger = logging.getLogger(__name__)

DEFAULT_WIDTH, DEFAULT_HEIGHT = 640, 480  # the quickstart's
PROCESS_SECONDS = 60.0  # a processor that waits for what only a stream brings must not keep streams out for good
UNPROCESSABLE = 422


class FrameRoute:
    """The handler; frames go through the processor one at a time, and only while no stream does."""

    def __init__(self, server: StreamServer) -> None:
        self._server = server

    async def process(self, request: web.Request) -> web.Response:
        """Process the body, `X-Width` · `X-Height` · 3 bytes (640 and 480 if not given).

        200 with the bytes and the size in the same headers, 204 when the processor withholds the frame, 400 for a
        wrong length with the expected one, 422 with what the processor raised, 503 while a stream runs.
        """
        width, height = _side(request, "X-Width", DEFAULT_WIDTH), _side(request, "X-Height", DEFAULT_HEIGHT)
        data, expected = await request.read(), width * height * 3
        if len(data) != expected:
            raise BadRequest(
                {"body": f"has {len(data)} bytes; a {width}x{height} RGB24 frame has {expected} (X-Width, X-Height)"}
            )
        frame = VideoFrame(np.frombuffer(data, np.uint8).reshape(height, width, 3))
        async with self._server.idle_processor() as host:
            work = asyncio.wrap_future(host.submit(host.processor.video(frame)))
            done, _ = await asyncio.wait({work}, timeout=PROCESS_SECONDS)
            if not done:
                work.cancel()
                return _failed(f"the processor took more than {PROCESS_SECONDS:.0f} s")
            try:
                result = work.result()
                body = None if result is None else await asyncio.to_thread(result.to_bytes)
            except Exception as error:
                logger.warning("the processor refused a frame", exc_info=error)
                return _failed(f"the processor raised {describe(error)}")
        if result is None:
            return web.Response(status=204)
        size = {"X-Width": str(result.width), "X-Height": str(result.height)}
        return web.Response(body=body, content_type="application/octet-stream", headers=size)


def _side(request: web.Request, header: str, default: int) -> int:
    text = request.headers.get(header, str(default)).strip()
    plain = text.isascii() and text.isdigit() and len(text) <= 9  # no more is a number of pixels
    if not plain or not 1 <= int(text) <= MAX_SIDE:
        raise BadRequest({header: f"must be 1 to {MAX_SIDE} pixels, not {text:.40}"})
    return int(text)


def _failed(line: str) -> web.Response:
    return web.json_response({"status": "error", "message": line}, status=UNPROCESSABLE)
