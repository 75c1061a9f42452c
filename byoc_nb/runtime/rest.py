"""The REST routes of the container, as go-livepeer's orchestrator and pytrickle's clients call them.

The stream routes stand at the root, under `/api` (as older documents have it) and under a prefix of the server's own.
Every answer is JSON; an error says what is wrong in `message` and, by field, in `errors`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

from aiohttp import web

import byoc_nb
from byoc_nb import params as params_
from byoc_nb.errors import ByocError
from byoc_nb.params import ParamsError
from byoc_nb.runtime import guard, hardware, metrics
from byoc_nb.runtime.batch import FrameRoute
from byoc_nb.runtime.host import ProcessorExited
from byoc_nb.runtime.requests import BadRequest, Busy, NoStream, parse_object, parse_start
from byoc_nb.runtime.stats import describe

if TYPE_CHECKING:
    from byoc_nb.runtime.server import StreamServer

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 10 << 20  # go-livepeer's gateway takes updates up to 10 MB
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(
    server: StreamServer, *, token: str = "", middleware: Sequence[Any] = (), prefix: str = "/", **options: Any
) -> web.Application:
    """The aiohttp application with the container's routes; `token` guards those that an orchestrator calls."""
    guarded: set[str] = set()
    guards = [guard.same_site(server.host, _error), guard.bearer(token, guarded, _error)]
    app = web.Application(
        client_max_size=MAX_BODY_BYTES, middlewares=[_errors(server), *guards, *middleware], **options
    )
    routes = Routes(server)
    for base in dict.fromkeys(("", "/api", f"/{prefix.strip('/')}".rstrip("/"))):
        app.router.add_post(f"{base}/stream/start", routes.start)
        app.router.add_post(f"{base}/stream/params", routes.params)
        app.router.add_post(f"{base}/stream/stop", routes.stop)
        app.router.add_get(f"{base}/stream/status", routes.status)
    app.router.add_post("/live-video-to-video", routes.start)  # pytrickle's alias
    frames = FrameRoute(server)
    for path in ("/live/video-to-video", "/process/frame"):
        app.router.add_post(path, frames.process)
    guarded.update(resource.canonical for resource in app.router.resources())
    app.router.add_get("/health", routes.health)
    app.router.add_get("/version", routes.version)
    app.router.add_get("/app-version", routes.app_version)
    app.router.add_get("/hardware/info", routes.hardware_info)
    app.router.add_get("/hardware/stats", routes.hardware_stats)
    app.router.add_get("/params/schema", routes.schema)
    app.router.add_get("/metrics", routes.metrics)
    return app


class Routes:
    """The handlers, around one server."""

    def __init__(self, server: StreamServer) -> None:
        self._server = server

    async def start(self, request: web.Request) -> web.Response:
        """Begin a stream; waits while the processor still loads. 400 by field, 503 while another stream runs."""
        start = parse_start(await request.read())
        try:
            await self._server.start_stream(start)
        except Exception as error:
            if _is_ours(error):
                raise
            logger.warning("a stream could not be started", exc_info=error)
            raise BadRequest({"the processor": f"refused to start: {describe(error)}"}) from None
        return self._reply(
            message="Stream started successfully", request_id=start.gateway_request_id, current_state=self._state()
        )

    async def params(self, request: web.Request) -> web.Response:
        """Change parameters; the body is the bare object. 400 by field, and then nothing has changed."""
        changes = parse_object(await request.read())
        try:
            done = await self._server.update_params(changes)
        except Exception as error:
            if _is_ours(error):
                raise
            raise BadRequest({"params": f"the processor refused them: {describe(error)}"}) from None
        if done:
            return self._reply(message="Parameters updated successfully")
        return self._reply(message="Parameters accepted; the processor is busy and takes them over when it can")

    async def stop(self, request: web.Request) -> web.Response:
        """End the stream, whatever the body is; stopping twice or nothing is fine."""
        stopped = await self._server.stop_stream()
        return self._reply(message="Stream stopped successfully" if stopped else "No active stream")

    async def status(self, request: web.Request) -> web.Response:
        """What the container does: pytrickle's fields, and the figures of the stream."""
        server, session = self._server, self._server.session
        body = self._state()
        if session is not None:
            figures = session.stats.snapshot()
            body |= {
                "client_running": not session.ended,
                "fps": {"ingress_video_fps": figures["fps_in"], "egress_video_fps": figures["fps_out"]},
                "current_params": {
                    "subscribe_url": session.request.subscribe_url,
                    "publish_url": session.request.publish_url,
                    "gateway_request_id": session.request.gateway_request_id,
                    "params": session.params,
                },
                "ended": session.reason if session.ended else None,
                "reloads": server.slot.reloads,
                **figures,
            }
        return web.json_response(body, dumps=_dumps)

    async def health(self, request: web.Request) -> web.Response:
        """LOADING, IDLE, OK or ERROR; 503 with the last, so that probes which look at the code alone see it."""
        state = self._server.state
        return web.json_response({"status": state}, status=503 if state == "ERROR" else 200)

    async def version(self, request: web.Request) -> web.Response:
        """Which pipeline, capability and release this is."""
        return web.json_response({**self._who(), "version": byoc_nb.__version__})

    async def app_version(self, request: web.Request) -> web.Response:
        """The version that the server was given for the application."""
        return web.json_response({"version": self._server.version})

    async def hardware_info(self, request: web.Request) -> web.Response:
        """The GPUs by index; empty without one."""
        return web.json_response({**self._who(), "gpu_info": hardware.info(await hardware.gpus())})

    async def hardware_stats(self, request: web.Request) -> web.Response:
        """What the GPUs are doing, by index; empty without one."""
        return web.json_response({**self._who(), "gpu_stats": hardware.stats(await hardware.gpus())})

    async def metrics(self, request: web.Request) -> web.Response:
        """The figures in Prometheus' text format."""
        body, content_type = metrics.render(self._server, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def schema(self, request: web.Request) -> web.Response:
        """The JSON schema of the processor's parameters; an empty object schema without declared ones."""
        current = self._server.slot.current
        model = current.processor.model if current else None
        body = model.model_json_schema(by_alias=False) if model else {"type": "object", "properties": {}}
        return web.json_response(body, dumps=_dumps)

    def _who(self) -> dict[str, str]:
        return {"pipeline": self._server.pipeline, "model_id": self._server.capability_name}

    def _state(self) -> dict[str, Any]:
        server = self._server
        current = server.slot.current
        return {
            "status": server.state,
            "state": server.state,
            "error_message": server.load_error or None,
            "pipeline_ready": current is not None,
            "active_streams": int(server.active),
            "startup_complete": current is not None,
            "pipeline_state": server.state,
            "additional_info": {},
            "client_active": server.active,
            "params": params_.as_dict(current.processor.values) if current else {},
        }

    @staticmethod
    def _reply(**body: Any) -> web.Response:
        return web.json_response({"status": "success", **body}, dumps=_dumps)


def _errors(server: StreamServer) -> Any:
    @web.middleware
    async def errors(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except (BadRequest, ParamsError) as error:
            return _error(400, error.one_line(), errors=error.errors)
        except (NoStream, Busy) as error:
            return _error(503 if isinstance(error, Busy) else 400, error.one_line())
        except web.HTTPRequestEntityTooLarge:
            return _error(413, f"the body is larger than {MAX_BODY_BYTES >> 20} MB")
        except web.HTTPException as error:
            if error.status < 400:  # a redirect of a route of the user's own
                raise
            answer = _error(error.status, f"{error.reason}: {request.method} {request.path}")
            answer.headers.update({name: value for name, value in error.headers.items() if name == "Allow"})
            return answer
        except web.RequestPayloadError as error:
            return _error(400, f"the body can't be read: {describe(error)}")
        except Exception as error:
            if isinstance(error, ConnectionError) and request.transport is None:
                return _error(400, "the caller has left")
            logger.exception("%s %s failed", request.method, request.path)
            return _error(500, f"internal error: {describe(error)}")

    return errors


def _is_ours(error: Exception) -> bool:
    """Whether this package refuses, not the user's code."""
    return isinstance(error, ByocError) and not isinstance(error, ProcessorExited)


def _error(status: int, message: str, **more: Any) -> web.Response:
    return web.json_response({"status": "error", "message": message, **more}, status=status, dumps=_dumps)


def _dumps(value: Any) -> str:
    return json.dumps(value, default=str)
