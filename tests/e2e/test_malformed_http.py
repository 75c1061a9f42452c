"""Whatever is sent to a route: no 500, no traceback, no hang, and the servers work on."""

from __future__ import annotations

import gzip
import json
import string
import zlib
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from malformed_kit import PATIENCE, Servers, dumps, request, servers

FIELDS = ["gateway_request_id", "subscribe_url", "publish_url", "control_url", "events_url", "data_url", "params"]
GET = ["/health", "/version", "/app-version", "/hardware/info", "/hardware/stats", "/params/schema", "/metrics"]
GET += ["/stream/status", "/api/stream/status"]
POST = ["/stream/start", "/stream/params", "/stream/stop", "/api/stream/start", "/live-video-to-video"]
POST += ["/live/video-to-video", "/process/frame"]
CHANNEL = ["/ai/trickle/ch", "/ai/trickle/none", "/ai/trickle/_changes"]

some = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(scope="module")
def running() -> Iterator[Servers]:
    with servers() as made:
        yield made
        made.healthy()


# ---- JSON

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["\ud800", "\x00", "NaN", "1e999", "http://", "http://[", "http://127.0.0.1:9/x", 10**400, -0.0])
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
stream_params = st.dictionaries(
    st.sampled_from(["width", "height", "max_framerate", "strength", "mode", "points", "name", "show_loading", ""]),
    values | st.sampled_from(["640", "640.5", "1e2", "٣٢٠", 2, 3, 8192, 1e308, [[1, 2]], "hard"]),
)


@some
@given(body=st.dictionaries(st.sampled_from(FIELDS), values | stream_params), valid_id=st.booleans())
def test_a_start_with_fields_of_any_type(running: Servers, body: dict, valid_id: bool) -> None:
    if valid_id:
        body["gateway_request_id"] = "x"
    (status,) = running.harmless("container", request("POST", "/stream/start", [], dumps(body)))
    assert status in (200, 400)
    running.healthy()
    running.idle()


@some
@given(params=stream_params)
def test_a_start_with_params_of_any_type(running: Servers, params: dict) -> None:
    body = {"gateway_request_id": "x", "params": params}
    (status,) = running.harmless("container", request("POST", "/stream/start", [], dumps(body)))
    assert status in (200, 400)
    running.healthy()
    running.idle()


@some
@given(params=values | stream_params)
def test_an_update_of_any_kind_while_a_stream_runs(running: Servers, params: object) -> None:
    assert running.ask("container", "POST", "/stream/start", b'{"gateway_request_id": "x"}')[0] in (200, 503)
    (status,) = running.harmless("container", request("POST", "/stream/params", [], dumps(params)))
    assert status in (200, 400)
    running.healthy()


depths = st.sampled_from([10, 62, 63, 64, 65, 300, 900, 980, 1500, 100_000])


@settings(some, max_examples=40)
@given(path=st.sampled_from(POST), depth=depths, kind=st.sampled_from(["[", '{"a":']), key=st.booleans())
def test_json_that_is_nested_deep(running: Servers, path: str, depth: int, kind: str, key: bool) -> None:
    deep = kind * depth + "1" + ("]" if kind == "[" else "}") * depth
    body = f'{{"gateway_request_id": "x", "params": {{"name": {deep}}}, "other": {deep}}}' if key else deep
    running.harmless("container", request("POST", path, [], body.encode()))
    running.healthy()
    running.idle()


numbers = st.sampled_from(
    ["NaN", "Infinity", "-Infinity", "1e999", "9" * 5000, "1." + "0" * 9999, "-0", "1e-999", "0x1"]
)


@some
@given(
    path=st.sampled_from(POST), field=st.sampled_from(["width", "max_framerate", "strength", "other"]), number=numbers
)
def test_numbers_that_json_or_python_does_not_have(running: Servers, path: str, field: str, number: str) -> None:
    body = f'{{"gateway_request_id": "x", "height": 64, "params": {{"height": 64, "{field}": {number}}}}}'
    running.harmless("container", request("POST", path, [], body.encode()))
    running.healthy()
    running.idle()


# ---- bodies and headers

NAMES = [
    "Content-Type", "Content-Encoding", "Transfer-Encoding", "Content-Length", "Expect", "Authorization", "Accept",
    "X-Width", "X-Height", "Range", "Upgrade", "Cookie", "Host", "Expect-Content", "Lp-Trickle-Reset", "X-Stream-Id",
    "Accept-Encoding", "If-Modified-Since", "Connection", "Sec-WebSocket-Key", "Origin", "Referer",
]  # fmt: skip
ODD = [
    "application/json", "multipart/form-data", "multipart/form-data; boundary=x", "text/plain; charset=nonsense",
    'application/json; charset="', "gzip", "deflate", "br", "zstd", "gzip, gzip", "chunked", "identity", "100-continue",
    "0", "-1", "1", "9" * 30, "0" * 5000, "1" + "0" * 4999, "+5", "1e3", "Bearer ", "*/*;q=x", "bytes=-", "websocket",
    "application/openmetrics-text; version=1.0.0", "video/MP2T; x=\xff", "\xff\xfe", "a=b; c", "", "\t", "null",
    "http://[::1", "http://x:port", "http://127.0.0.1:99999999", "[", "http://\xff",
]  # fmt: skip
names = st.text(string.ascii_letters + "-", min_size=1, max_size=12) | st.sampled_from(NAMES)
header_values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=30)
header_values |= st.sampled_from(ODD)
headers = st.lists(st.tuples(names, header_values), max_size=5)
bodies = st.one_of(
    st.binary(max_size=200),
    st.just(b'{"gateway_request_id": "x"}'),
    st.binary(max_size=50).map(gzip.compress),
    st.binary(max_size=50).map(zlib.compress),
    st.just(b"5\r\nhello\r\n0\r\n\r\n"),
    st.just(b"zz\r\nhello\r\n0\r\n\r\n"),
    st.just(bytes(640 * 480 * 3)),
)
ended = st.sampled_from([True, False])


@pytest.mark.parametrize("name", NAMES)
def test_every_header_with_every_odd_value(running: Servers, name: str) -> None:
    for value in ODD:
        for method, path in (("POST", "/stream/params"), ("GET", "/metrics"), ("POST", "/ai/trickle/ch/-1")):
            body = b"" if method == "GET" else b"{}"
            running.harmless("container", request(method, path, [(name, value)], body), PATIENCE / 5)
    running.healthy()


@settings(some, max_examples=150)
@given(path=st.sampled_from(POST), headers=headers, body=bodies)
def test_any_headers_and_any_body(running: Servers, path: str, headers: list, body: bytes) -> None:
    running.harmless("container", request("POST", path, headers, body), PATIENCE)
    running.healthy()


@settings(some, max_examples=100)
@given(path=st.sampled_from(GET), headers=headers)
def test_a_get_with_any_headers(running: Servers, path: str, headers: list) -> None:
    running.harmless("container", request("GET", path, headers, b""), PATIENCE)


@settings(some, max_examples=30)
@given(width=header_values, height=header_values, size=st.sampled_from([0, 1, 12, 921_600]))
def test_a_frame_of_any_size(running: Servers, width: str, height: str, size: int) -> None:
    headers = [("X-Width", width), ("X-Height", height)]
    (status,) = running.harmless("container", request("POST", "/process/frame", headers, bytes(size)))
    assert status in (200, 400, 503)


# ---- methods and paths

methods = st.sampled_from(
    ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT", "BREW", "get"]
)
elements = st.one_of(
    st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=10),
    st.text(max_size=5).map(lambda text: "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))),
    st.binary(max_size=4).map(lambda data: "".join(f"%{byte:02X}" for byte in data)),
    st.sampled_from(["%", "%z", "%2e%2e", "..", ".", "", "%2F", "%00", "?", "#", "a" * 8000, "[", "*", "ch", "next"]),
)
paths = st.lists(elements, max_size=4).map(lambda parts: "/" + "/".join(parts))
targets = st.one_of(
    paths,
    st.tuples(st.sampled_from([*GET, *POST]), paths).map("".join),
    st.sampled_from(
        ["*", "http://[::1/x", "http://x:port/health", "//", "x", "http://x/health", "/health?a=%", "/%zz"]
    ),
)


@settings(some, max_examples=150)
@given(server=st.sampled_from(["container", "trickle"]), method=methods, target=targets, body=bodies)
def test_any_method_on_any_path(running: Servers, server: str, method: str, target: str, body: bytes) -> None:
    running.harmless(server, request(method, target, [], body), PATIENCE)


seqs = st.one_of(
    st.integers(-5, 12).map(str),
    st.integers().map(str),
    st.sampled_from(
        [
            "9223372036854775807", "9223372036854775808", "-9223372036854775808", "9" * 5000, "+1", "-0", "--1", "1_0",
            "٣", "0x1", "1e3", "%31", "%20 1", "%2D1", "next", "-1", "-2", "-3", "1.0", "", "%00", "nan",
        ]
    ),
)  # fmt: skip
trickle_headers = st.lists(
    st.tuples(
        st.sampled_from(["Content-Type", "Expect-Content", "Lp-Trickle-Reset", "Content-Encoding", "Expect"]),
        header_values,
    )
    | st.tuples(names, header_values),
    max_size=3,
)


@settings(some, max_examples=200)
@given(
    server=st.sampled_from(["container", "trickle"]),
    method=st.sampled_from(["GET", "POST", "DELETE", "PUT", "HEAD"]),
    channel=st.sampled_from(["ch", "none", "_changes", "a", "%ff", "%00", "a%2Fb", "..", "\xe9"]) | elements,
    seq=st.none() | seqs,
    headers=trickle_headers,
    body=bodies,
)
def test_any_segment_of_any_channel(
    running: Servers, server: str, method: str, channel: str, seq: str | None, headers: list, body: bytes
) -> None:
    base = "/ai/trickle" if server == "container" else ""
    target = f"{base}/{channel}" + ("" if seq is None else f"/{seq}")
    if channel in ("ch", "_changes") and method == "DELETE" and seq is None:
        method = "GET"  # these two are still needed
    running.harmless(server, request(method, target, headers, body), PATIENCE)


@some
@given(mime=header_values, how=st.sampled_from(["Expect-Content", "Content-Type"]))
def test_a_channel_of_any_type_can_be_read(running: Servers, mime: str, how: str) -> None:
    target = "/typed" if how == "Expect-Content" else "/typed/0"
    running.harmless("trickle", request("POST", target, [(how, mime)], b"x" if how == "Content-Type" else b""))
    running.ask("trickle", "POST", "/typed/0", b"x")
    (status,) = running.harmless("trickle", request("GET", "/typed/0", [], b""))
    assert status == 200
    assert running.ask("trickle", "DELETE", "/typed")[0] == 200


# ---- broken HTTP

whole = [
    b"POST /stream/start HTTP/1.1\r\nHost: x\r\nContent-Length: 27\r\n\r\n" + b'{"gateway_request_id": "x"}',
    b"POST /stream/stop HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /ai/trickle/ch/-1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"POST /a/0 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    b"GET /a/-2 HTTP/1.0\r\n\r\n",
]


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A proper request with some bytes cut off, changed, put in or doubled."""
    data = bytearray(draw(st.sampled_from(whole)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        how = draw(st.sampled_from(["cut", "change", "insert", "double"]))
        if how == "cut":
            del data[at:]
        elif how == "change" and at < len(data):
            data[at] = draw(st.integers(0, 255))
        elif how == "insert":
            data[at:at] = draw(
                st.sampled_from([b"\x00", b"\r\n", b"\r\n\r\n", b" ", b":", b"\xff", b"\n", b"a" * 9000])
            )
        elif how == "double":
            data += data[:at]
    return bytes(data)


@settings(some, max_examples=200)
@given(server=st.sampled_from(["container", "trickle"]), data=broken() | st.binary(max_size=100))
def test_broken_http(running: Servers, server: str, data: bytes) -> None:
    running.harmless(server, data, 0.02)


BODIES = {
    "a chunk without a size": b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    "a chunk longer than its size": b"Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
    "chunks that never end": b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
    "less than announced": b"Content-Length: 1000\r\n\r\n{}",
    "no gzip": b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    "no gzip, in chunks": b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "half of a gzip": b"Content-Encoding: gzip\r\nContent-Length: 20\r\n\r\n" + gzip.compress(b"{}" * 50)[:20],
    "a bomb": b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
    % (len(bomb := gzip.compress(bytes(50 << 20))), bomb),
}


@pytest.mark.parametrize("path", [*POST, "/ai/trickle/ch/-1", "/ai/trickle/none/0", "/ai/trickle/ch"])
@pytest.mark.parametrize("body", BODIES.values(), ids=list(BODIES))
def test_a_body_that_breaks_off_or_is_not_what_it_says(running: Servers, path: str, body: bytes) -> None:
    running.harmless("container", b"POST %b HTTP/1.1\r\nHost: x\r\n" % path.encode() + body, PATIENCE)
    running.healthy()


def test_nothing_of_it_has_stayed(running: Servers) -> None:
    running.idle()
    running.healthy()
    body = json.dumps({"gateway_request_id": "after", "params": {"width": 64, "height": 64}}).encode()
    assert running.ask("container", "POST", "/stream/start", body)[0] == 200
    running.idle()
