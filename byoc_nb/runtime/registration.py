"""Registration of the container with a go-livepeer orchestrator.

The orchestrator keeps capabilities in memory only: it forgets them when it restarts, when the container answers 401
and after connection errors. So a registration is repeated, but only while no stream runs, because repeating it sets
the orchestrator's count of running streams back to 0. The secret goes into `Authorization` as it is, without "Bearer".
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from byoc_nb.errors import ByocError

logger = logging.getLogger(__name__)

REPEAT_SECONDS = 60.0  # an orchestrator that restarted has the capability back within a minute
FIRST_TRIES, RETRY_SECONDS = 5, 2.0
ANSWER_SECONDS = 5.0


class RegistrationError(ByocError, RuntimeError):
    """The orchestrator refused the capability, or could not be reached."""


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
    def from_environment(cls, environment: Mapping[str, str] = os.environ, **defaults: Any) -> Registration | None:
        """From `ORCH_URL`, `ORCH_SECRET` and `CAPABILITY_*` as pytrickle names them, each also as `BYOC_…`.

        `defaults` stand in for what isn't set. None without an orchestrator and its secret. Raises RegistrationError
        for a number that isn't one.
        """

        def read(name: str, key: str) -> Any:
            return environment.get(f"BYOC_{name}") or environment.get(name) or defaults.get(key)

        def number(name: str, key: str, default: int) -> int:
            value = read(name, key)
            try:
                return default if value is None else int(value)
            except ValueError:
                raise RegistrationError(f"{name} is {value!r}", hint="give it a whole number") from None

        if not read("ORCH_URL", "orch_url") or not read("ORCH_SECRET", "orch_secret"):
            return None
        return cls(
            orch_url=str(read("ORCH_URL", "orch_url")).rstrip("/"),
            orch_secret=read("ORCH_SECRET", "orch_secret"),
            name=read("CAPABILITY_NAME", "name") or "byoc",
            url=str(read("CAPABILITY_URL", "url") or "http://localhost:8000").rstrip("/"),
            description=read("CAPABILITY_DESCRIPTION", "description") or "",
            capacity=number("CAPABILITY_CAPACITY", "capacity", 1),
            price_per_unit=number("CAPABILITY_PRICE_PER_UNIT", "price_per_unit", 0),
            price_scaling=number("CAPABILITY_PRICE_SCALING", "price_scaling", 1),
            token=read("CAPABILITY_TOKEN", "token") or "",
        )

    async def register(self, *, tries: int = FIRST_TRIES) -> None:
        """Register; tries again after connection errors and 5xx, not after a refusal. Raises RegistrationError."""
        body: dict[str, Any] = {
            "name": self.name,
            "description": self.description,
            "url": self.url,
            "capacity": self.capacity,
            "price_per_unit": self.price_per_unit,
            "price_scaling": self.price_scaling,
            "currency": self.currency,
        }
        if self.token:
            body["token"] = self.token
        for attempt in range(1, tries + 1):
            try:
                status, text = await self._post("register", json=body)
            except (aiohttp.ClientError, TimeoutError) as error:
                problem = f"{self.orch_url} can't be reached: {error or type(error).__name__}"
            else:
                if status < 400:
                    logger.info("registered capability %s at %s as %s", self.name, self.orch_url, self.url)
                    return
                problem = f"{self.orch_url} answered {status}: {text.strip()[:200]}"
                if status < 500:
                    raise RegistrationError(f"the capability was refused: {problem}", hint="is ORCH_SECRET right?")
            if attempt < tries:
                await asyncio.sleep(RETRY_SECONDS)
        raise RegistrationError(problem, hint="is the orchestrator running, and ORCH_URL right?")

    async def unregister(self) -> None:
        """Take the capability back; an orchestrator that can't be reached has forgotten it anyway."""
        try:
            await self._post("unregister", data=self.name.encode())
            logger.info("unregistered capability %s at %s", self.name, self.orch_url)
        except (aiohttp.ClientError, TimeoutError) as error:
            logger.warning("the capability could not be unregistered: %s", error or type(error).__name__)

    async def keep(self, idle: Callable[[], bool]) -> None:
        """Register, and again every minute while `idle()`; until cancelled, then unregister."""
        try:
            while True:
                if idle():
                    try:
                        await self.register()
                    except RegistrationError as error:
                        logger.warning("%s", error.one_line())
                await asyncio.sleep(REPEAT_SECONDS)
        finally:
            await self.unregister()

    async def _post(self, what: str, **body: Any) -> tuple[int, str]:
        timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
        connector = aiohttp.TCPConnector(ssl=self.verify_tls)
        async with (
            aiohttp.ClientSession(timeout=timeout, connector=connector) as http,
            http.post(
                f"{self.orch_url}/capability/{what}", headers={"Authorization": self.orch_secret}, **body
            ) as answer,
        ):
            return answer.status, await answer.text()
