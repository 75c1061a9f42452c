"""A channel into a file."""

from __future__ import annotations

import asyncio
import io
import os
import tempfile
import time
from concurrent.futures import Future

import av
import pytest
from kit import WAIT, auntil, ffprobe_file, publish, segments

from byoc_nb.network import record as record_module
from byoc_nb.network.record import START_TAG, Capture, PendingRecording, RecordError, record
from byoc_nb.trickle import TricklePublisher


async def recorded(trickle, path, parts, seconds, **options):
    url = trickle.channel("out")
    publishing = asyncio.create_task(publish(url, parts))
    made = await asyncio.wait_for(record(url, path, seconds, start=-2, **options), WAIT)
    await publishing
    return made


async def refusal(*arguments, **options):
    with pytest.raises(RecordError) as caught:
        await asyncio.wait_for(record(*arguments, **options), WAIT)
    assert "\n" not in caught.value.one_line()
    return caught.value.one_line()


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.ts"])
async def test_the_file_holds_the_packets_as_they_came(trickle, tmp_path, name):
    made = await recorded(trickle, tmp_path / name, segments(3.0, start=900_000), 60)
    assert (made.frames, made.path, made.start) == (90, tmp_path / name, 10.0)
    assert abs(made.seconds - 89 / 30) < 0.01
    found = ffprobe_file(made.path, "-show_streams", "-count_frames")["streams"]
    assert [stream["codec_name"] for stream in found] == ["h264", "opus"]
    assert int(found[0]["nb_read_frames"]) == 90


async def test_an_mp4_begins_at_zero_and_knows_where_it_was(trickle, tmp_path):
    made = await recorded(trickle, tmp_path / "clip.mp4", segments(2.0, start=900_000), 60)
    with av.open(str(made.path)) as clip:
        times = [frame.time for frame in clip.decode(video=0)]
        assert float(clip.metadata[START_TAG]) == 10.0
    assert abs(times[0]) < 0.001
    assert abs(times[-1] - 59 / 30) < 0.01
    found = ffprobe_file(made.path, "-show_streams")["streams"]
    assert abs(float(found[0]["start_time"]) - float(found[1]["start_time"])) < 0.04


async def test_it_ends_after_the_seconds_that_were_asked_for(trickle, tmp_path):
    made = await recorded(trickle, tmp_path / "clip.mp4", segments(8.0), 3.0)
    assert 90 <= made.frames <= 91
    assert abs(made.seconds - 3.0) < 0.05
    assert abs(float(ffprobe_file(made.path, "-show_format")["format"]["duration"]) - 3.0) < 0.1
    assert "91 frames, 3.0 s" in str(made) or "90 frames" in str(made)


async def test_a_stream_that_ends_early_gives_what_there_was(trickle, tmp_path):
    made = await recorded(trickle, tmp_path / "clip.mp4", segments(1.0), 60)
    assert (made.frames, made.ended) == (30, "the stream ended")


@pytest.mark.parametrize("where", ["between segments", "within a segment"])
async def test_a_stream_that_stalls_gives_what_there_was(trickle, tmp_path, where):
    url = trickle.channel("out")
    async with TricklePublisher(url) as channel:
        segment = await channel.next()
        await segment.write(segments(1.0)[0])
        if where == "between segments":
            await segment.close()
        at = time.monotonic()
        made = await asyncio.wait_for(record(url, tmp_path / "clip.mp4", 60, start=-2, wait=0.3), WAIT)
        assert time.monotonic() - at < 3.0
        await segment.abort()
    assert made.frames == 30


@pytest.mark.parametrize("how", ["stopped", "cancelled"])
async def test_a_recording_that_is_cut_short_keeps_what_there_was(trickle, tmp_path, monkeypatch, how):
    captures = []

    class Watched(Capture):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            captures.append(self)

    monkeypatch.setattr(record_module, "Capture", Watched)
    url, over = trickle.channel("out"), asyncio.Event()
    async with TricklePublisher(url) as channel:
        segment = await channel.next()
        await segment.write(segments(1.0)[0])
        recording = asyncio.create_task(record(url, tmp_path / "clip.mp4", 60, start=-2, over=over))
        await auntil(lambda: captures and (captures[0].last or 0) >= 28 * 3000)
        over.set() if how == "stopped" else recording.cancel()
        made = await asyncio.wait_for(recording, WAIT)
        await segment.abort()
    assert made.frames >= 29
    assert made.ended == "stopped before its time" and str(made).endswith("s · stopped before its time")
    assert int(ffprobe_file(made.path, "-show_streams", "-count_frames")["streams"][0]["nb_read_frames"]) == made.frames


async def test_by_default_only_what_comes_from_now_on_is_recorded(trickle, tmp_path):
    url, parts = trickle.channel("out"), segments(4.0)
    async with TricklePublisher(url) as channel:
        first = await channel.next()
        await first.write(parts[0])
        recording = asyncio.create_task(record(url, tmp_path / "clip.mp4", 60))
        await asyncio.sleep(0.2)
        await first.close()
        async with await channel.next() as second:
            await second.write(parts[1])
        await channel.close(delete=True)
    made = await asyncio.wait_for(recording, WAIT)
    assert (made.frames, made.start) == (60, 2.0)


async def test_a_stream_without_sound(trickle, tmp_path):
    made = await recorded(trickle, tmp_path / "clip.mp4", segments(1.0, audio=False), 60)
    assert len(ffprobe_file(made.path, "-show_streams")["streams"]) == 1


async def test_nothing_comes(trickle, tmp_path):
    said = await refusal(trickle.channel("out"), tmp_path / "clip.mp4", 5, wait=0.1)
    assert "nothing came" in said and "is the stream running?" in said


async def test_no_such_channel(trickle, tmp_path):
    said = await refusal(f"{trickle.base}/nothing", tmp_path / "clip.mp4", 5)
    assert "no trickle channel" in said and "is the stream running?" in said


@pytest.mark.parametrize("parts", [[b"not video" * 1000], [b"\x00" * 200_000]])
async def test_what_comes_is_no_video(trickle, tmp_path, parts):
    url = trickle.channel("out")
    publishing = asyncio.create_task(publish(url, parts))
    said = await refusal(url, tmp_path / "clip.mp4", 5, start=-2, wait=0.5)
    assert "no picture" in said and "can't be written" not in said
    await publishing


async def test_sound_alone_has_no_picture(trickle, tmp_path):
    url = trickle.channel("out")
    publishing = asyncio.create_task(publish(url, segments(1.0, video=False)))
    assert "no picture" in await refusal(url, tmp_path / "clip.mp4", 5, start=-2)
    await publishing


async def test_no_such_folder(trickle, tmp_path):
    assert "there is no folder" in await refusal(trickle.channel("out"), tmp_path / "no" / "clip.mp4", 5)


@pytest.mark.parametrize("name", ["clip.unknown", "clip", "folder"])
async def test_a_file_that_cannot_be_written(trickle, tmp_path, name):
    (tmp_path / "folder").mkdir()
    url = trickle.channel("out")
    publishing = asyncio.create_task(publish(url, segments(0.5)))
    assert "can't be written" in await refusal(url, tmp_path / name, 5, start=-2)
    await publishing


@pytest.mark.parametrize(
    ("outcome", "shown"), [(None, "recording"), (RecordError("nothing came"), "nothing came"), ("cancel", "cancelled")]
)
def test_a_pending_recording_shows_what_became_of_it(tmp_path, outcome, shown):
    future = Future()
    if outcome == "cancel":
        future.cancel()
    elif outcome is not None:
        future.set_exception(outcome)
    assert shown in repr(PendingRecording(future, tmp_path / "clip.mp4"))


async def test_a_full_disk_is_told(trickle, tmp_path, monkeypatch):
    url = trickle.channel("out")
    publishing = asyncio.create_task(publish(url, segments(0.5)))
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda suffix: io.FileIO("/dev/full", "r+"))
    assert "can't be kept: No space left" in await refusal(url, tmp_path / "clip.mp4", 5, start=-2)
    await publishing


async def test_a_pipe_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "clip.ts")
    assert "it is no file" in await refusal("http://127.0.0.1:9/none", tmp_path / "clip.ts", 5)
