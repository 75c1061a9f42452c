"""The body of /stream/start, field by field."""

from __future__ import annotations

import json

import pytest

from byoc_nb.runtime.requests import BadRequest, check_stream_params, parse_object, parse_start

CAPTURED = {  # as go-livepeer's orchestrator sends it
    "gateway_request_id": "cam-7f3a91c2",
    "control_url": "http://10.0.0.5:8935/ai/trickle/cam-7f3a91c2-control",
    "events_url": "http://10.0.0.5:8935/ai/trickle/cam-7f3a91c2-events",
    "subscribe_url": "http://10.0.0.5:8935/ai/trickle/cam-7f3a91c2",
    "publish_url": "http://10.0.0.5:8935/ai/trickle/cam-7f3a91c2-out",
    "data_url": "http://10.0.0.5:8935/ai/trickle/cam-7f3a91c2-data",
    "params": {"prompt": "cat", "width": 512, "height": 512, "max_framerate": 30},
}


def parse(**changes):
    return parse_start(json.dumps({**CAPTURED, **changes}).encode())


def refused(**changes):
    with pytest.raises(BadRequest) as caught:
        parse(**changes)
    return caught.value.errors


def test_the_captured_request():
    request = parse()
    assert request.size == (512, 512)
    assert request.max_framerate == 30
    assert request.subscribe_url.endswith("cam-7f3a91c2")


def test_null_params_and_unknown_keys():
    request = parse(params=None, something_new={"a": 1})
    assert (request.params, request.size, request.max_framerate) == ({}, None, None)


@pytest.mark.parametrize("absent", ["subscribe_url", "publish_url", "control_url", "events_url", "data_url"])
@pytest.mark.parametrize("value", [None, "", "missing"])
def test_every_channel_is_optional(absent, value):
    body = {**CAPTURED, absent: value}
    if value == "missing":
        del body[absent]
    assert getattr(parse_start(json.dumps(body).encode()), absent) == ""


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[1]", b'"x"', b"null", b"[" * 100_000])
def test_what_is_no_json_object(body):
    with pytest.raises(BadRequest) as caught:
        parse_object(body)
    assert list(caught.value.errors) == ["body"]


def test_the_request_id_is_required():
    with pytest.raises(BadRequest) as caught:
        parse_start(b"{}")
    assert caught.value.errors == {"gateway_request_id": "is required"}
    assert "gateway_request_id" in refused(gateway_request_id="")
    assert "gateway_request_id" in refused(gateway_request_id=5)


@pytest.mark.parametrize("url", ["not a url", "ftp://x/y", "http://", "http://[::1", "http://host:port/ch", 7, "/path"])
def test_bad_urls(url):
    assert list(refused(subscribe_url=url)) == ["subscribe_url"]


@pytest.mark.parametrize("params", [[], "x", 5, True])
def test_params_of_the_wrong_type(params):
    assert list(refused(params=params)) == ["params"]


def test_width_and_height_come_together():
    assert refused(params={"width": 512}) == {"params": "Both 'width' and 'height' must be provided together"}
    assert "params" in refused(params={"height": 512})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", "wide"), ("width", None), ("width", True), ("width", 1), ("width", 100_000), ("width", 10**400),
        ("width", "nan"), ("max_framerate", 0), ("max_framerate", 61), ("max_framerate", "fast"),
        ("max_framerate", "inf"),
    ],
)  # fmt: skip
def test_values_that_no_stream_can_have(name, value):
    params = {"width": 512, "height": 512, name: value}
    assert list(refused(params=params)) == [f"params.{name}"]


def test_numbers_as_text_are_taken():
    request = parse(params={"width": "640", "height": "4.8e2", "max_framerate": "29.97"})
    assert (request.size, request.max_framerate) == ((640, 480), 29.97)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999", "-1e999"])
def test_numbers_that_json_does_not_have(value):
    """What is taken comes back in the status and in the events, and the gateway drops those that aren't JSON."""
    with pytest.raises(BadRequest, match="no number"):
        parse_start(b'{"gateway_request_id": "x", "params": {"a": [%s]}}' % value.encode())


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_what_is_nested_too_deep_to_be_written_again(opening, closing):
    def nested(depth):
        return f'{{"gateway_request_id": "x", "params": {{"a": {opening * depth}1{closing * depth}}}}}'.encode()

    assert parse_start(nested(50))
    with pytest.raises(BadRequest, match="nested"):
        parse_start(nested(64))
    assert parse_start(b'{"gateway_request_id": "x", "params": {"a": [%s]}}' % b",".join([b"[]"] * 1000))


def test_no_limit_of_the_rate():
    check_stream_params({"max_framerate": None})
    assert parse(params={"max_framerate": None}).max_framerate is None
