"""The controls that come of a JSON schema."""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field, SecretStr, create_model

from byoc_nb.dashboard.fields import fields


class Mode(Enum):
    SOFT = "soft"
    HARD = "hard"


class Point(BaseModel):
    x: int = 0


def control(annotation: Any, default: Any) -> dict[str, Any]:
    (one,) = of(create_model("Params", value=(annotation, default)))
    others = ("name", "title", "description", "default", "load", "secret")
    return {key: value for key, value in one.items() if key not in others}


def of(model: type[BaseModel]) -> list[dict[str, Any]]:
    return fields(model.model_json_schema(by_alias=False), model().model_dump(mode="json"))


@pytest.mark.parametrize(
    ("annotation", "default", "expected"),
    [
        (float, Field(0.3, ge=0, le=1), {"kind": "number", "integer": False, "min": 0, "max": 1, "step": 0.01}),
        (float, Field(5, gt=0, lt=10), {"kind": "number", "min": 0.1, "max": 9.9, "step": 0.1}),
        (int, Field(5, gt=0, le=10), {"kind": "number", "integer": True, "min": 1, "max": 10, "step": 1}),
        (int, Field(8, ge=0, le=64, multiple_of=8), {"kind": "number", "min": 0, "max": 64, "step": 8}),
        (float, Field(5, ge=0), {"kind": "number", "min": 0, "step": None}),
        (int | None, None, {"kind": "number", "nullable": True, "integer": True}),
        (bool, False, {"kind": "bool"}),
        (Literal["a", "b"], "a", {"kind": "choice", "choices": ["a", "b"]}),
        (Literal["a"], "a", {"kind": "choice", "choices": ["a"]}),
        (Literal[1, 2] | None, 1, {"kind": "choice", "choices": [1, 2, None]}),
        (Mode, Mode.SOFT, {"kind": "choice", "choices": ["soft", "hard"]}),
        (Mode | None, None, {"kind": "choice", "choices": ["soft", "hard", None]}),
        (str, "a forest", {"kind": "text", "nullable": False}),
        (str | None, None, {"kind": "text", "nullable": True}),
        (str, "#20c060", {"kind": "color"}),
        (str, Field("red", json_schema_extra={"format": "color"}), {"kind": "color"}),
        (tuple[float, float], (0, 1), {"kind": "numbers", "fixed": True, "integer": False}),
        (list[int], [1, 2], {"kind": "numbers", "fixed": False, "integer": True}),
        (list[str], ["a"], {"kind": "json"}),
        (dict[str, int], {}, {"kind": "json"}),
        (Point, Point(), {"kind": "json"}),
        (int | str, 1, {"kind": "json"}),
        (Any, None, {"kind": "json"}),
    ],
)
def test_kinds(annotation, default, expected):
    found = control(annotation, default)
    assert {key: found.get(key) for key in expected} == expected


def test_titles_descriptions_defaults_and_what_only_loading_takes_up():
    class Params(BaseModel):
        steps: int = Field(4, title="Denoising steps", description="more take longer")
        model: str = Field(default_factory=lambda: "small", alias="model_name", json_schema_extra={"load": True})

    one, other = of(Params)
    assert one["title"] == "Denoising steps" and one["description"] == "more take longer" and one["default"] == 4
    assert not one["load"]
    assert other["name"] == "model" and other["load"] and other["default"] == "small"


def test_a_schema_alone_tells_the_defaults_and_what_is_secret():
    class Params(BaseModel):
        steps: int = 4
        key: SecretStr = SecretStr("")

    steps, key = fields(Params.model_json_schema())
    assert steps["default"] == 4 and not steps["secret"]
    assert key["secret"] and key["kind"] == "text"


class Login(BaseModel):
    user: str = ""
    password: SecretStr = SecretStr("")


class Tree(BaseModel):
    more: list[Tree] = []


@pytest.mark.parametrize(
    ("annotation", "default", "secret"),
    [
        (SecretStr | None, None, True),
        (list[SecretStr], [], True),
        (Login, Login(), True),
        (dict[str, Login], {}, True),
        (Point, Point(), False),
        (Tree, Tree(), False),
    ],
)
def test_what_has_a_secret_inside_is_one(annotation, default, secret):
    (one,) = of(create_model("Params", value=(annotation, default)))
    assert one["secret"] is secret


def test_a_slider_may_go_over_all_numbers_there_are():
    assert control(float, Field(0, ge=-1.7e308, le=1.7e308))["step"] == 1e306


def test_an_empty_schema_has_no_controls():
    assert fields({"type": "object", "properties": {}}) == []
