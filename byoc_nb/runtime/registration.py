"""Registration of the container with a go-livepeer orchestrator.

The orchestrator keeps capabilities in memory only: it forgets them when it restarts, when the container answers 401
and after connection errors. So a registration is repeated, but only while no stream runs, because repeating it sets
the orchestrator's count of running streams back to 0. The secret goes into `Authorization` as it is, without "Bearer".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from byoc_nb.errors import ByocError

logger = logging.getLogger(__name__)

REPEAT_SECONDS = 60.0  # an orchestrator that restarted has the capability back within a minute
FIRST_TRIES, RETRY_SECONDS = 5, 2.0
ANSWER_SECONDS = 5.0
FAREWELL_SECONDS = 2.0  # of the 10 s that docker gives a container to end
MAX_ANSWER_BYTES = 2000


class RegistrationError(ByocError, RuntimeError):
    """The orchestrator refused the capability, or could not be reached."""


class Unreachable(RegistrationError):
    """No answer, or an error of the orchestrator's own: trying again may help."""


def variable(name: str, environment: Mapping[str, str] = os.environ) -> str:
    """An environment variable as `BYOC_<name>` or, as pytrickle names it, `<name>`; empty if neither is set."""
    return (environment.get(f"BYOC_{name}") or environment.get(name) or "").strip()


@dataclass(frozen=True)
class Registration:
    """A capability at an orchestrator. `price_per_unit` is per second, in `currency` divided by `price_scaling`."""

    orch_url: str
    orch_secret: str = field(repr=False)
    name: str
    url: str
    description: str = ""
    capacity: int = 1
    price_per_unit: int = 0
    price_scaling: int = 1
    currency: str = "wei"
    token: str = field(default="", repr=False)  # the bearer token that the orchestrator shall send us
    verify_tls: bool = False  # orchestrators sign their own certificates

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ, **defaults: str) -> Registration | None:
        """From `ORCH_URL`, `ORCH_SECRET` and `CAPABILITY_*` as pytrickle names them, each also as `BYOC_…`.

        `defaults` (`name`, `url`, `token`) stand in for what isn't set. None without an orchestrator and its secret.
        Raises RegistrationError for a URL or a number that isn't one.
        """

        def read(name: str, default: str = "") -> str:
            return variable(name, environment) or default

        def number(name: str, default: int) -> int:
            value = read(name, str(default))
            if not value.isascii() or not value.isdigit():
                raise RegistrationError(f"{name} is {value!r}", hint="give it a whole number")
            return int(value)

        def address(name: str, default: str = "") -> str:
            value = read(name, default)
            with contextlib.suppress(ValueError):
                parts = urlsplit(value)
                if parts.scheme in ("http", "https") and parts.hostname and not parts.username:
                    return value.rstrip("/")
            shown = "a URL with a password" if "@" in value else repr(value)
            raise RegistrationError(f"{name} is {shown}", hint="give it a plain http:// or https:// URL")

        if not read("ORCH_URL") or not read("ORCH_SECRET"):
            return None
        if not read("ORCH_SECRET").isprintable():
            raise RegistrationError("ORCH_SECRET has more than one line", hint="give it the secret alone")
        return cls(
            orch_url=address("ORCH_URL"),
            orch_secret=read("ORCH_SECRET"),
            name=read("CAPABILITY_NAME", defaults.get("name", "byoc")),
            url=address("CAPABILITY_URL", defaults.get("url", "http://localhost:8000")),
            description=read("CAPABILITY_DESCRIPTION"),
            capacity=number("CAPABILITY_CAPACITY", 1),
            price_per_unit=number("CAPABILITY_PRICE_PER_UNIT", 0),
            price_scaling=number("CAPABILITY_PRICE_SCALING", 1),
            token=read("CAPABILITY_TOKEN", defaults.get("token", "")),
        )

    async def register(self) -> None:
        """Register; tries again after connection errors and 5xx, not after a refusal. Raises RegistrationError."""
        for attempt in range(1, FIRST_TRIES + 1):
            try:
                await self._register()
            except Unreachable:
                if attempt == FIRST_TRIES:
                    raise
                await asyncio.sleep(RETRY_SECONDS)
            else:
                logger.info("%s", self._registered())
                return

    async def unregister(self) -> None:
        """Take the capability back; one that the orchestrator doesn't know is none either. Raises RegistrationError."""
        await self._post("unregister", FAREWELL_SECONDS, data=self.name.encode())

    async def keep(self, idle: Callable[[], bool]) -> None:
        """Register, and again every minute while `idle()`; until cancelled, then unregister.

        Raises RegistrationError when the orchestrator refuses. One that can't be reached is logged once and asked on.
        """
        asked, registered, failures, due = False, False, 0, 0.0
        try:
            while True:
                if time.monotonic() >= due and idle():
                    pause, asked = REPEAT_SECONDS, True
                    try:
                        await self._register()
                    except Unreachable as error:
                        failures, registered = failures + 1, False
                        pause = RETRY_SECONDS if failures < FIRST_TRIES else REPEAT_SECONDS
                        logger.log(logging.WARNING if failures == 1 else logging.DEBUG, "%s", error.one_line())
                    except RegistrationError:
                        asked = False
                        raise
                    else:
                        logger.log(logging.DEBUG if registered else logging.INFO, "%s", self._registered())
                        failures, registered = 0, True
                    due = time.monotonic() + pause
                await asyncio.sleep(min(RETRY_SECONDS, REPEAT_SECONDS))
        finally:
            if asked:
                await self._farewell()

    async def _farewell(self) -> None:
        try:
            await self.unregister()
            logger.info("unregistered capability %s at %s", self.name, self.orch_url)
        except RegistrationError as error:  # an orchestrator that is away has forgotten it anyway
            logger.warning("the capability could not be unregistered: %s", error)

    def _registered(self) -> str:
        return f"registered capability {self.name} at {self.orch_url} as {self.url}"

    async def _register(self) -> None:
        body = {
            "name": self.name,
            "description": self.description,
            "url": self.url,
            "capacity": self.capacity,
            "price_per_unit": self.price_per_unit,
            "price_scaling": self.price_scaling,
            "currency": self.currency,
        }
        await self._post("register", ANSWER_SECONDS, json=body | ({"token": self.token} if self.token else {}))

    async def _post(self, what: str, seconds: float, **body: Any) -> None:
        timeout = aiohttp.ClientTimeout(total=seconds)
        connector = aiohttp.TCPConnector(ssl=self.verify_tls)
        headers = {"Authorization": self.orch_secret}
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, connector=connector) as http,
                # no redirects: the secret is for this host alone
                http.post(
                    f"{self.orch_url}/capability/{what}", headers=headers, allow_redirects=False, **body
                ) as answer,
            ):
                status, text = answer.status, await answer.content.read(MAX_ANSWER_BYTES)
        except (aiohttp.ClientError, OSError) as error:  # TimeoutError is an OSError
            why = f"{self.orch_url} can't be reached: {str(error) or type(error).__name__}"
            raise Unreachable(why, hint="is the orchestrator running, and ORCH_URL right?") from None
        if status >= 300:
            said = " ".join(text.decode(errors="replace").split())[:200]
            if status >= 500:
                raise Unreachable(f"{self.orch_url} answered {status}: {said}", hint="see the orchestrator's log")
            raise RegistrationError(
                f"{self.orch_url} refused capability {self.name} with {status}: {said}", hint="is ORCH_SECRET right?"
            )
