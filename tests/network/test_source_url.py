"""URLs as sources: live streams, which break off and come back, and files."""

from __future__ import annotations

import asyncio
import functools
import http.server
import itertools
import logging
import socket
import threading
import time

import pytest
from feed_kit import clip, playing, second_of
from kit import auntil
from live_kit import free_port, live, opened, rtsp_server

from byoc_nb.network.source import Source, SourceError
from byoc_nb.network.sources import container
from byoc_nb.network.sources.url import UrlFeed, without_credentials

pytestmark = pytest.mark.usefixtures("no_thread_left")


@pytest.mark.parametrize("url", ["http://127.0.0.1:{}/live", "rtmp://127.0.0.1:{}/live/stream"])
async def test_a_live_stream_breaks_off_and_comes_back(trickle, caplog, url):
    caplog.set_level(logging.INFO, "byoc_nb")
    url = url.format(free_port())
    with live(url):
        source = await opened(url)
        assert source.describe().items() >= {"kind": "url", "seekable": False, "duration": None}.items()
        context = playing(trickle, source)
        made = await context.__aenter__()
        await made.sent(20)
    await auntil(lambda: "broke off" in caplog.text)
    with live(url):
        await made.sent(20)
        await context.__aexit__(None, None, None)
    times = [picture.timestamp for picture in made.pictures]
    assert times == sorted(set(times)), "one clock"
    assert len(made.segments) >= 2 and made.sounds
    assert len([r for r in caplog.records if r.levelno == logging.WARNING and "source" in r.getMessage()]) == 1
    assert "is back" in caplog.text


async def test_rtsp_and_no_word_of_the_password(trickle, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    async with rtsp_server() as url:
        source = await asyncio.to_thread(Source, url)
        async with playing(trickle, source) as made:
            await made.sent(20)
    assert len(made.pictures) >= 20
    assert source.spec.startswith("rtsp://…@127.0.0.1:")
    assert "s3cret" not in caplog.text + "".join(capfd.readouterr()) + repr(source.describe())


def test_credentials_are_never_shown():
    assert without_credentials("rtsp://me:pw@h:1/a?token=x#y") == "rtsp://…@h:1/a?…"
    assert without_credentials("http://h/a@b") == "http://h/a@b"
    url = "http://me:s3cret@127.0.0.1:9/live?key=s3cret"
    with pytest.raises(SourceError) as caught:
        Source(url)
    assert "s3cret" not in caught.value.one_line()


@pytest.mark.parametrize("url", ["srt://127.0.0.1:9", "gopherx://h/x"])
def test_a_protocol_that_libav_lacks_says_what_is_possible(url):
    with pytest.raises(SourceError, match="no such protocol") as caught:
        Source(url)
    assert "a folder of images" in caught.value.hint and "rtsp" in caught.value.hint


async def test_a_server_that_says_nothing_is_refused_in_time(monkeypatch):
    monkeypatch.setattr(container, "OPEN_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rtmp://127.0.0.1:{silent.getsockname()[1]}/live/x"
        with pytest.raises(SourceError, match="did not answer within"):
            await asyncio.to_thread(Source, url)


async def test_a_server_that_falls_silent_holds_nobody_up(trickle):
    url = f"http://127.0.0.1:{free_port()}/live"
    with live(url) as process:
        source = await opened(url)
        async with playing(trickle, source) as made:
            await made.sent(10)
            process.send_signal(19)  # it stops, and keeps the connection
            await asyncio.sleep(0.5)
            at = time.monotonic()
        assert time.monotonic() - at < 1.5
        process.send_signal(18)


async def test_a_server_that_falls_silent_is_asked_again(trickle, monkeypatch, caplog):
    monkeypatch.setattr(container, "OPEN_SECONDS", 1.0)
    url = f"http://127.0.0.1:{free_port()}/live"
    with live(url) as process:
        source = await opened(url)
        async with playing(trickle, source) as made:
            await made.sent(10)
            process.send_signal(19)
            await auntil(lambda: "broke off (nothing came for" in caplog.text)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Python's own server: it gives no parts of a file."""

    def log_message(self, *arguments):
        pass


@pytest.fixture
def served(tmp_path):
    clip(tmp_path / "clip.mp4", 2.0)
    handler = functools.partial(Quiet, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/clip.mp4"
        server.shutdown()
        thread.join()


async def test_a_file_at_a_url_loops_and_is_sought_in_even_where_the_server_gives_no_parts(served, trickle):
    source = await asyncio.to_thread(Source, served)
    assert source.describe().items() >= {"duration": 2.0, "seekable": True, "size": [96, 64]}.items()
    async with playing(trickle, source) as made:
        await made.sent(5)
        source.seek(1.6)
        await made.sent(20)
    shown = [second_of(picture, 2.0) for picture in made.pictures]
    steps = [b - a for a, b in itertools.pairwise(shown)]
    assert max(steps) > 0.8, "the seek"
    assert min(steps) < -1.5, "the loop"
    times = [picture.timestamp for picture in made.pictures]
    assert times == sorted(set(times))


async def test_a_file_of_which_nothing_can_be_read_is_given_up(served, monkeypatch):
    monkeypatch.setattr("byoc_nb.network.sources.url.RETRY_SECONDS", 0.01)
    monkeypatch.setattr(UrlFeed, "_decoded", lambda self: (_ for _ in ()).throw(container.av.FFmpegError(5, "gone")))
    feed = await asyncio.to_thread(UrlFeed, served, loop=True)
    with pytest.raises(SourceError, match="can't be read: gone"):
        list(feed.frames())
    feed.close()


async def test_a_server_that_is_away_when_a_file_is_sought_in_is_asked_again(served, monkeypatch):
    monkeypatch.setattr("byoc_nb.network.sources.url.RETRY_SECONDS", 0.01)
    feed = await asyncio.to_thread(UrlFeed, served, loop=True)
    frames, away = feed.frames(), 3

    def refuse(handler):
        nonlocal away
        away -= 1
        return handler.send_error(503) if away >= 0 else http.server.SimpleHTTPRequestHandler.do_GET(handler)

    assert next(frames) and next(frames)
    feed._in_order = True  # as found out by a seek before
    monkeypatch.setattr(Quiet, "do_GET", refuse, raising=False)
    feed.seek(1.6)
    while next(frames) is not None:
        pass
    assert next(frames) and feed.position >= 1.5 and away < 0
    frames.close()
    feed.close()
