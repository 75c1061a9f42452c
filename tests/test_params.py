"""Declared parameters: a change validates as a whole or changes nothing."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    computed_field,
    create_model,
    field_validator,
    model_validator,
)

from byoc_nb import params
from byoc_nb.params import ParamsError


class Point(BaseModel):
    x: int = 0
    y: int = 0


class Mode(Enum):
    SOFT = "soft"
    HARD = "hard"


class Tint(BaseModel):
    strength: float = Field(0.3, ge=0, le=1)
    mode: Literal["add", "multiply"] = "add"
    name: str = "tint"
    tiles: int = Field(2, multiple_of=2)
    at: Point = Point(x=1, y=2)
    colours: list[int] = [1, 2]
    spots: dict[str, Point] = {"first": Point()}


class Band(BaseModel):
    low: float = 0.2
    high: float = 0.4

    @model_validator(mode="after")
    def ordered(self) -> Band:
        if self.low >= self.high:
            raise ValueError("low must be below high")
        return self


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    known: int = 1


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    known: int = 1


class Aliased(BaseModel):
    strength: float = Field(0.3, alias="Strength")


def refusal(values: params.Values, changes: dict[str, Any]) -> ParamsError:
    before = params.as_dict(values)
    with pytest.raises(ParamsError) as caught:
        params.merge(values, changes)
    assert params.as_dict(values) == before
    return caught.value


# ---- the beginning


def test_a_processor_begins_with_the_defaults() -> None:
    assert params.initial(Tint) == Tint()
    assert params.initial(None) == {}


def test_a_field_without_a_default_is_refused_by_name() -> None:
    class Needy(BaseModel):
        model: str
        size: int = 1

    with pytest.raises(ParamsError) as caught:
        params.initial(Needy)
    assert list(caught.value.errors) == ["model"]
    assert "default" in caught.value.hint


def test_an_invalid_default_is_refused_at_once_and_not_with_the_first_change_of_another_field() -> None:
    class Wrong(BaseModel):
        strength: float = Field(5.0, le=1)

    with pytest.raises(ParamsError, match=r"strength: .*1, got 5\.0"):
        params.initial(Wrong)


def test_an_annotation_that_leads_nowhere_is_told_in_one_line() -> None:
    class Lost(BaseModel):
        mode: Unheard = 1  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(ParamsError, match="Unheard") as caught:
        params.initial(Lost)
    assert "import or define" in caught.value.one_line()


def test_a_private_attribute_gets_its_default() -> None:
    class Private(BaseModel):
        a: int = 1
        _cache: int = 5

    assert params.merge(params.initial(Private), {"a": 2})._cache == 5


# ---- changes


def test_a_change_gives_new_values_and_leaves_the_old_ones_alone() -> None:
    old = params.initial(Tint)
    new = params.merge(old, {"strength": 0.8, "mode": "multiply"})
    assert (new.strength, new.mode, new.name) == (0.8, "multiply", "tint")
    assert old == Tint()


def test_new_values_share_nothing_mutable_with_the_old_ones() -> None:
    old = params.initial(Tint)
    new = params.merge(old, {"strength": 0.8})
    new.at.x, new.spots["first"].x = 99, 99
    new.colours.append(3)
    assert old == Tint()


def test_initial_values_share_nothing_mutable_with_the_class() -> None:
    first = params.initial(Tint)
    first.at.x = 99
    assert params.initial(Tint).at.x == 1


def test_values_are_converted_as_pydantic_does_it() -> None:
    assert params.merge(Tint(), {"strength": "0.5", "tiles": 4.0}) == Tint(strength=0.5, tiles=4)


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"strength": 1.5}, "strength", "less than or equal to 1, got 1.5"),
        ({"strength": -0.1}, "strength", "greater than or equal to 0"),
        ({"strength": "much"}, "strength", "valid number"),
        ({"strength": None}, "strength", "valid number"),
        ({"tiles": 3}, "tiles", "multiple of 2"),
        ({"mode": "divide"}, "mode", "'add' or 'multiply', got 'divide'"),
        ({"at": {"x": "left"}}, "at.x", "valid integer"),
        ({"at": 3}, "at", "Point"),
    ],
)
def test_a_bad_value_is_refused_with_its_field_the_rule_and_what_was_given(
    changes: dict[str, Any], field: str, said: str
) -> None:
    error = refusal(Tint(), changes)
    assert list(error.errors) == [field]
    assert said in error.errors[field]
    assert "\n" not in error.one_line()


def test_one_bad_value_refuses_the_good_ones_with_it() -> None:
    error = refusal(Tint(), {"strength": 0.9, "tiles": 3, "mode": "divide"})
    assert set(error.errors) == {"tiles", "mode"}


def test_a_long_value_is_cut_in_the_message() -> None:
    assert len(refusal(Tint(), {"strength": "x" * 10_000}).one_line()) < 200


def test_a_nested_model_is_replaced_as_a_whole() -> None:
    assert params.merge(Tint(), {"at": {"y": 7}}).at == Point(x=0, y=7)


def test_a_model_validator_sees_all_changes_together() -> None:
    assert params.merge(Band(), {"low": 0.6, "high": 0.8}) == Band(low=0.6, high=0.8)
    assert "low must be below high" in str(refusal(Band(), {"low": 0.6}))


def test_a_field_validator_runs_and_its_words_are_told() -> None:
    class Even(BaseModel):
        size: int = 2

        @field_validator("size")
        @classmethod
        def even(cls, value: int) -> int:
            if value % 2:
                raise ValueError("must be even")
            return value

    assert params.merge(Even(), {"size": 4}).size == 4
    assert "must be even, got 3" in refusal(Even(), {"size": 3}).errors["size"]


def test_annotated_fields_keep_their_bounds() -> None:
    class Bounded(BaseModel):
        gain: Annotated[int, Field(ge=1, le=3)] = 1

    assert "gain" in refusal(Bounded(), {"gain": 4}).errors


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_no_number_gets_past_the_bounds(value: float) -> None:
    try:
        strength = params.merge(Tint(), {"strength": value}).strength
    except ParamsError as error:
        assert list(error.errors) == ["strength"]
        assert not 0 <= value <= 1
    else:
        assert 0 <= strength <= 1


# ---- names


def test_an_unknown_name_is_refused_with_the_nearest_known_one() -> None:
    error = refusal(Tint(), {"strenght": 0.5})
    assert error.errors == {"strenght": "no such parameter"}
    assert error.one_line() == "strenght: no such parameter: did you mean 'strength'?"


def test_an_unknown_name_far_from_all_gets_the_list() -> None:
    assert "strength, mode, name, tiles" in refusal(Tint(), {"qqq": 1}).hint


def test_every_unknown_name_is_told() -> None:
    assert set(refusal(Tint(), {"aa": 1, "bb": 2, "strength": 0.5}).errors) == {"aa", "bb"}


@pytest.mark.parametrize("model", [Tint, Open, Closed])
def test_keys_of_the_stream_are_no_parameters_and_no_mistake(model: type[BaseModel]) -> None:
    assert params.merge(model(), {"width": 640, "height": 480}) == model()


def test_a_parameter_may_have_the_name_of_a_stream_key() -> None:
    class Sized(BaseModel):
        width: int = 1

    assert params.merge(Sized(), {"width": 2}).width == 2


@pytest.mark.parametrize("model", [Tint, Closed])
def test_unknown_names_can_be_passed_over(model: type[BaseModel]) -> None:
    assert params.merge(model(), {"unheard_of": 1}, ignore_unknown=True) == model()


def test_a_model_that_allows_extras_keeps_them() -> None:
    values = params.merge(Open(), {"more": 2})
    assert params.as_dict(params.merge(values, {"known": 3})) == {"known": 3, "more": 2}


def test_fields_with_an_alias_go_by_their_name() -> None:
    values = params.merge(params.initial(Aliased), {"strength": 0.9})
    assert params.as_dict(values) == {"strength": 0.9}
    assert "Strength" in refusal(values, {"Strength": 0.9}).errors


def test_without_a_model_everything_is_taken() -> None:
    old: dict[str, Any] = {"a": 1}
    assert params.merge(old, {"b": [2]}) == {"a": 1, "b": [2]}
    assert old == {"a": 1}


# ---- a new processor


def test_values_carry_over_by_name() -> None:
    old = params.as_dict(Tint(strength=0.9, mode="multiply", at=Point(x=5)))
    assert params.carry_over(Tint, old) == (Tint(strength=0.9, mode="multiply", at=Point(x=5)), {})


def test_what_is_gone_or_no_longer_valid_is_named_and_the_rest_kept() -> None:
    class New(BaseModel):
        strength: float = Field(0.1, le=0.5)
        mode: Literal["add", "multiply"] = "add"

    values, dropped = params.carry_over(New, {"strength": 0.9, "mode": "multiply", "name": "x"})
    assert values == New(strength=0.5, mode="multiply")
    assert dropped == {"name": "no longer declared", "strength": "0.9 → 0.5"}


@pytest.mark.parametrize(
    ("field", "value", "becomes"),
    [(Field(0, ge=-1), -3, -1), (Field(0, le=5), 6, 5), (Field(0.5, gt=0, lt=1), 3.0, 0.5), (Field(0), "x", 0)],
)
def test_a_number_beyond_its_new_limit_becomes_the_limit_where_there_is_one(field, value, becomes) -> None:
    model = create_model("New", amount=(float, field))
    values, changed = params.carry_over(model, {"amount": value})
    assert (values.amount, list(changed)) == (becomes, ["amount"])


def test_values_that_are_only_valid_together_carry_over_together() -> None:
    assert params.carry_over(Band, {"low": 0.6, "high": 0.8}) == (Band(low=0.6, high=0.8), {})


def test_extras_carry_over_to_a_model_that_allows_them() -> None:
    values, dropped = params.carry_over(Open, {"known": 2, "more": 3})
    assert (params.as_dict(values), dropped) == ({"known": 2, "more": 3}, {})


def test_a_computed_field_is_not_reported_as_lost() -> None:
    class Computed(BaseModel):
        side: int = 2

        @computed_field  # type: ignore[prop-decorator]
        @property
        def area(self) -> int:
            return self.side**2

    old = params.merge(Computed(), {"side": 3})
    assert params.carry_over(Computed, params.as_dict(old)) == (old, {})


def test_secrets_carry_over_and_are_masked_elsewhere() -> None:
    class Login(BaseModel):
        password: SecretStr = SecretStr("")

    class Params(BaseModel):
        key: SecretStr = SecretStr("")
        maybe: SecretStr | None = None
        login: Login = Login()
        several: list[SecretStr] = []
        size: int = 3

    given = {"key": "one", "maybe": "two", "login": {"password": "three"}, "several": ["four"], "size": 4}
    values = params.merge(params.initial(Params), given)
    assert not any(secret in str(params.as_dict(values)) for secret in ("one", "two", "three", "four"))
    held = params.chosen(values)
    assert held["size"] == 4 and not any(secret in str(held) for secret in ("one", "two", "three", "four"))
    again, dropped = params.carry_over(Params, held)
    assert again == values and dropped == {}


def test_without_a_model_all_values_carry_over() -> None:
    old = {"a": 1, "width": 2}
    values, dropped = params.carry_over(None, old)
    assert (values, dropped) == (old, {})
    assert values is not old


def test_keys_of_the_stream_are_not_reported_as_lost() -> None:
    assert params.carry_over(Tint, {"width": 640}) == (Tint(), {})


# ---- an export's own defaults


def test_a_processor_starts_with_the_values_that_it_is_given() -> None:
    class P:
        class Params(BaseModel):
            strength: float = Field(0.3, ge=0, le=1, description="How much.")
            mode: Mode = Mode.SOFT
            inner: Point = Field(default_factory=Point)
            size: int = 5

            @field_validator("size")
            @classmethod
            def even(cls, value: int) -> int:
                return value // 2 * 2

    before = P.Params
    params.start_with(P, {"strength": 0.75, "mode": "hard", "inner": {"x": 2, "y": 0}})
    values = params.initial(P.Params)
    assert params.as_dict(values) == {"strength": 0.75, "mode": "hard", "inner": {"x": 2, "y": 0}, "size": 4}
    assert P.Params().mode is Mode.HARD  # type: ignore[attr-defined]
    assert issubclass(P.Params, before)
    field = P.Params.model_json_schema()["properties"]["strength"]
    assert (field["default"], field["maximum"], field["description"]) == (0.75, 1, "How much.")
    assert params.chosen(values) == {}
    with pytest.raises(ParamsError):
        params.merge(values, {"strength": 2})


def test_values_that_the_model_refuses_are_told() -> None:
    class P:
        class Params(BaseModel):
            strength: float = Field(0.3, le=1)

    with pytest.raises(ParamsError, match="strength"):
        params.start_with(P, {"strength": 3})
    with pytest.raises(ParamsError, match="no such parameter"):
        params.start_with(P, {"unheard_of": 3})
    assert params.as_dict(params.initial(P.Params)) == {"strength": 0.3}


def test_without_declared_parameters_there_is_nothing_to_start_with() -> None:
    def function(frame: object) -> object:
        return frame

    params.start_with(function, {"strength": 1})
    assert not hasattr(function, "Params")


def test_what_is_secret_is_not_public():
    class Params(BaseModel):
        level: float = 0.5
        key: SecretStr = SecretStr("of the code")
        keys: list[SecretStr] = Field(default_factory=lambda: [SecretStr("one")])

    assert params.public(Params()) == {"level": 0.5}
    assert params.public({"anything": 1}) == {"anything": 1}
