"""A container elsewhere as a dashboard has it, whatever the container says."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from byoc_nb.dashboard.attached import Attached
from byoc_nb.dashboard.messages import written
from byoc_nb.dashboard.samples import Sample
from byoc_nb.network.watching import Watching


def attached(status: dict[str, Any], schema: Any = None) -> Attached:
    container = SimpleNamespace(url="http://127.0.0.1:8000")
    given = {"container": container, "watching": Watching(), "active": True, "ended": "", "values": {"a": 1}}
    remote: Any = SimpleNamespace(**given, status=status, schema=schema)
    return Attached(remote)


def test_what_only_the_container_knows_is_taken_from_it():
    told = {
        "frames_dropped": 3,
        "drops": {"late": 3},
        "stages_ms": {"process": {"p50": 4, "p99": None}},
        "errors": 2,
        "last_error": "ValueError: x",
        "last_error_time": 5.5,
    }
    figures = attached(told).figures.now()
    assert figures["drops"] == {"late": 3} and Sample.of(figures, 0.0).process_ms_p50 == 4
    assert figures["error"] == {"line": "ValueError: x", "count": 2, "total": 2, "at": 5.5}


@pytest.mark.parametrize("odd", [None, [], "text", {"process": 3}, {"process": {"p50": "4"}}, float("nan")])
def test_figures_of_another_form_are_left_out(odd):
    names = ("frames_dropped", "drops", "stages_ms", "errors", "last_error_time")
    figures = attached({**dict.fromkeys(names, odd), "last_error": "ValueError: x"}).figures.now()
    assert Sample.of(figures, 0.0).process_ms_p50 is None
    assert isinstance(figures["drops"], dict) and figures["frames_dropped"] == 0
    assert figures["error"]["count"] == 1
    json.loads(written(figures))


@pytest.mark.parametrize(
    "properties", [[], 3, {"a": 5}, {"a": {"enum": 5}}, {"a": {"type": "number", "minimum": "0", "maximum": 1}}]
)
def test_parameters_of_a_schema_that_is_none_are_a_mapping(properties):
    message = attached({}, {"properties": properties}).controls.all()
    assert message["fields"] in (None, []) and message["values"] == {"a": 1}
