"""A processor's parameters as the dashboard has them: what can be set, how it stands, and changes to it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from byoc_nb import params as params_
from byoc_nb.dashboard.fields import fields
from byoc_nb.errors import ByocError
from byoc_nb.params import ParamsError
from byoc_nb.runtime.requests import BadRequest, check_stream_params
from byoc_nb.runtime.server import StreamServer
from byoc_nb.runtime.stats import describe


class Controls:
    """Sees changes whoever makes them: `look` compares with what it last saw."""

    def __init__(self, server: StreamServer) -> None:
        self._server = server
        self._model: Any = Controls  # of no processor
        self._values: dict[str, Any] = {}

    def all(self) -> dict[str, Any]:
        """The message with every control (None for a processor without `Params`) and every value."""
        host = self._server.slot.current
        model = host.processor.model if host else None
        values = params_.as_dict(host.processor.values) if host else {}
        return {"type": "params", "fields": _fields(model) if model is not None else None, "values": values}

    def look(self) -> dict[str, Any] | None:
        """The message about what has changed since the last one; None where nothing has."""
        host = self._server.slot.current
        if host is None:
            return None
        model, values = host.processor.model, params_.as_dict(host.processor.values)
        if model is not self._model:
            self._model, self._values = model, values
            return self.all()
        if values == self._values:
            return None
        self._values = values
        return {"type": "values", "values": values}

    async def change(self, number: int, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Apply changes, which takes until the processor has taken them over; the answer to the change of this number.

        With `errors` by field, nothing has changed.
        """
        server = self._server
        answer: dict[str, Any] = {"type": "changed", "number": number, "errors": {}}
        own = {name: value for name, value in changes.items() if name not in params_.STREAM_KEYS}
        try:
            check_stream_params(dict(changes))
            await asyncio.wrap_future(server.slot.apply(own))
            if server.active and server.session is not None:
                server.session.update_stream_params(dict(changes))
        except (ParamsError, BadRequest) as error:
            answer["errors"] = error.errors
        except ByocError as error:
            answer["errors"] = dict.fromkeys(changes, error.one_line())
        except Exception as error:  # the user's `update_params` or, for a load-time parameter, the loading
            answer["errors"] = dict.fromkeys(changes, f"the processor refused it: {describe(error)}")
        host = server.slot.current
        return answer | {"values": params_.as_dict(host.processor.values) if host else {}}


def _fields(model: type[BaseModel]) -> list[dict[str, Any]]:
    return fields(model.model_json_schema(by_alias=False), params_.as_dict(params_.initial(model)))
