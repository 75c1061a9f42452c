"""Declared parameters of a processor: validation, JSON schema, load-time against run-time.

A processor declares them as a pydantic v2 model named `Params`; the current values are then an instance of that model.
A processor without `Params` has a plain dict of whatever was sent. Values only ever change as a whole: a set of
changes either validates and gives new values, or raises `ParamsError` and nothing changes.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Iterable, Mapping
from copy import copy
from typing import Any

from pydantic import BaseModel, PydanticUserError, SecretBytes, SecretStr, ValidationError, create_model

from byoc_nb.errors import ByocError

Values = BaseModel | dict[str, Any]

# Keys of a stream's `params` that belong to the stream, not to the processor (go-livepeer's clients send them mixed).
STREAM_KEYS = frozenset({"width", "height", "max_framerate", "detect_out_resolution", "show_loading"})


class ParamsError(ByocError, ValueError):
    """Parameter values that the processor's `Params` refuses.

    `errors` maps the field's name to what is wrong with its value; the old values stay in force.
    """

    def __init__(self, errors: Mapping[str, str], *, hint: str = "") -> None:
        self.errors = dict(errors)
        super().__init__("; ".join(f"{field}: {text}" for field, text in self.errors.items()), hint=hint)


def initial(model: type[BaseModel] | None) -> Values:
    """The values that a processor starts with: every default of `model`, or an empty dict without a model.

    Raises `ParamsError` when a field has no default or an invalid one: a stream must be able to start without any
    parameter, and every later change validates all of them.
    """
    if model is None:
        return {}
    try:
        return _validated(model, dict(model()), chosen=())
    except ValidationError as error:
        raise ParamsError(_fields(error), hint="give every field of Params a valid default") from None
    except PydanticUserError as error:  # an annotation names something that isn't there
        raise ParamsError({"Params": str(error.message)}, hint="import or define it before the class") from None


def start_with(processor: Any, values: Mapping[str, Any]) -> None:
    """Make these values the defaults of a processor's `Params`; an export calls it with what its notebook had set.

    They are there from before `__init__` on and in the JSON schema. Raises `ParamsError` where the model refuses them;
    without a model nothing is declared, and nothing is done.
    """
    model = getattr(processor, "Params", None)
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return
    new = merge(initial(model), values)
    fields: dict[str, Any] = {}
    for name in values.keys() & model.model_fields.keys():
        field = copy(model.model_fields[name])
        field.default, field.default_factory = getattr(new, name), None
        fields[name] = (field.annotation, field)
    processor.Params = create_model(model.__name__, __base__=model, __module__=model.__module__, **fields)


def merge(current: Values, changes: Mapping[str, Any], *, ignore_unknown: bool = False) -> Values:
    """New values: `current` with `changes` applied and validated. `current` itself is never touched.

    An unknown name (an alias is one) raises, with the nearest known one as the hint, unless `ignore_unknown`. All
    values are validated, the unchanged ones again: a validator must leave alone what it has accepted before.
    """
    if not isinstance(current, BaseModel):
        return {**current, **changes}
    model = type(current)
    known = model.model_fields
    taken = {name: value for name, value in changes.items() if name in known}
    others = {name: value for name, value in changes.items() if name not in known and name not in STREAM_KEYS}
    if model.model_config.get("extra") == "allow":
        taken |= others
    elif others and not ignore_unknown:
        near = difflib.get_close_matches(next(iter(others)), known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known) or 'none'}"
        raise ParamsError(dict.fromkeys(others, "no such parameter"), hint=hint)
    old = dict(current.model_copy(deep=True))  # nested models would be shared otherwise
    try:
        return _validated(model, {**old, **taken}, chosen={*current.model_fields_set, *taken})
    except ValidationError as error:
        raise ParamsError(_fields(error)) from None


def carry_over(model: type[BaseModel] | None, values: Mapping[str, Any]) -> tuple[Values, dict[str, str]]:
    """The values of an old processor under the `Params` of a new one.

    Returns the new values and, for each old value that could not be kept, its name and the reason. A number beyond its
    new limit becomes the limit.
    """
    result = initial(model)
    if model is None:
        return dict(values), {}
    gone = set() if model.model_config.get("extra") == "allow" else set(values) - set(model.model_fields)
    dropped = dict.fromkeys(sorted(gone - STREAM_KEYS - set(model.model_computed_fields)), "no longer declared")
    kept = {name: value for name, value in values.items() if name not in gone}
    try:
        return merge(result, kept), dropped  # at once, because a model validator may want several of them together
    except ParamsError:
        pass
    for name, value in kept.items():
        try:
            result = merge(result, {name: value})
        except ParamsError as error:
            dropped[name] = error.errors.get(name, str(error))
            limit = _nearest(model, name, value)
            with contextlib.suppress(ParamsError):
                if limit is not None:
                    result = merge(result, {name: limit})
                    dropped[name] = f"{value} → {limit}"
    return result, dropped


def _nearest(model: type[BaseModel], name: str, value: Any) -> Any:
    """The limit of a field that the number goes beyond; None where there is none to go to."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    for limit in model.model_fields[name].metadata:
        low, high = getattr(limit, "ge", None), getattr(limit, "le", None)
        if low is not None and value < low:
            return low
        if high is not None and value > high:
            return high
    return None


def load_time(values: Values) -> dict[str, Any]:
    """The values that only loading takes up: of the fields with `json_schema_extra={"load": True}`."""
    if not isinstance(values, BaseModel):
        return {}
    extras = {name: field.json_schema_extra for name, field in type(values).model_fields.items()}
    return {
        name: getattr(values, name) for name, extra in extras.items() if isinstance(extra, dict) and extra.get("load")
    }


def as_dict(values: Values) -> dict[str, Any]:
    """The values as data, by name: JSON-able where they belong to a model, as they were sent otherwise."""
    return values.model_dump(mode="json") if isinstance(values, BaseModel) else dict(values)


def chosen(values: Values) -> dict[str, Any]:
    """The values that were set on purpose; the others follow the defaults in the code.

    As `as_dict` gives them, but for secrets: those stay pydantic's, since a masked one would be another value.
    """
    if not isinstance(values, BaseModel):
        return dict(values)
    data, kept = (values.model_dump(mode=mode, exclude_unset=True) for mode in ("json", "python"))
    return {name: kept[name] if is_secret(kept[name]) else value for name, value in data.items()}


def public(values: Values) -> dict[str, Any]:
    """The values as data, without those that are secret: what may be written into a file."""
    return {name: value for name, value in as_dict(values).items() if not is_secret(getattr(values, name, None))}


def is_secret(value: Any) -> bool:
    """Whether it is one of pydantic's secrets, or holds one."""
    if isinstance(value, Mapping):
        return any(map(is_secret, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(is_secret, value))
    return isinstance(value, SecretStr | SecretBytes)


def _validated(model: type[BaseModel], values: dict[str, Any], *, chosen: Iterable[str]) -> BaseModel:
    """An instance with these values, by name as `as_dict` gives them, that knows which of them are `chosen`."""
    result = model.model_validate(values, by_alias=False, by_name=True)
    result.model_fields_set.clear()
    result.model_fields_set.update(chosen)
    return result


def _fields(error: ValidationError) -> dict[str, str]:
    """What pydantic found, one plain sentence a field, the refused value included."""
    found: dict[str, str] = {}
    for item in error.errors(include_url=False):
        name = ".".join(str(part) for part in item["loc"]) or "params"
        given = "" if item["type"] == "missing" else f", got {item['input']!r:.80}"
        found[name] = item["msg"].replace("Input should", "should") + given
    return found
