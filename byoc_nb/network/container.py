"""A BYOC container somewhere, called as go-livepeer's orchestrator calls it: ours, pytrickle's and those made of it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from byoc_nb.errors import ByocError

ANSWER_SECONDS = 10.0
START_SECONDS = 130.0  # byoc-sdk gives a start 120 s, in which a model may load
PREFIXES = ("", "/api")  # before the stream routes; older containers of pytrickle have the latter
MAX_ANSWER_BYTES = 1 << 20


class ContainerError(ByocError, ConnectionError):
    """The container can't be reached or isn't one."""


class Refused(ByocError, ValueError):
    """The container refuses; `errors` by field, where it says them."""

    def __init__(self, message: str, errors: dict[str, str]) -> None:
        super().__init__(message)
        self.errors = errors


class Container:
    """The REST API of the container at `url`; `token` as its CAPABILITY_TOKEN. Belongs to one asyncio loop.

    Methods raise ContainerError, and Refused where it answers with an error.
    """

    def __init__(self, url: str, *, token: str = "") -> None:
        try:
            parts = urlsplit(url)
            good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            good = False
        if "@" in url or "?" in url or "#" in url:  # it is shown in many places, and may hold a secret
            raise ContainerError(
                "a container's URL has no user, password or query", hint="its token comes from CAPABILITY_TOKEN"
            )
        if not good:
            raise ContainerError(f"{url} isn't a URL", hint="give the container's, such as http://127.0.0.1:8000")
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._prefix = PREFIXES[0]
        self._http: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Find out how it is called."""
        self._http = aiohttp.ClientSession(headers=self._headers)
        for self._prefix in PREFIXES:
            status, body = await self._call("GET", f"{self._prefix}/stream/status")
            if status < 300 and body:
                return
            if status not in (200, 404):
                raise ContainerError(
                    f"{self.url} answers /stream/status with {status}", hint="does it ask for a token?"
                )
        raise ContainerError(f"{self.url} is no BYOC container: it has no /stream/status")

    async def close(self) -> None:
        """Forget the connections to it."""
        if self._http is not None:
            await self._http.close()

    async def schema(self) -> dict[str, Any] | None:
        """The JSON schema of its parameters; None where it declares none."""
        status, body = await self._call("GET", "/params/schema")
        declared = body.get("properties")
        if status >= 300 or not isinstance(declared, dict) or not declared:
            return None
        if not all(isinstance(one, dict) for one in declared.values()):
            raise ContainerError(f"{self.url} answers /params/schema with what is no JSON schema")
        return body

    async def status(self) -> dict[str, Any]:
        """What it does."""
        return self._taken(*await self._call("GET", f"{self._prefix}/stream/status"))

    async def start(self, body: dict[str, Any]) -> dict[str, Any]:
        """Start a stream: the body of `/stream/start`."""
        return self._taken(*await self._call("POST", f"{self._prefix}/stream/start", body, START_SECONDS))

    async def params(self, changes: dict[str, Any]) -> dict[str, Any]:
        """Change parameters of the running stream."""
        return self._taken(*await self._call("POST", f"{self._prefix}/stream/params", changes, START_SECONDS))

    async def stop(self) -> dict[str, Any]:
        """End the running stream."""
        return self._taken(*await self._call("POST", f"{self._prefix}/stream/stop", {}))

    def _taken(self, status: int, body: dict[str, Any]) -> dict[str, Any]:
        if status < 300:
            return body
        errors = body.get("errors")
        text = body.get("message") or body.get("error") or body.get("detail") or f"status {status}"
        raise Refused(str(text), {str(k): str(v) for k, v in errors.items()} if isinstance(errors, dict) else {})

    async def _call(
        self, method: str, path: str, body: dict[str, Any] | None = None, seconds: float = ANSWER_SECONDS
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON object of an answer; an empty one where it isn't JSON."""
        assert self._http is not None
        timeout = aiohttp.ClientTimeout(total=seconds)
        try:
            # An orchestrator signs its own certificate, and so does who runs a container behind one
            async with self._http.request(
                method, self.url + path, json=body, timeout=timeout, ssl=False, allow_redirects=False
            ) as answer:
                data = bytearray()
                async for part in answer.content.iter_any():
                    data += part
                    if len(data) > MAX_ANSWER_BYTES:
                        raise ContainerError(f"{self.url}{path} answers with more than {MAX_ANSWER_BYTES >> 20} MiB")
                status = answer.status
        except TimeoutError:
            raise ContainerError(
                f"{self.url}{path} did not answer within {seconds:.0f} s", hint="does it hang?"
            ) from None
        except ContainerError:
            raise
        except (aiohttp.ClientError, OSError) as error:
            why = str(error) or type(error).__name__
            raise ContainerError(f"{self.url} can't be reached: {why}", hint="is it running?") from None
        try:
            found = json.loads(data)
        except (ValueError, RecursionError):
            found = {}
        return status, found if isinstance(found, dict) else {}
