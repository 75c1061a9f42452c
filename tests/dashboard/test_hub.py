"""The dashboards of a server over real WebSockets, with a real stream."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest
from dashboard_kit import connect, unpacked
from kit import auntil
from pydantic import BaseModel, Field

from byoc_nb.dashboard.hub import MESSAGE_BYTES, PATH, VIEWERS
from byoc_nb.dashboard.sources import CAMERA_BYTES
from byoc_nb.processor import FrameProcessor

pytestmark = pytest.mark.usefixtures("no_thread_left")


class Bright(FrameProcessor):
    class Params(BaseModel):
        strength: float = Field(0.0, ge=0, le=1)
        model: str = Field("small", json_schema_extra={"load": True})

    def update_params(self, params):
        if params.get("strength") == 0.13:
            raise ValueError("thirteen")

    async def process_video_async(self, frame):
        out = frame.tensor.clone()
        return frame.replace_tensor((out * 0 + self.params.strength).clamp(0, 1))


class Loose(FrameProcessor):
    async def process_video_async(self, frame):
        return frame


class Wrong(FrameProcessor):
    async def process_video_async(self, frame):
        raise KeyError("prompt")


# ---- pictures


async def test_both_pictures_come_small_with_their_sizes(serve):
    served = await serve(Bright)
    await served.play(size=(1280, 720))
    page = await served.page()
    await page.look()
    await page.until(lambda: len(page.pictures) > 5)
    header, pictures = unpacked(page.pictures[-1])
    assert header["sizes"] == [[1280, 720], [1280, 720]] and header["at"] > 0
    assert [picture.size for picture in pictures] == [(640, 360), (640, 360)]
    assert max(pictures[1].convert("L").getextrema()) < 10  # strength is 0
    assert max(pictures[0].convert("L").getextrema()) > 100
    ats = [unpacked(message)[0]["at"] for message in page.pictures]
    assert ats == sorted(set(ats))
    await page.look(wide=True)
    await page.until(lambda: unpacked(page.pictures[-1])[1][0].size == (1280, 720))


async def test_no_more_than_two_pictures_are_in_flight(serve):
    served = await serve(Loose)
    await served.play()
    slow, quick = await served.page(), await served.page()
    slow.draws = False
    await slow.look()
    await quick.look()
    await quick.until(lambda: len(quick.pictures) > 15)
    assert len(slow.pictures) == 2
    await slow.say(type="drawn")
    await slow.until(lambda: len(slow.pictures) == 3)
    newest = unpacked(slow.pictures[-1])[0]["at"]
    assert newest > unpacked(quick.pictures[14])[0]["at"]  # those between are not sent later


async def test_nothing_is_encoded_while_nobody_looks(serve):
    served = await serve(Loose)
    await served.play()
    page = await served.page()
    stats = served.network.server.session.stats
    await auntil(lambda: stats.frames_out > 20)
    assert served.hub.encoded == 0
    await page.look()
    await page.until(lambda: page.pictures)
    await page.look(False)
    await page.change()  # answered after the view was changed
    encoded, out = served.hub.encoded, stats.frames_out
    await auntil(lambda: stats.frames_out > out + 20)
    assert served.hub.encoded <= encoded + 1  # one may have been in work
    page.messages.clear()
    await page.look()
    await page.message("stats")  # at once


async def test_the_last_picture_is_shown_when_the_stream_has_ended(serve):
    served = await serve(Loose)
    await served.play()
    await auntil(lambda: served.hub.subject.newest)
    await served.network.server.stop_stream()
    page = await served.page()
    await page.look()
    await page.until(lambda: page.pictures)
    assert (await page.message("stats"))["state"] == "ended"


# ---- parameters


async def test_controls_come_first_and_a_change_acts_on_the_picture(serve):
    served = await serve(Bright)
    await served.play()
    page = await served.page()
    params = await page.message("params")
    assert [(field["name"], field["load"]) for field in params["fields"]] == [("strength", False), ("model", True)]
    assert params["values"] == {"strength": 0.0, "model": "small"}
    await page.look()
    answer = await page.change(7, strength=0.8)
    assert answer["errors"] == {} and answer["values"]["strength"] == 0.8
    await page.until(lambda: page.pictures and min(unpacked(page.pictures[-1])[1][1].convert("L").getextrema()) > 190)


@pytest.mark.parametrize("playing", [True, False])
async def test_a_refused_value_is_told_by_field_and_changes_nothing(serve, playing):
    served = await serve(Bright)
    if playing:
        await served.play()
    page = await served.page()
    answer = await page.change(1, strength=1.2)
    assert "less than or equal to 1" in answer["errors"]["strength"] and answer["values"]["strength"] == 0.0
    answer = await page.change(2, strength=0.13)
    assert "the processor refused it: ValueError: thirteen" in answer["errors"]["strength"]
    assert answer["values"]["strength"] == 0.0
    answer = await page.change(3, strenght=0.3)
    assert answer["errors"] == {"strenght": "no such parameter"}


async def test_changes_made_elsewhere_reach_every_page_once(serve):
    served = await serve(Bright)
    await served.play()
    one, other = await served.page(), await served.page()
    await one.message("params")
    await other.message("params")
    rest = f"{served.network.urls['rest']}/stream/params"
    async with served.http.post(rest, json={"strength": 0.4}) as answer:
        assert answer.status == 200
    for page in (one, other):
        assert (await page.message("values"))["values"]["strength"] == 0.4
    await one.change(1, strength=0.5)
    assert (await other.message("values"))["values"]["strength"] == 0.5
    await one.message("values")
    for page in (one, other):  # nothing is repeated or sent back
        await page.look()
        await page.message("stats")
        await page.message("stats")
        assert not [message for message in page.messages if message["type"] == "values"]


async def test_the_last_of_many_changes_counts(serve):
    served = await serve(Bright)
    await served.play()
    page = await served.page()
    for number in range(1, 5):
        await page.say(type="change", number=number, changes={"strength": number / 10})
    assert (await page.message("changed", number=4))["values"]["strength"] == 0.4


async def test_a_load_time_parameter_loads_another_processor(serve):
    served = await serve(Bright)
    await served.play()
    page = await served.page()
    before = served.network.server.slot.current
    answer = await page.change(1, model="large")
    assert answer["errors"] == {} and answer["values"]["model"] == "large"
    assert served.network.server.slot.current is not before


async def test_another_processor_brings_its_own_controls(serve):
    served = await serve(Bright)
    page = await served.page()
    await page.message("params")
    await asyncio.to_thread(served.network.server.slot.replace, Loose)
    await page.until(lambda: any(one["type"] == "params" and one["fields"] is None for one in page.messages))
    assert (await page.change(1, anything=[1, {"a": float("1")}]))["values"] == {"anything": [1, {"a": 1.0}]}
    served.network.server.slot.apply({"nan": float("nan")}).result()
    assert (await page.message("values"))["values"]["nan"] == "NaN"


# ---- figures, errors, log


async def test_the_figures_and_the_newest_error_come_twice_a_second(serve):
    served = await serve(Wrong)
    await served.play()
    page = await served.page()
    await page.look()
    await auntil(lambda: served.network.server.session.stats.error_count > 3)
    stats = await page.message("stats", state="running", processor="Wrong")
    while not stats["error"] or stats["error"]["count"] < 3:
        stats = await page.message("stats")
    assert "KeyError: 'prompt' (line " in stats["error"]["line"]
    assert abs(stats["error"]["at"] - time.time()) < 5
    assert stats["memory"]["process"] > 1 << 20
    assert set(stats["stages_ms"]) == {"decode", "queue", "process", "encode", "publish"}


async def test_what_is_logged_comes_and_came_before(serve):
    served = await serve(Loose)
    page = await served.page()
    log = logging.getLogger("byoc_nb.something")
    log.warning("a %s", "warning")
    entry = None
    while not entry:
        entries = (await page.message("log"))["entries"]
        entry = next((one for one in entries if one["text"] == "a warning"), None)
    assert entry["level"] == "warning"
    log.error("an error", exc_info=ValueError("of the user's"))
    text = (await page.message("log"))["entries"][0]["text"]
    assert text.startswith("an error\n") and text.endswith("ValueError: of the user's\n")
    later = await served.page()
    assert any(one["text"] == "a warning" for one in (await later.message("log"))["entries"])


# ---- who gets in


@pytest.mark.parametrize(
    "hello",
    [{"token": "wrong"}, {"token": 3}, {"token": "\ud800"}, {"type": "view", "visible": True, "wide": False}, []],
)
async def test_without_the_token_nothing_is_told(serve, hello):
    served = await serve(Bright)
    socket = await served.http.ws_connect(f"{served.network.urls['rest']}{PATH}")
    await socket.send_json(hello)
    assert (await socket.receive_json()) == {"type": "refused", "why": "token"}
    await socket.receive()
    assert socket.close_code == 4403 and not served.hub.viewers


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:8888", 101),
        ("http://127.0.0.1:8888", 101),
        ("http://evil.example", 403),
        ("http://[::1", 403),
        ("null", 403),
    ],
)
async def test_pages_of_other_sites_are_refused(serve, origin, status):
    served = await serve(Bright)
    headers = {"Origin": origin, "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    headers["Sec-WebSocket-Key"] = "dGhlIHNhbXBsZSBub25jZQ=="
    async with served.http.get(f"{served.network.urls['rest']}{PATH}", headers=headers) as answer:
        assert answer.status == status


async def test_a_ninth_viewer_is_refused_until_one_goes(serve):
    served = await serve(Bright)
    pages = [await served.page() for _ in range(VIEWERS)]
    for page in pages:
        await page.message("params")
    ninth = await served.page()
    assert (await ninth.message("refused"))["why"] == "full"
    await pages[0].close()
    await auntil(lambda: len(served.hub.viewers) < VIEWERS)
    again = await served.page()
    assert await again.message("params")


@pytest.mark.parametrize(
    "text",
    ["x" * (MESSAGE_BYTES + 1), "x" * (CAMERA_BYTES + 1), "{", "[" * 60_000, '{"type": "view"}', '{"type": "unheard"}'],
    ids=["long", "longer than any message", "broken", "deep", "without its parts", "of no type"],
)
async def test_what_is_no_message_ends_the_connection(serve, text, caplog):
    served = await serve(Bright)
    page = await served.page()
    await page.socket.send_str(text)
    await page.reading
    await auntil(lambda: not served.hub.viewers)
    assert page.socket.close_code == (1009 if len(text) > CAMERA_BYTES else 1007)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_page_is_told_of_the_end_and_connects_to_the_next_server(serve):
    served = await serve(Bright)
    page = await served.page()
    await page.message("params")
    await served.network.close()
    await page.message("stopped")
    await page.reading
    following = await serve(Bright)
    assert following.hub.token != served.hub.token
    page = await connect(following.http, following.hub.port, following.hub.token)
    await page.message("params")
