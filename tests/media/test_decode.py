"""Bytes to frames: clean, foreign, broken off and damaged streams."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from kit import CLOCK, decode, encode, number_of, onsets, picture, programme, segments, split, tone
from test_mpegts_foreign import AUDIO, H264, VIDEO, Writer, video_pes
from test_mpegts_streams import clip, demux, make_ts

from byoc_nb.frames import VideoFrame
from byoc_nb.media.decode import Decoder, FrameRateLimit, UnreadableStream
from byoc_nb.media.encode import SegmentEncoder

# ---- clean streams


def test_a_picture_comes_out_of_the_call_that_brought_its_last_byte():
    encoder, decoder = SegmentEncoder(with_audio=False), Decoder()
    for frame in programme(1.0, audio=False):
        for chunk in encoder.video(frame.to_av(), frame.timestamp, frame.color):
            assert [out.timestamp for out in decoder.feed(chunk.data)] == [frame.timestamp]


def test_every_picture_and_every_sound_comes_through_with_its_time():
    pictures, sounds = decode(b"".join(segments(3.0, start=7_000_000)))
    assert [number_of(frame) for frame in pictures] == list(range(90))
    assert [frame.timestamp for frame in pictures] == [7_000_000 + 3000 * n for n in range(90)]
    lead = 312 * CLOCK // 48_000  # what libopus looks ahead: its first sample is that much before the sound's
    assert np.abs([sound.timestamp - 7_000_000 + lead - 1800 * n for n, sound in enumerate(sounds)]).max() <= 2
    assert len(sounds) >= 150
    assert {(sound.rate, sound.layout) for sound in sounds} == {(48_000, "stereo")}


@pytest.mark.parametrize("size", [1, 188, 1000, 65_536])
def test_the_chunking_makes_no_difference(size):
    data = b"".join(segments(0.5))
    decoder = Decoder()
    found = [f for pos in range(0, len(data), size) for f in decoder.feed(data[pos : pos + size])]
    pictures, sounds = split([*found, *decoder.flush()])
    assert (len(pictures), len(sounds) >= 25) == (15, True)


@pytest.mark.parametrize(("audio", "rate"), [("libopus", 48_000), ("aac", 48_000), (None, 0)])
def test_the_sounds_that_an_ingest_sends(audio, rate):
    pictures, sounds = decode(make_ts(audio=audio, seconds=1.0))
    assert len(pictures) == 30
    assert bool(sounds) == bool(audio)
    assert {sound.rate for sound in sounds} <= {rate}
    if audio:
        assert abs(sum(sound.nb_samples for sound in sounds) / rate - 1.0) < 0.1


def test_the_real_clip_with_5_1_sound():
    pictures, sounds = decode(clip("bigbuckbunny"))
    assert (len(pictures), pictures[0].width, pictures[0].height) == (132, 1280, 720)
    assert {sound.layout for sound in sounds} == {"5.1"}


def test_b_frames_come_in_order_of_presentation_and_none_is_missing():
    data = clip("bikes")
    units = [unit for unit in demux(data) if unit.stream.kind == "video"]
    assert any(unit.pts != unit.dts for unit in units), "the clip has B-frames"
    pictures, _ = decode(data)
    assert [frame.timestamp for frame in pictures] == sorted(unit.pts for unit in units)


def test_the_kinds_are_known_from_the_first_table_on():
    decoder = Decoder()
    assert decoder.kinds == frozenset()
    list(decoder.feed(segments(0.1)[0][:376]))
    assert decoder.kinds == {"video", "audio"}


def test_the_resolution_may_change_from_one_segment_to_the_next():
    data = segments(1.0, audio=False)[0] + segments(1.0, audio=False, size=(160, 120), start=CLOCK)[0]
    pictures, _ = decode(data)
    assert [frame.width for frame in pictures] == [96] * 30 + [160] * 30
    pictures, _ = decode(data, size=(64, 64))
    assert [(frame.width, frame.height) for frame in pictures] == [(64, 64)] * 60
    assert [frame.timestamp for frame in pictures] == [3000 * n for n in range(60)]


# ---- times


@pytest.mark.parametrize("every", [2, 7])
def test_pictures_without_a_time_stamp_follow_the_one_before(every):
    units, writer = demux(make_ts(audio=None, seconds=1.0)), Writer()
    data = writer.tables(H264)
    for index, unit in enumerate(units):
        data += writer.pes(VIDEO, video_pes(unit, stamps=index < 2 or not index % every))
    pictures, _ = decode(data)
    assert [frame.timestamp for frame in pictures] == [unit.pts for unit in units]


def test_a_stream_without_any_time_stamp_is_counted_as_damaged_not_invented():
    units, writer, drops = demux(make_ts(audio=None, seconds=0.2)), Writer(), []
    data = writer.tables(H264) + b"".join(writer.pes(VIDEO, video_pes(unit, stamps=False)) for unit in units)
    assert decode(data, on_drop=drops.append) == ([], [])
    assert drops == ["damaged"] * 6


def kept(fps, times):
    limit = FrameRateLimit(fps)
    return [index for index, pts in enumerate(times) if limit.keeps(round(pts))]


def grid(fps, count=240):
    return [n * CLOCK / fps for n in range(count)]


@pytest.mark.parametrize(("source", "limit"), [(24, 24), (30, 30), (23.976, 24), (25, 30), (15, 60), (59.94, 60)])
def test_a_source_that_is_slow_enough_loses_nothing(source, limit):
    assert len(kept(limit, grid(source))) == 240


@pytest.mark.parametrize("fps", [24, 30, 60])
def test_times_rounded_to_milliseconds_lose_nothing(fps):
    """WebRTC and FLV sources round: 24 fps come 41, 42 and 42 ms apart."""
    assert len(kept(fps, [round(t / 90) * 90 for t in grid(fps)])) == 240


def test_a_jittery_source_at_the_limit_loses_next_to_nothing():
    noise = random.Random(4)
    assert len(kept(30, [t + noise.uniform(-0.2, 0.2) * 3000 for t in grid(30)])) >= 238


@pytest.mark.parametrize(("source", "limit", "step"), [(30, 15, 2), (60, 30, 2), (60, 20, 3), (50, 25, 2)])
def test_a_whole_fraction_is_perfectly_even(source, limit, step):
    assert kept(limit, grid(source)) == list(range(0, 240, step))


@pytest.mark.parametrize(("source", "limit"), [(30, 24), (60, 24), (60, 25), (25, 24), (50, 30), (30, 29.97)])
def test_any_other_fraction_is_as_even_as_can_be(source, limit):
    chosen = kept(limit, grid(source))
    steps = {b - a for a, b in itertools.pairwise(chosen)}  # the first may be early
    assert abs(len(chosen) - 240 * limit / source) <= 1.5
    assert max(steps) - min(steps) <= 1


def test_the_limit_goes_on_after_the_clock_jumps():
    times = grid(30, 60) + [t + 50 * CLOCK for t in grid(30, 60)] + grid(30, 60)
    assert abs(len(kept(15, times)) - 90) <= 2


def test_frames_over_the_limit_are_counted_and_the_limit_may_change():
    drops, data = [], segments(4.0, audio=False)
    decoder = Decoder(max_framerate=10, on_drop=drops.append)
    assert len(list(decoder.feed(data[0]))) == 20
    assert drops == ["rate"] * 40
    decoder.max_framerate = None
    assert len([*decoder.feed(data[1]), *decoder.flush()]) == 60


# ---- size


def test_pictures_are_scaled_to_the_size_that_was_asked_for():
    pictures, _ = decode(b"".join(segments(0.2, size=(320, 180))), size=(128, 128))
    assert {(frame.width, frame.height) for frame in pictures} == {(128, 128)}


# ---- broken off, damaged, unreadable


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_after_a_segment_that_broke_off_the_next_one_is_whole(share):
    first, second = segments(4.0, audio=False)
    decoder = Decoder()
    before = list(decoder.feed(first[: int(len(first) * share)]))
    before += list(decoder.cut())
    after = [*decoder.feed(second), *decoder.flush()]
    assert len(before) >= 60 * share - 8
    assert [(number_of(frame), frame.timestamp) for frame in after] == [(n, 3000 * n) for n in range(60, 120)]


def test_the_last_picture_before_a_gap_does_not_wait_for_what_comes_after():
    """A muxer without lengths and stuffing lets a picture end only where the next one begins."""
    units, writer = demux(make_ts(audio=None, seconds=0.5)), Writer()
    data = writer.tables(H264) + b"".join(writer.pes(VIDEO, video_pes(unit), fill=True) for unit in units)
    decoder = Decoder()
    found = list(decoder.feed(data))
    assert len(found) < 15
    assert len(found + list(decoder.cut())) == 15


def test_a_gap_in_the_stream_costs_only_the_gap():
    parts = segments(8.0)
    decoder = Decoder()
    found = [
        *decoder.feed(parts[0]),
        *decoder.cut(),
        *decoder.feed(parts[2]),
        *decoder.feed(parts[3]),
        *decoder.flush(),
    ]
    pictures, sounds = split(found)
    assert [number_of(frame) for frame in pictures] == [*range(60), *range(120, 240)]
    assert all(frame.timestamp == 3000 * number_of(frame) for frame in pictures)
    assert max(sound.timestamp for sound in sounds) > 7.9 * CLOCK


@pytest.mark.parametrize("seed", range(8))
def test_damage_costs_frames_but_never_the_stream(seed):
    noise, parts, drops = random.Random(seed), segments(6.0), []
    hurt = bytearray(parts[0])
    for _ in range(30):
        hurt[noise.randrange(len(hurt))] = noise.randrange(256)
    start = noise.randrange(len(hurt) - 5000)
    del hurt[start : start + noise.randrange(5000)]
    pictures, sounds = decode(bytes(hurt) + parts[1] + parts[2], on_drop=drops.append)
    whole = pictures[-118:]
    assert [number_of(frame) for frame in whole] == list(range(62, 180))
    # a damaged time stamp may move the time line by a whole wrap
    assert [frame.timestamp % 2**33 for frame in whole] == [3000 * n for n in range(62, 180)]
    assert sounds
    assert set(drops) <= {"damaged"}


def test_a_stream_that_is_no_mpeg_ts_gives_one_clear_error():
    errors = []
    decoder = Decoder(on_error=errors.append)
    noise = random.Random(1).randbytes(30_000)
    for _ in range(20):
        assert not list(decoder.feed(noise))
    assert not list(decoder.flush())
    assert len(errors) == 1
    assert isinstance(errors[0], UnreadableStream)
    assert "no programme" in errors[0].one_line() and "MPEG-TS" in errors[0].one_line()


def test_a_short_stream_that_is_no_mpeg_ts_is_told_at_its_end():
    errors = []
    decode(b"not found\n" * 20, on_error=errors.append)
    assert len(errors) == 1


def test_an_empty_stream_is_no_error():
    errors = []
    assert decode(b"", on_error=errors.append) == ([], [])
    assert not errors


def test_a_codec_without_a_decoder_gives_one_clear_error_and_the_other_stream_goes_on():
    pictures, writer, errors = demux(make_ts(audio=None, seconds=0.5)), Writer(), []
    data = writer.tables([*H264, (0x06, AUDIO, b"\x05\x04AC-4")])
    for unit in pictures:
        data += writer.pes(VIDEO, video_pes(unit)) + writer.pes(
            AUDIO, b"\x00\x00\x01\xbd\x00\x00\x80\x00\x00" + b"x" * 50
        )
    found, sounds = decode(data, on_error=errors.append)
    assert (len(found), sounds) == (15, [])
    assert len(errors) <= 1


# ---- sound and picture together


def test_picture_and_sound_stay_in_step():
    """A flash and a click at the same instants, through encoder and decoder."""
    frames, at = [], [0.5, 1.5, 2.5]
    for number in range(90):
        flash = any(0 <= number / 30 - t < 0.1 for t in at)
        frames.append(VideoFrame(picture(4095 if flash else 0), number * 3000))
        for part in range(5):
            sound = tone(number * 3000 + part * 600, samples=320)
            if not flash:
                sound.samples[:] = 0
            frames.append(sound)
    pictures, sounds = decode(b"".join(encode(frames)))
    flashes = [f.seconds for b, f in itertools.pairwise(pictures) if number_of(f) and not number_of(b)]
    assert np.allclose(flashes, at, atol=1e-6)
    assert np.allclose(onsets(sounds), at, atol=0.04)
