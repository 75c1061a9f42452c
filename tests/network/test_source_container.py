"""A file is sought in, sped up and looped on one clock."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest
from feed_kit import clip, playing, second_of
from kit import CLOCK, auntil

from byoc_nb.network.source import Source, SourceError

pytestmark = pytest.mark.usefixtures("no_thread_left")


@pytest.fixture(scope="module")
def ramp(tmp_path_factory):
    return clip(tmp_path_factory.mktemp("ünïcode ørdner") / "räмпа 1.mp4")


async def test_what_a_dashboard_is_told(ramp, trickle):
    source = Source(ramp)
    described = source.describe()
    assert described | {"position": None} == {
        "kind": "file", "spec": str(ramp), "position": None, "duration": 4.0, "seekable": True, "speed": 1.0,
        "loop": True, "fps": 25.0, "size": [96, 64], "frames_sent": 0, "error": None,
    }  # fmt: skip
    async with playing(trickle, source) as made:
        await made.sent(10)
        assert 0.3 < source.position < 1.0
    assert Source("testsrc").describe().items() >= {"duration": None, "position": None, "seekable": False}.items()


async def test_a_seek_shows_that_picture_at_once_in_a_segment_of_its_own(ramp, trickle):
    async with playing(trickle, Source(ramp)) as made:
        await made.sent(10)
        before, at = made.source.frames_sent, time.monotonic()
        made.source.seek(3.3)
        await auntil(lambda: made.source.position > 3.2)
        assert time.monotonic() - at < 0.5
        await made.sent(5)
    times = [picture.timestamp for picture in made.pictures]
    steps = [b - a for a, b in itertools.pairwise(times)]
    assert min(steps) > 0 and max(steps) < 0.4 * CLOCK, "one clock"
    shown = [second_of(picture) for picture in made.pictures]
    jump = max(range(1, len(shown)), key=lambda index: shown[index] - shown[index - 1])
    assert before - 1 <= jump <= before + 1
    assert shown[jump - 1] < 1.5 and shown[jump] == pytest.approx(3.3, abs=0.1)
    assert len(made.segments) == 2, "it began before two seconds were over"
    assert made.segments[1][:3] == b"\x47\x40\x00"


async def test_it_may_go_back_again_and_again_while_the_streams_clock_goes_on(ramp, trickle):
    async with playing(trickle, Source(ramp)) as made:
        for target in (3.0, 0.5, 99.0, -5.0, 2.0):
            await made.sent(4)
            made.source.seek(target)
        await made.sent(4)
    times = [picture.timestamp for picture in made.pictures]
    assert times == sorted(set(times))
    sounds = [sound.timestamp for sound in made.sounds]
    assert sounds == sorted(set(sounds))


async def test_seeks_from_many_threads_leave_it_playing(ramp, trickle):
    async with playing(trickle, Source(ramp)) as made:
        await made.sent(1)
        await asyncio.gather(*(asyncio.to_thread(made.source.seek, n % 40 / 10) for n in range(200)))
        await made.sent(10)


@pytest.mark.parametrize("speed", [0.25, 4.0])
async def test_speed(ramp, trickle, speed):
    source = Source(ramp)
    async with playing(trickle, source) as made:
        await made.sent(5)
        source.speed = speed
        began, before, sent = time.monotonic(), source.position, source.frames_sent
        await auntil(lambda: source.position - before > 0.3 * speed)
        seconds = time.monotonic() - began
        moved = source.position - before
        assert moved / seconds == pytest.approx(speed, rel=0.35)
        assert source.frames_sent - sent <= 25 * seconds + 3, "no more pictures a second than before"
        source.speed = 1.0
        await made.sent(5)
    times = [picture.timestamp for picture in made.pictures]
    assert times == sorted(set(times))
    assert source.describe()["speed"] == 1.0


async def test_at_another_speed_there_is_no_sound(ramp, trickle):
    source = Source(ramp)
    source.speed = 2
    async with playing(trickle, source) as made:
        await made.sent(20)
    assert made.pictures and not made.sounds


async def test_a_loop_may_be_ended_while_it_plays(ramp, trickle):
    source = Source(ramp)
    async with playing(trickle, source, to_its_end=True) as made:
        await made.sent(2)
        source.loop = False
        source.seek(3.5)
    assert second_of(made.pictures[-1]) == pytest.approx(3.96, abs=0.1)
    assert not source.describe()["loop"]


async def test_what_is_refused(ramp):
    source = Source(ramp)
    for speed in (0.1, 5, float("nan")):
        with pytest.raises(ValueError, match=r"from 0\.25 to 4"):
            source.speed = speed
    with pytest.raises(ValueError, match="nan"):
        source.seek(float("nan"))
    source.join(0)
    pattern = Source("testsrc")
    with pytest.raises(SourceError, match="testsrc can't be sought in"):
        pattern.seek(1)
    with pytest.raises(SourceError, match="can't be played at another speed"):
        pattern.speed = 2
    with pytest.raises(SourceError, match="can't start again"):
        pattern.loop = True
    with pytest.raises(SourceError, match="takes no pictures"):
        pattern.push(b"")
    pattern.join(0)


async def test_a_seek_before_it_plays(ramp, trickle):
    source = Source(ramp, loop=False)
    source.seek(3.0)
    async with playing(trickle, source, to_its_end=True) as made:
        pass
    assert second_of(made.pictures[0]) == pytest.approx(3.0, abs=0.1)
    assert made.pictures[0].timestamp < CLOCK // 2
    assert len(made.pictures) == 25
