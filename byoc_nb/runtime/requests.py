"""What comes with a request: the body of `/stream/start`, checked field by field, and the ways to refuse."""

from __future__ import annotations

import json
import math
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from byoc_nb.errors import ByocError

MAX_SIDE = 8192  # pixels; more is a mistake or an attack, and libx264 takes no more at level 6.2
MAX_FRAMERATE = 60  # frames per second, pytrickle's bound
MAX_DEPTH = 64  # of arrays and objects; what is taken here is written again in the status, and that must not fail


class BadRequest(ByocError, ValueError):
    """A request that can't be served as it is; `errors` maps the field's name to what is wrong."""

    def __init__(self, errors: dict[str, str]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{field}: {text}" for field, text in errors.items()))


class Busy(ByocError, RuntimeError):
    """The container serves another stream, or can't serve any."""


class NoStream(ByocError, RuntimeError):
    """There is no stream that the request could concern."""


class StreamStart(BaseModel):
    """Which channels a stream has and what it starts with; every URL is optional, unknown keys are ignored."""

    model_config = ConfigDict(extra="ignore")

    gateway_request_id: str = Field(min_length=1, max_length=256)
    subscribe_url: str = ""
    publish_url: str = ""
    control_url: str = ""
    events_url: str = ""
    data_url: str = ""
    params: dict[str, Any] = Field(default_factory=dict)

    @field_validator("subscribe_url", "publish_url", "control_url", "events_url", "data_url", mode="before")
    @classmethod
    def _url(cls, value: Any) -> Any:
        if value is None:
            return ""
        if isinstance(value, str) and value:
            parts = urlsplit(value)
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("must be an http:// or https:// URL")
            _ = parts.port  # raises ValueError for what is no port
        return value

    @field_validator("params", mode="before")
    @classmethod
    def _null_params(cls, value: Any) -> Any:
        return {} if value is None else value  # a client that sends none makes go-livepeer send null

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height that the pictures are scaled to; None keeps the input's."""
        if "width" not in self.params:
            return None
        return int(float(self.params["width"])), int(float(self.params["height"]))

    @property
    def max_framerate(self) -> float | None:
        """Frames per second, None without a limit."""
        value = self.params.get("max_framerate")
        return None if value is None else float(value)


def parse_start(body: bytes) -> StreamStart:
    """The request in `body`; raises BadRequest with the names of the fields that are wrong."""
    try:
        request = StreamStart.model_validate(parse_object(body))
    except ValidationError as error:
        found: dict[str, str] = {}
        for item in error.errors(include_url=False):
            text = "is required" if item["type"] == "missing" else item["msg"].removeprefix("Value error, ")
            found[".".join(str(part) for part in item["loc"])] = text
        raise BadRequest(found) from None
    check_stream_params(request.params)
    return request


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`; raises BadRequest, also for numbers that JSON doesn't have."""
    try:
        value = json.loads(body, parse_float=_finite, parse_constant=_finite)
    except (ValueError, RecursionError) as error:
        raise BadRequest({"body": f"isn't JSON ({error})"}) from None
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _deeper(value, MAX_DEPTH):
        raise BadRequest({"body": f"is nested deeper than {MAX_DEPTH}"})
    if not isinstance(value, dict):
        raise BadRequest({"body": "must be a JSON object"})
    return value


def _finite(text: str) -> float:
    if not math.isfinite(number := float(text)):
        raise ValueError(f"{text:.40} is no number")
    return number


def _deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        inner = (item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list))
        level = [value for values in inner for value in values]
    return bool(level)


def check_stream_params(params: dict[str, Any]) -> None:
    """Check the keys of `params` that belong to the stream; raises BadRequest."""
    if ("width" in params) != ("height" in params):
        raise BadRequest({"params": "Both 'width' and 'height' must be provided together"})
    for name in ("width", "height"):
        if name in params and not 2 <= _number(params, name) <= MAX_SIDE:
            raise BadRequest({f"params.{name}": f"must be 2 to {MAX_SIDE} pixels"})
    if params.get("max_framerate") is not None and not 1 <= _number(params, "max_framerate") <= MAX_FRAMERATE:
        raise BadRequest({"params.max_framerate": f"must be 1 to {MAX_FRAMERATE} frames per second"})


def _number(params: dict[str, Any], name: str) -> float:
    value = params[name]
    try:
        if isinstance(value, bool):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise BadRequest({f"params.{name}": f"must be a number, not {value!r:.80}"}) from None
