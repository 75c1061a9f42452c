"""What a page asks for: presets, another source, its own camera as the source, full pictures, a plot."""

from __future__ import annotations

import asyncio
import base64
import io
import threading
from typing import Any

import numpy as np
import pytest
from dashboard_kit import unpacked
from kit import auntil
from PIL import Image
from pydantic import BaseModel, Field, SecretStr

from byoc_nb.dashboard.presets import Presets
from byoc_nb.dashboard.sources import CAMERA_BYTES, Sources
from byoc_nb.errors import ByocError
from byoc_nb.processor import FrameProcessor

pytestmark = pytest.mark.usefixtures("no_thread_left")


class Bright(FrameProcessor):
    class Params(BaseModel):
        strength: float = Field(0.0, ge=0, le=1)
        size: int = 3
        key: SecretStr = SecretStr("")
        token: SecretStr | None = None

    def process(self, frame: bytes) -> bytes:
        return np.minimum(np.frombuffer(frame, np.uint8), 100).tobytes()


class Playing:
    """A source that remembers what was done with it."""

    def __init__(self, spec: str) -> None:
        self.spec, self.kind = spec, "webcam" if spec == "webcam" else "file"
        self.speed, self.loop, self.position = 1.0, True, 2.0
        self.pushed: list[bytes] = []

    def describe(self) -> dict[str, Any]:
        seekable = {"duration": 9.0, "seekable": self.kind == "file", "speed": self.speed, "loop": self.loop}
        return {"kind": self.kind, "spec": self.spec, "position": self.position, "error": None, **seekable}

    def seek(self, seconds: float) -> None:
        if self.kind != "file":
            raise ByocError("a webcam can't be sought in", hint="that needs a file")
        self.position = seconds

    def push(self, jpeg: bytes) -> bool:
        self.pushed.append(jpeg)
        return True


class Player:
    """What the notebook gives to choose a source with."""

    def __init__(self) -> None:
        self.playing: Playing | None = None
        self.sources = Sources(lambda: self.playing, self.switch, lambda: ["waves"])

    async def switch(self, spec: str) -> None:
        if spec == "gone.mp4":
            raise ByocError("no such file: gone.mp4", hint="give the path of a video file")
        if spec == "broken":
            raise RuntimeError("the user's own")
        self.playing = Playing(spec)


async def ask(page, **message):
    await page.say(number=1, **message)
    return await page.message({"preset": "preset"}.get(message["type"], "switched"), number=1)


# ---- presets


async def test_presets_are_kept_loaded_and_deleted_and_every_page_hears_of_it(serve, tmp_path):
    served = await serve(Bright)
    served.hub.desk.presets = Presets(tmp_path / "presets.json")
    page, other = await served.page(), await served.page()
    await page.change(strength=0.8, key="abc", token="def")
    assert (await ask(page, type="preset", do="save", name="vivid"))["error"] == ""
    told = {"presets": {"vivid": {"strength": 0.8, "size": 3}}, "error": ""}
    await other.message("presets", **told)
    assert not any(secret in (tmp_path / "presets.json").read_text() for secret in ("abc", "def", "**"))
    await page.change(strength=0.1)
    while (await other.message("values"))["values"]["strength"] != 0.1:
        pass
    assert (await ask(page, type="preset", do="load", name="vivid"))["errors"] == {}
    while (await other.message("values"))["values"]["strength"] != 0.8:
        pass
    later = await served.page()
    await later.message("presets", **told)
    assert (await ask(other, type="preset", do="delete", name="vivid"))["error"] == ""
    await page.message("presets", presets={})
    assert "no preset 'vivid'" in (await ask(page, type="preset", do="load", name="vivid"))["error"]
    assert "a preset can't be" in (await ask(page, type="preset", do="burn", name="vivid"))["error"]


async def test_values_of_a_preset_that_do_not_fit_any_more_are_named(serve, tmp_path):
    served = await serve(Bright)
    presets = served.hub.desk.presets = Presets(tmp_path / "presets.json")
    presets.save("Bright", "old", {"strength": 7, "size": 5, "gone": True})
    page = await served.page()
    errors = (await ask(page, type="preset", do="load", name="old"))["errors"]
    assert "less than or equal to 1" in errors.pop("strength") and errors == {"gone": "no such parameter"}
    assert (await page.change())["values"]["size"] == 5


async def test_a_broken_file_of_presets_is_told(serve, tmp_path):
    served = await serve(Bright)
    (tmp_path / "presets.json").write_text("{")
    served.hub.desk.presets = Presets(tmp_path / "presets.json")
    page = await served.page()
    await page.until(lambda: any("can't be read" in message.get("error", "") for message in page.messages))


# ---- the source


async def test_where_the_source_can_not_be_chosen_nothing_offers_it(serve):
    served = await serve(Bright)
    page = await served.page()
    assert "source" not in await page.message("source")
    assert "can't be chosen here" in (await ask(page, type="switch", spec="testsrc"))["error"]


async def test_the_source_is_switched_and_told_to_every_page(serve):
    served, player = await serve(Bright), Player()
    served.hub.desk.sources = player.sources
    page, other = await served.page(), await served.page()
    assert (await other.message("source"))["generators"] == ["waves"]
    answer = await ask(page, type="switch", spec="clip.mp4")
    assert answer["error"] == "" and answer["source"]["spec"] == "clip.mp4"
    while ((await other.message("source"))["source"] or {}).get("spec") != "clip.mp4":
        pass
    missing = await ask(page, type="switch", spec="gone.mp4")
    assert missing["error"] == "no such file: gone.mp4: give the path of a video file"
    assert missing["source"]["spec"] == "clip.mp4"
    assert (await ask(page, type="switch", spec="broken"))["error"].startswith("RuntimeError: the user's own")


async def test_a_file_is_sought_in_and_played_at_another_speed(serve):
    served, player = await serve(Bright), Player()
    served.hub.desk.sources = player.sources
    page = await served.page()
    assert (await ask(page, type="set source", name="speed", value=2))["error"] == "nothing is streamed"
    await player.switch("clip.mp4")
    assert (await ask(page, type="set source", name="position", value=4.5))["source"]["position"] == 4.5
    assert (await ask(page, type="set source", name="speed", value=2))["source"]["speed"] == 2.0
    assert (await ask(page, type="set source", name="loop", value=0))["source"]["loop"] is False
    assert (await ask(page, type="set source", name="color", value=0))["error"] == "a source has no color"
    await player.switch("webcam")
    assert "can't be sought in" in (await ask(page, type="set source", name="position", value=1))["error"]


async def test_the_page_that_chose_the_camera_films_until_another_one_does(serve):
    served, player = await serve(Bright), Player()
    served.hub.desk.sources = player.sources
    one, other = await served.page(), await served.page()
    await one.socket.send_bytes(b"nobody asked")
    await one.say(type="switch", number=1, spec="webcam")
    await one.message("camera", films=True)
    assert (await one.message("switched"))["filmed"]
    await one.socket.send_bytes(b"first")
    await one.message("filmed")
    await other.socket.send_bytes(b"of no camera")
    playing = player.playing
    await other.say(type="switch", number=1, spec="webcam")
    await one.message("camera", films=False)
    await other.message("camera", films=True)
    assert player.playing is playing  # it goes on with another camera
    await one.socket.send_bytes(b"too late")
    await other.socket.send_bytes(b"second")
    await other.message("filmed")
    assert playing.pushed == [b"first", b"second"]
    await player.switch("clip.mp4")  # by a magic, say
    await other.message("camera", films=False)
    await player.switch("webcam")
    assert not (await one.message("source", filmed=False))["filmed"]


async def test_a_page_that_chooses_the_camera_again_goes_on_filming(serve):
    served, player = await serve(Bright), Player()
    served.hub.desk.sources = player.sources
    page = await served.page()
    for _ in range(2):
        await page.say(type="switch", number=1, spec="webcam")
        await page.until(lambda: any(message["type"] == "switched" for message in page.messages))
        said = [message["films"] for message in page.messages if message["type"] == "camera"]
        assert said == [True]
        page.messages.clear()


async def test_a_camera_whose_page_has_gone_is_nobodys(serve):
    served, player = await serve(Bright), Player()
    served.hub.desk.sources = player.sources
    one, other = await served.page(), await served.page()
    await ask(one, type="switch", spec="webcam")
    await other.message("source", filmed=True)
    await one.close()
    await other.message("source", filmed=False)


async def test_a_cameras_picture_is_bounded(serve):
    served, player = await serve(Bright), Player()
    served.hub.desk.sources = player.sources
    page = await served.page()
    await ask(page, type="switch", spec="webcam")
    await page.socket.send_bytes(b"x" * (CAMERA_BYTES + 1))
    await page.reading
    assert not player.playing.pushed


# ---- full pictures


async def test_a_snapshot_has_both_pictures_at_full_size(serve):
    served = await serve(Bright)
    await served.play(size=(1280, 720))
    page = await served.page()
    await page.look()
    await page.until(lambda: len(page.pictures) > 2)
    page.draws = False
    await page.say(type="snapshot", at=unpacked(page.pictures[-1])[0]["at"])
    await page.until(lambda: any(unpacked(message)[0]["kind"] == "snapshot" for message in page.pictures))
    message = next(message for message in page.pictures if unpacked(message)[0]["kind"] == "snapshot")
    header, (picture,) = unpacked(message)
    assert picture.format == "PNG" and picture.size == (1280 + 8 + 1280, 720)
    assert header["at"] in [unpacked(one)[0]["at"] for one in page.pictures if one is not message]
    pixels = np.asarray(picture)
    assert pixels[:, :1280].mean() > 100 and pixels[:, 1288:].mean() < 100


async def test_the_pixel_is_that_of_the_frames_that_are_shown(serve):
    served = await serve(Bright)
    await served.play(size=(1280, 720))
    page = await served.page()
    page.draws = False
    await page.look()
    await page.until(lambda: len(page.pictures) == 2)
    at = unpacked(page.pictures[0])[0]["at"]
    await page.say(type="pixel", at=at, x=0.5, y=0.999999)
    one, other = (await page.message("pixel"))["places"]
    assert one["at"] == other["at"] == [640, 719]
    assert other["color"] != one["color"] and max(other["color"]) < 160
    await page.say(type="pixel", at=at - 100, x=0.5, y=0.5)  # long gone
    assert (await page.message("pixel"))["places"] == []


# ---- the plot, what frames print, samples


async def test_a_plot_is_made_on_a_thread_of_its_own_when_it_is_asked_for(serve):
    served = await serve(Bright)
    page = await served.page()
    await page.say(type="plot")
    assert "nothing to plot with" in (await page.message("plot"))["error"]
    threads: list[threading.Thread] = []

    def plot() -> bytes:
        threads.append(threading.current_thread())
        if len(threads) == 2:
            raise ValueError("no samples")
        buffer = io.BytesIO()
        Image.new("RGB", (8, 8)).save(buffer, "PNG")
        return buffer.getvalue()

    served.hub.desk.plot = plot
    await page.say(type="plot")
    answer = await page.message("plot")
    assert answer["error"] == "" and base64.b64decode(answer["png"]).startswith(b"\x89PNG")
    assert threads[0] is not threading.main_thread()
    await page.say(type="plot")
    assert (await page.message("plot"))["error"].startswith("ValueError: no samples")


async def test_what_frames_print_is_in_the_log(serve):
    served = await serve(Bright)
    page = await served.page()
    await asyncio.to_thread(served.hub.printed, "of a frame")
    served.hub.printed("wrong", error=True)
    entries: list[dict[str, Any]] = []
    while len(entries) < 2:
        entries += [one for one in (await page.message("log"))["entries"] if one["level"] in ("print", "stderr")]
    assert [(one["level"], one["text"]) for one in entries] == [("print", "of a frame"), ("stderr", "wrong")]


async def test_samples_are_taken_though_nobody_looks(serve):
    served = await serve(Bright)
    await served.play()
    await auntil(lambda: any(sample.fps_out for sample in served.hub.samples))
    assert served.hub.samples[-1].process_bytes > 1 << 20
