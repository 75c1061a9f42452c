"""What a source refuses, and what it publishes."""

from __future__ import annotations

import asyncio
import itertools
import os
import subprocess
import time
import wave

import av
import numpy as np
import pytest
from kit import CLIP, CLOCK, WAIT, auntil, collect, decode, ours

from byoc_nb.network.source import Source, SourceError
from byoc_nb.trickle import ChannelClosed

pytestmark = pytest.mark.usefixtures("no_thread_left")


def ffmpeg(*arguments):
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, arguments)], check=True, timeout=60)


@pytest.fixture(scope="module")
def short(tmp_path_factory):
    """0.8 s of 160x120 at 25 fps; its sound is 1.5 s long."""
    path = tmp_path_factory.mktemp("media") / "short.mp4"
    pictures, sound = "testsrc2=size=160x120:rate=25:duration=0.8", "sine=sample_rate=48000:duration=1.5"
    inputs = ("-f", "lavfi", "-i", pictures, "-f", "lavfi", "-i", sound)
    ffmpeg(*inputs, "-c:v", "libx264", "-bf", "2", "-c:a", "aac", path)
    return path


async def play(trickle, source, seconds):
    """What the channel gets in the first `seconds` of the stream."""
    url = trickle.channel("in")
    reading = asyncio.create_task(collect(url))
    running = asyncio.create_task(source.run(url))
    rate = 25 if source._fps is None else source._fps
    await auntil(lambda: source.frames_sent > seconds * rate or running.done(), seconds + WAIT)
    source.stop()
    await asyncio.wait_for(running, WAIT)
    await asyncio.to_thread(source.join, WAIT)
    return decode(b"".join(await asyncio.wait_for(reading, WAIT)))


# ---- refused


def refused(spec):
    with pytest.raises(SourceError) as caught:
        Source(str(spec))
    assert "\n" not in caught.value.one_line()
    return caught.value.one_line()


def test_no_such_file():
    assert "no such file: nowhere.mp4" in refused("nowhere.mp4")


def test_a_folder(tmp_path):
    assert "is a folder" in refused(tmp_path)


@pytest.mark.parametrize("name", ["notes.mp4", "notes.txt", "notes", "notes.ans"])
@pytest.mark.parametrize("content", [b"", b"hello\n" * 1000, bytes(range(256)) * 100])
def test_what_is_no_video(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    assert str(tmp_path / name) in refused(tmp_path / name)


def test_sound_alone(tmp_path):
    with wave.open(str(tmp_path / "sound.wav"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(b"\0\0" * 8000)
    assert "holds no video" in refused(tmp_path / "sound.wav")


def test_sound_with_a_cover_picture(tmp_path):
    ffmpeg("-f", "lavfi", "-i", "sine=duration=0.5", "-f", "lavfi", "-i", "color=size=64x64:duration=0.04",
           "-map", "0", "-map", "1", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-disposition:v", "attached_pic",
           tmp_path / "song.mp3")  # fmt: skip
    assert "holds no video" in refused(tmp_path / "song.mp3")


def test_a_url_that_refuses():
    assert "refused" in refused("http://127.0.0.1:9/clip.mp4").lower()


def test_a_url_of_an_unknown_kind():
    assert "gopherx://" in refused("gopherx://host/clip")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(CLIP.read_bytes()[:1000])
    path.chmod(0)
    assert "permission denied" in refused(path)


# ---- published


async def test_the_test_pattern_has_the_size_and_rate_that_were_asked_for(trickle):
    pictures, sounds = await play(trickle, Source("testsrc", size=(320, 240), fps=20), 1.0)
    assert {(frame.width, frame.height) for frame in pictures} == {(320, 240)}
    assert {b.timestamp - a.timestamp for a, b in itertools.pairwise(pictures)} == {4500}
    assert max(np.abs(sound.samples).max() for sound in sounds) > 0.01, "with a tone"
    assert np.abs(pictures[0].array.astype(int) - pictures[-1].array).mean() > 1, "it moves"


async def test_the_test_patterns_defaults():
    source = Source("testsrc")
    assert (source.describe()["size"], source.describe()["fps"]) == ([640, 480], 30)
    source.join(0)


async def test_a_file_scaled_and_limited(trickle):
    pictures, _ = await play(trickle, Source(str(CLIP), size=(128, 128), fps=12.5), 1.0)
    assert {(frame.width, frame.height) for frame in pictures} == {(128, 128)}
    assert {b.timestamp - a.timestamp for a, b in itertools.pairwise(pictures)} == {7200}


async def test_the_segments_are_as_a_gateway_sends_them(trickle):
    url = trickle.channel("in")
    reading = asyncio.create_task(collect(url))
    source = Source("testsrc", size=(96, 64), fps=25)
    running = asyncio.create_task(source.run(url))
    await auntil(lambda: source.frames_sent > 60)
    source.stop()
    await running
    await asyncio.to_thread(source.join, WAIT)
    first, second = await reading
    for part, count in ((first, 50), (second, 10)):
        pictures, _ = decode(part)
        assert len(pictures) >= count
        assert part[:3] == b"\x47\x40\x00", "a PAT"


async def test_it_plays_in_real_time(trickle):
    at = time.monotonic()
    await play(trickle, Source("testsrc", size=(96, 64), fps=25), 1.2)
    assert 1.1 < time.monotonic() - at < 2.5


async def test_a_loop_runs_on_one_even_clock_with_its_sound(trickle, short):
    """The clip has B-frames, and sound that is longer than its pictures."""
    pictures, sounds = await play(trickle, Source(str(short)), 2.9)
    times = [frame.timestamp for frame in pictures]
    assert times == [3600 * n for n in range(len(times))]
    assert len(times) > 70, "more than three passes"
    ends = [sound.timestamp + sound.nb_samples * CLOCK // sound.rate for sound in sounds]
    gaps = [b.timestamp - end for end, b in zip(ends, sounds[1:], strict=False)]
    assert max(map(abs, gaps)) <= 0.045 * CLOCK, "no hole in the sound"
    assert abs(sounds[-1].timestamp - times[-1]) < 0.1 * CLOCK


async def test_without_loop_it_ends_and_deletes_the_channel(trickle, short):
    pictures, sounds = await play(trickle, Source(str(short), loop=False), 60)
    assert len(pictures) == 20
    assert sounds[-1].seconds > 1.4, "the sound is played to its end"
    assert trickle.server.names() == []


async def test_a_transport_stream_whose_clock_starts_late_begins_at_zero(trickle, tmp_path, short):
    ffmpeg("-i", short, "-c", "copy", "-t", "0.5", "-output_ts_offset", "1000", tmp_path / "late.ts")
    pictures, _ = await play(trickle, Source(str(tmp_path / "late.ts"), loop=False), 60)
    assert 0 <= pictures[0].timestamp < 0.2 * CLOCK


async def test_a_single_picture_is_sent_once(trickle, tmp_path):
    av.VideoFrame.from_ndarray(np.full((64, 96, 3), 90, np.uint8), format="rgb24").save(str(tmp_path / "still.png"))
    pictures, _ = await play(trickle, Source(str(tmp_path / "still.png")), 60)
    assert len(pictures) == 1


async def test_stop_is_prompt_and_leaves_no_thread(trickle):
    source = Source("testsrc", size=(96, 64), fps=1)
    running = asyncio.create_task(source.run(trickle.channel("in")))
    await auntil(lambda: source.frames_sent)
    at = time.monotonic()
    source.stop()
    await running
    await asyncio.to_thread(source.join, WAIT)
    assert time.monotonic() - at < 0.5
    assert not ours()


async def test_a_cancelled_run_ends_the_thread(trickle):
    source = Source("testsrc", size=(96, 64))
    running = asyncio.create_task(source.run(trickle.channel("in")))
    await auntil(lambda: source.frames_sent > 2)
    running.cancel()
    await asyncio.wait([running])
    await asyncio.to_thread(source.join, WAIT)
    assert not ours()


async def test_a_channel_that_is_gone_ends_the_run(trickle):
    source = Source("testsrc", size=(96, 64))
    running = asyncio.create_task(source.run(trickle.channel("in")))
    await auntil(lambda: source.frames_sent > 2)
    trickle.server.close("in")
    with pytest.raises(ChannelClosed):
        await asyncio.wait_for(running, WAIT)
    await asyncio.to_thread(source.join, WAIT)


async def test_a_damaged_file_costs_frames_only(trickle, tmp_path, short):
    data = bytearray(short.read_bytes())
    for pos in range(3000, 9000, 700):
        data[pos] ^= 0xFF
    (tmp_path / "damaged.mp4").write_bytes(data)
    pictures, _ = await play(trickle, Source(str(tmp_path / "damaged.mp4"), loop=False), 60)
    assert pictures
