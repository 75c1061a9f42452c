"""What the notebook holds of the dashboard: messages to the page, and a still."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from kit import auntil
from PIL import Image

from byoc_nb.dashboard import widget as widget_
from byoc_nb.dashboard.widget import Dashboard, DashboardWidget
from byoc_nb.processor import FrameProcessor

pytestmark = pytest.mark.usefixtures("no_thread_left")


class Pass(FrameProcessor):
    async def process_video_async(self, frame):
        return frame


class Chatty(FrameProcessor):
    def load_model(self):
        print("loading")

    async def process_video_async(self, frame):
        print("a frame")
        return frame


class Widget(DashboardWidget):
    """Keeps what it would send to the page."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[dict[str, Any], Any]] = []

    def send(self, content: Any, buffers: Any = None) -> None:
        self.sent.append((content, buffers))

    def texts(self, type: str) -> list[dict[str, Any]]:
        made = (json.loads(content["text"]) for content, _ in self.sent if content.get("text"))
        return [message for message in made if message["type"] == type]

    def say(self, **message: Any) -> None:
        self._received(self, {"type": "message", "view": "one", "text": json.dumps(message)}, [])


async def test_the_token_is_told_in_messages_and_is_nowhere_in_the_widgets_state(serve):
    served = await serve(Pass)
    widget = Widget()
    widget._received(widget, {"type": "where"}, [])
    assert widget.sent.pop() == ({"type": "stopped"}, None)
    widget.use(served.hub)
    where = {"type": "where", "port": served.hub.port, "token": served.hub.token}
    assert widget.sent.pop() == (where, None)
    widget._received(widget, {"type": "where"}, [])
    assert widget.sent.pop() == (where, None)
    assert served.hub.token not in json.dumps(widget.get_state(), default=str)


async def test_a_page_without_a_websocket_is_served_over_messages(serve):
    served = await serve(Pass)
    await served.play()
    widget = Widget()
    widget.use(served.hub)
    widget.say(type="view", visible=True, wide=False)
    await auntil(lambda: widget.texts("params") and widget.texts("stats"))
    await auntil(lambda: sum(1 for _, buffers in widget.sent if buffers) == 2)
    widget.say(type="drawn")
    await auntil(lambda: sum(1 for _, buffers in widget.sent if buffers) == 3)
    widget.say(type="change", number=1, changes={"a": 1})
    await auntil(lambda: widget.texts("changed"))
    widget.use(served.hub)  # shown under another cell
    widget.say(type="drawn")
    await auntil(lambda: sum(1 for _, buffers in widget.sent if buffers) == 4)
    assert len(served.hub.viewers) == 1
    await served.network.close()
    assert widget.texts("stopped")
    widget.say(type="view", visible=False, wide=False)
    assert widget.sent[-1] == ({"type": "stopped"}, None)


async def test_views_that_have_gone_are_forgotten(serve):
    served = await serve(Pass)
    widget = Widget()
    widget.use(served.hub)
    text = '{"type": "view", "visible": false, "wide": false}'
    for view in ("one", "two", "three"):
        widget._received(widget, {"type": "message", "view": view, "text": text}, [])
        await auntil(lambda: served.hub.viewers)
        for viewer in list(served.hub.viewers):
            served.hub.detach(viewer)
    assert list(widget._over_messages) == ["three"]


async def test_a_still_of_the_newest_picture_is_kept_and_renewed(serve, monkeypatch):
    served = await serve(Pass)
    stills: list[dict[str, str]] = []
    handle = SimpleNamespace(update=lambda data, raw: stills.append(data))
    monkeypatch.setattr(widget_, "display", lambda *args, **options: handle)
    monkeypatch.setattr(widget_, "STILL_SECONDS", 0.0)
    listeners = []
    events = SimpleNamespace(
        register=lambda name, listener: listeners.append(listener),
        unregister=lambda name, listener: listeners.remove(listener),
    )
    shell = SimpleNamespace(events=events)
    dashboard = Dashboard(shell)
    dashboard.show(served.hub)
    await served.play(size=(1280, 720))
    await auntil(lambda: stills)
    listeners[0](None)  # a cell has run
    await auntil(lambda: len(stills) == 2)
    await served.network.close()
    assert len(stills) == 3
    data = stills[-1]["image/jpeg"]
    assert len(data) < 60_000
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert picture.size == (644, 180) and picture.format == "JPEG"
    listeners[0](None)  # nothing is left to look at
    await asyncio.sleep(0)
    assert len(stills) == 3
    dashboard.close()
    assert listeners == []


async def test_what_frames_print_goes_to_the_log_and_a_cells_own_stays(serve, monkeypatch):
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    monkeypatch.setattr(widget_, "display", lambda *args, **options: SimpleNamespace(update=lambda data, raw: None))
    events = SimpleNamespace(register=lambda *_: None, unregister=lambda *_: None)
    dashboard = Dashboard(SimpleNamespace(events=events))
    served = await serve(Chatty)
    dashboard.show(served.hub)
    await served.play()
    page = await served.page()
    while not [one for one in (await page.message("log"))["entries"] if one["text"] == "a frame"]:
        pass
    print("a cell")
    assert stream.getvalue() == "loading\na cell\n"
    dashboard.close()
    await auntil(lambda: "a frame" in stream.getvalue())
