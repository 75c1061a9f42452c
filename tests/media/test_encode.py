"""Frames to segments: every rule that go-livepeer's gateway has for a container's output, as ffprobe sees it."""

from __future__ import annotations

import itertools
import os
import subprocess
from fractions import Fraction

import av
import numpy as np
import pytest
from kit import CLIP, CLOCK, decode, encode, ffprobe, number_of, onsets, picture, programme, segments, tone
from test_mpegts_streams import demux

from byoc_nb.frames import AudioFrame, VideoFrame
from byoc_nb.frames.colors import BT601, BT709, Color
from byoc_nb.media.decode import Decoder
from byoc_nb.media.encode import SegmentEncoder
from byoc_nb.media.h264 import LIBX264, NVENC, NVIDIA_DEVICE, Codec, UnknownEncoder, encoders

PACKET = 188
SPS, PPS, IDR = 7, 8, 5


def pids(data):
    return [int.from_bytes(data[pos + 1 : pos + 3]) & 0x1FFF for pos in range(0, len(data), PACKET)]


def nal_types(data):
    starts = [pos + 3 for pos in range(len(data) - 3) if data[pos : pos + 3] == b"\0\0\1"]
    return [data[start] & 0x1F for start in starts]


def times(packets, kind):
    return [packet["pts"] for packet in packets if packet["codec_type"] == kind]


# ---- the stream


def test_every_segment_begins_with_pat_pmt_and_an_idr_with_its_parameter_sets():
    parts = segments(7.0)
    assert len(parts) == 4
    for part in parts:
        assert pids(part)[:2] == [0, 0x1000]
        assert pids(part)[2] == 0x100, "the picture comes before any sound"
        first = next(unit for unit in demux(part) if unit.stream.kind == "video")
        assert first.keyframe
        assert [kind for kind in nal_types(first.data) if kind in (SPS, PPS, IDR)] == [SPS, PPS, IDR]


def test_every_segment_stands_alone():
    for number, part in enumerate(segments(6.0)):
        pictures, _ = decode(part)
        assert number_of(pictures[0]) == 60 * number


def test_the_stream_is_what_the_gateway_needs():
    found = ffprobe(b"".join(segments(5.0, size=(320, 180))), "-show_streams", "-show_frames")
    video, audio = found["streams"]
    assert (video["codec_name"], video["pix_fmt"], video["has_b_frames"]) == ("h264", "yuv420p", 0)
    assert (video["width"], video["height"]) == (320, 180)
    assert (audio["codec_name"], audio["sample_rate"]) == ("opus", "48000")
    kinds = [frame["pict_type"] for frame in found["frames"] if frame["media_type"] == "video"]
    assert "B" not in kinds
    assert [index for index, kind in enumerate(kinds) if kind == "I"] == [0, 60, 120]


@pytest.mark.parametrize(("fps", "pictures"), [(24, 48), (25, 50), (29.97, 60), (60, 120), (7, 14)])
def test_a_segment_is_two_seconds_long_at_any_rate(fps, pictures):
    parts = segments(6.0, fps=fps, audio=False)
    assert [len(decode(part)[0]) for part in parts[:2]] == [pictures, pictures]


def test_times_are_the_inputs_and_decoding_times_never_go_back():
    packets = ffprobe(b"".join(segments(5.0, start=123_456)), "-show_packets")["packets"]
    assert times(packets, "video") == [123_456 + 3000 * n for n in range(150)]
    for kind in ("video", "audio"):
        dts = [packet["dts"] for packet in packets if packet["codec_type"] == kind]
        assert all(a < b for a, b in itertools.pairwise(dts))
    assert [p["dts"] for p in packets] == [p["pts"] for p in packets]


def test_jittered_times_are_kept():
    noise = np.random.default_rng(3)
    wanted = [3000 * n + int(noise.integers(-900, 900)) for n in range(1, 90)]
    frames = [VideoFrame(picture(n), pts) for n, pts in enumerate(wanted)]
    pictures, _ = decode(b"".join(encode(frames, with_audio=False)))
    assert [frame.timestamp for frame in pictures] == wanted


def test_a_stream_that_starts_at_zero_has_no_time_before_it():
    """Opus' look-ahead would lie at -6.5 ms, which MPEG-TS writes as 26 hours."""
    for options in ({}, {"video": False}):
        packets = ffprobe(b"".join(segments(1.0, **options)), "-show_packets")["packets"]
        assert max(times(packets, "audio")) < 1.1 * CLOCK


def test_ffmpeg_makes_flv_of_it_without_a_complaint(tmp_path):
    """What the gateway does with the output: streams copied, FLV refuses times that go back."""
    data = b"".join(segments(5.0))
    done = subprocess.run(
        ["ffmpeg", "-v", "warning", "-i", "pipe:0", "-an", "-c:v", "copy", "-f", "flv", str(tmp_path / "out.flv")],
        input=data,
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert not done.stderr, done.stderr.decode()


def test_a_pictures_bytes_come_out_of_the_call_that_brought_it():
    encoder = SegmentEncoder(with_audio=False)
    for number in range(70):
        chunks = list(encoder.video(picture(number), number * 3000, Color(BT601, False)))
        assert [chunk.pts for chunk in chunks] == [number * 3000]
        assert chunks[0].opens_segment == (number % 60 == 0)


# ---- sizes and colours


@pytest.mark.parametrize("size", [(97, 65), (98, 65), (97, 64), (320, 181)])
def test_odd_sizes_become_even(size):
    frames = [VideoFrame(np.full((size[1], size[0], 3), 90, np.uint8), n * 3000) for n in range(30)]
    found = ffprobe(b"".join(encode(frames, with_audio=False)), "-show_streams")["streams"][0]
    assert (found["width"], found["height"]) == (size[0] & ~1, size[1] & ~1)


def test_the_size_stays_that_of_the_first_picture():
    frames = [
        VideoFrame(picture(n, size), n * 3000) for n, size in enumerate([(96, 64)] * 3 + [(192, 128), (64, 96)] * 3)
    ]
    frames.append(VideoFrame(np.full((300, 400, 3), 200, np.uint8), 27_000))
    pictures, _ = decode(b"".join(encode(frames, with_audio=False)))
    assert [(frame.width, frame.height) for frame in pictures] == [(96, 64)] * 10
    assert [number_of(frame) for frame in pictures[:9]] == list(range(9))


def test_processed_and_untouched_pictures_may_be_mixed():
    frames = [VideoFrame(picture(n), n * 3000) for n in range(40)]
    frames = [frame.replace_array(frame.array) if n % 2 else frame for n, frame in enumerate(frames)]
    pictures, _ = decode(b"".join(encode(frames, with_audio=False)))
    assert [number_of(frame) for frame in pictures] == list(range(40))
    levels = [frame.array[5, -20:, 1].mean() for frame in pictures]
    assert max(levels) - min(levels) < 3, "no flicker between the two ways"


def test_a_picture_of_another_shape_is_cut_not_stretched():
    disc = np.zeros((400, 200, 3), np.uint8)  # upright, after a stream that began flat
    disc[180:220, 80:120] = 255
    frames = [VideoFrame(picture(0, (200, 100)), 0), VideoFrame(disc, 3000)]
    pictures, _ = decode(b"".join(encode(frames, with_audio=False)))
    bright = pictures[1].array[..., 1] > 128
    assert abs(int(bright.any(axis=0).sum()) - int(bright.any(axis=1).sum())) <= 2


def test_a_first_picture_that_cannot_be_encoded_costs_itself_only():
    encoder = SegmentEncoder(with_audio=False)
    with pytest.raises(av.FFmpegError):
        list(encoder.video(av.VideoFrame(20_000, 2, "yuv420p"), 0, Color(BT601, False)))
    assert list(encoder.video(picture(1), 3000, Color(BT601, False)))
    assert encoder.size == (96, 64)


# ---- the choice of the encoder


HOLDS_BACK = Codec("libx264", {"preset": "superfast"}, "crf")  # B-frames and look-ahead
NO_IDR = Codec("ffv1", {}, "qmin")  # every packet is flagged as a key, none is an IDR


@pytest.mark.parametrize("other", [NVENC, HOLDS_BACK, NO_IDR], ids=["without a device", "holds back", "no IDR"])
def test_an_encoder_that_wont_do_is_left_for_the_next_without_a_picture_lost(other, caplog):
    if other is NVENC and os.path.exists(NVIDIA_DEVICE):
        pytest.skip("there is a device")
    frames = [VideoFrame(picture(n), n * 3000) for n in range(150)]
    parts = encode(frames, with_audio=False, codecs=[other, LIBX264])
    pictures, _ = decode(b"".join(parts))
    assert [number_of(frame) for frame in pictures] == list(range(150))
    assert [len(decode(part)[0]) for part in parts] == [60, 60, 30]
    assert [record.getMessage().partition(" is not used")[0] for record in caplog.records] == [other.name]


@pytest.mark.skipif(not os.path.exists(NVIDIA_DEVICE), reason="needs an NVIDIA device")
def test_nvenc_is_used_where_there_is_a_device(caplog):
    frames = [VideoFrame(picture(n, (640, 480)), n * 3000) for n in range(150)]
    parts = encode(frames, with_audio=False, codecs=[NVENC, LIBX264])
    assert [number_of(frame) for frame in decode(b"".join(parts))[0]] == list(range(150))
    assert [len(decode(part)[0]) for part in parts] == [60, 60, 30]
    assert not caplog.records


@pytest.mark.parametrize(("wanted", "names"), [("libx264", ["libx264"]), ("h264_nvenc", ["h264_nvenc", "libx264"])])
def test_the_environment_chooses_the_encoder(monkeypatch, wanted, names):
    monkeypatch.setenv("BYOC_ENCODER", wanted)
    assert [codec.name for codec in encoders()] == names


def test_an_encoder_that_isnt_known_is_refused_by_name(monkeypatch):
    monkeypatch.setenv("BYOC_ENCODER", "x265")
    with pytest.raises(UnknownEncoder, match="BYOC_ENCODER is 'x265'"):
        encoders()


@pytest.mark.parametrize("format", ["yuv422p", "yuv444p", "yuv420p10le", "nv12"])
def test_any_decoded_format_becomes_yuv420p(format):
    data = b"".join(encode([VideoFrame(picture(5, format=format), n * 3000) for n in range(5)], with_audio=False))
    assert ffprobe(data, "-show_streams")["streams"][0]["pix_fmt"] == "yuv420p"
    assert {number_of(frame) for frame in decode(data)[0]} == {5}


@pytest.mark.parametrize("matrix", [BT601, BT709])
def test_processed_colours_arrive_as_they_were(matrix):
    rgb = np.empty((64, 96, 3), np.uint8)
    rgb[:] = (220, 40, 90)
    encoder = SegmentEncoder(with_audio=False, quality=5)
    frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
    data = b"".join(chunk.data for n in range(3) for chunk in encoder.video(frame, n * 3000, Color(matrix, False)))
    pictures, _ = decode(data)
    assert pictures[0].color == Color(matrix, False)
    assert np.abs(pictures[0].array[30, 30].astype(int) - (220, 40, 90)).max() <= 4


def test_the_callers_frame_is_left_as_it_was():
    frame = picture(3)
    frame.pts, frame.time_base = 77, Fraction(1, 1000)
    kind = frame.pict_type
    list(SegmentEncoder(with_audio=False).video(frame, 9000, Color(BT601, False)))
    assert (frame.pts, frame.time_base, frame.pict_type) == (77, Fraction(1, 1000), kind)


def test_a_frame_that_has_no_time_of_its_own_is_encoded():
    frame = picture(3)
    assert frame.time_base is None
    assert list(SegmentEncoder(with_audio=False).video(frame, 9000, Color(BT601, False)))
    assert frame.time_base is None


# ---- sound


def test_sound_before_the_first_picture_waits_for_it():
    encoder = SegmentEncoder()
    for number in range(20):
        assert not list(encoder.audio(tone(number * 1800)))
    data = b"".join(chunk.data for chunk in encoder.video(picture(), 36_000, Color(BT601, False)))
    units = demux(data)
    assert units[0].stream.kind == "video"
    assert sum(unit.stream.kind == "audio" for unit in units) >= 18


def test_sound_that_waits_too_long_for_a_picture_is_let_go_from_its_beginning():
    encoder = SegmentEncoder()
    for number in range(1000):
        list(encoder.audio(tone(number * 1800)))
    data = b"".join(chunk.data for chunk in encoder.video(picture(), 1000 * 1800, Color(BT601, False)))
    sounds = [unit for unit in demux(data) if unit.stream.kind == "audio"]
    assert 140 <= len(sounds) <= 151
    assert sounds[0].pts >= 849 * 1800


def test_no_sound_stream_is_announced_where_there_is_no_sound():
    assert [s["codec_type"] for s in ffprobe(segments(0.5, audio=False)[0], "-show_streams")["streams"]] == ["video"]


def test_sound_alone_is_cut_every_two_seconds():
    parts = segments(5.0, video=False)
    assert len(parts) == 3
    for part in parts:
        assert pids(part)[:2] == [0, 0x1000]
    found = ffprobe(b"".join(parts), "-show_streams")["streams"]
    assert [stream["codec_type"] for stream in found] == ["audio"]


@pytest.mark.parametrize(("layout", "channels"), [("mono", 1), ("stereo", 2), ("5.1", 2)])
def test_the_channels_are_announced_as_they_are_sent(layout, channels):
    frames = [tone(0, layout=layout), VideoFrame(picture(), 0), *(tone(n * 1800, layout=layout) for n in range(1, 30))]
    data = b"".join(encode(frames))
    assert ffprobe(data, "-show_streams")["streams"][1]["channels"] == channels
    coded = [unit for unit in demux(data) if unit.stream.kind == "audio"]
    assert {unit.stream.channels for unit in coded} == {channels}
    assert {unit.data[0] >> 2 & 1 for unit in coded} == {channels - 1}, "the stereo bit of Opus' own header"


def test_sound_that_comes_only_after_the_first_picture_fits_what_was_announced():
    frames = [VideoFrame(picture(), 0), *(tone(n * 1800, layout="mono") for n in range(1, 30))]
    coded = [unit for unit in demux(b"".join(encode(frames))) if unit.stream.kind == "audio"]
    assert {(unit.stream.channels, unit.data[0] >> 2 & 1) for unit in coded} == {(2, 1)}


def test_the_format_of_the_sound_may_change():
    frames = [VideoFrame(picture(), 0)]
    frames += [tone(n * 1800) for n in range(50)]
    frames += [tone(CLOCK + n * 2089, samples=1024, rate=44_100, layout="mono") for n in range(43)]
    _, sounds = decode(b"".join(encode(frames)))
    assert abs(sum(sound.nb_samples for sound in sounds) / 48_000 - 2.0) < 0.08


def clicks(at, seconds, *, missing=()):
    """Silence with a burst of tone at each of these seconds, in pieces of 20 ms; `missing`: pieces left out."""
    for number in range(round(seconds * 50)):
        sound = tone(number * 1800, hertz=1000)
        if not any(round(t * 50) <= number < round(t * 50) + 3 for t in at):
            sound.samples[:] = 0
        if number not in missing:
            yield sound


def test_sound_stays_within_40_ms_of_its_time_over_gaps():
    at = [0.4, 1.4, 2.4, 3.4]
    frames = sorted(
        [*clicks(at, 4.0, missing={*range(40, 60), 100, 130}), *programme(4.0, audio=False)], key=lambda f: f.timestamp
    )
    _, sounds = decode(b"".join(encode(frames)))
    assert np.allclose(onsets(sounds), at, atol=0.04)


def test_sound_at_44100_hz_does_not_drift():
    """Sample counts that round must not add up: 20 s, ends in step."""
    frames = [tone(round(n * 1024 * CLOCK / 44_100), samples=1024, rate=44_100) for n in range(861)]
    packets = ffprobe(b"".join(encode(frames, with_video=False)), "-show_packets")["packets"]
    found = times(packets, "audio")
    assert abs(found[-1] + 1800 - 20 * CLOCK) < 0.04 * CLOCK
    steps = {b - a for a, b in itertools.pairwise(found)}
    assert steps <= {1799, 1800, 1801}, "no gap anywhere"


# ---- a clock that goes back


def test_a_looped_clip_goes_on_for_picture_and_sound():
    frames = [*programme(3.0), *programme(3.0), *programme(3.0)]
    data = b"".join(encode(frames))
    packets = ffprobe(data, "-show_packets")["packets"]
    assert len(times(packets, "video")) == 270
    for kind, most in (("video", 6100), ("audio", 8000)):
        found = times(packets, kind)
        assert all(0 < b - a <= most for a, b in itertools.pairwise(found)), kind
    assert abs(times(packets, "video")[-1] - times(packets, "audio")[-1]) < 0.1 * CLOCK


def test_late_pictures_are_left_out_and_counted():
    encoder = SegmentEncoder(with_audio=False)
    for pts in (0, 3000, 1500, 6000):
        list(encoder.video(picture(), pts, Color(BT601, False)))
    assert encoder.late_frames == 1


def test_after_a_pause_of_a_minute_a_new_segment_begins():
    frames = [VideoFrame(picture(n), n * 3000 + (60 * CLOCK if n > 5 else 0)) for n in range(10)]
    assert len(encode(frames, with_audio=False)) == 2


# ---- real video


def test_the_real_clip_keeps_its_times_and_its_look():
    frames, originals = [], []
    with av.open(str(CLIP)) as clip:
        for frame in clip.decode(video=0, audio=0):
            pts = round(frame.pts * frame.time_base * CLOCK)
            if isinstance(frame, av.AudioFrame):
                frames.append(AudioFrame(frame, pts, Fraction(1, CLOCK)))
            else:
                frames.append(VideoFrame(frame, pts))
                originals.append(frames[-1])
            if len(originals) == 60:
                break
    pictures, sounds = decode(b"".join(encode(frames)))
    assert [frame.timestamp for frame in pictures] == [frame.timestamp for frame in originals]
    error = [np.abs(a.array.astype(int) - b.array).mean() for a, b in zip(pictures[::20], originals[::20], strict=True)]
    assert max(error) < 5
    assert abs(sounds[-1].seconds - pictures[-1].seconds) < 0.3


# ---- sound that nobody touched


def opus_packets(data):
    return [unit.data for unit in demux(data) if unit.stream.kind == "audio"]


def test_sound_that_nobody_listens_to_is_copied_not_coded_again():
    source = b"".join(segments(3.0))
    pictures, sounds = decode(source)
    again = b"".join(encode(sorted([*pictures, *sounds], key=lambda frame: frame.timestamp)))
    assert opus_packets(again) == opus_packets(source)
    assert [sound.timestamp for sound in decode(again)[1]] == [sound.timestamp for sound in sounds]


def test_sound_that_is_changed_now_and_then_goes_on_without_a_gap():
    """Every second half second is made louder; ffprobe's own decoder must find nothing to complain about."""
    source = b"".join(segments(4.0))
    pictures, sounds = decode(source)
    touched = [
        sound.replace_samples(sound.samples * 0.5) if sound.timestamp // 45_000 % 2 else sound for sound in sounds
    ]
    again = b"".join(encode(sorted([*pictures, *touched], key=lambda frame: frame.timestamp)))
    heard = decode(again)[1]
    times = [sound.timestamp for sound in heard]
    assert all(0 < b - a <= 2 * 1800 for a, b in itertools.pairwise(times))
    level = {
        half: np.mean([np.abs(s.samples).mean() for s in heard if s.timestamp // 45_000 == half])
        for half in range(1, 7)
    }
    assert all(level[half] < 0.7 * level[half - 1] for half in (3, 5))
    ffprobe(again, "-show_frames")


def test_a_packet_in_the_middle_sounds_as_it_does_in_the_whole_stream():
    source = b"".join(segments(2.0))
    whole = [sound.samples for sound in decode(source)[1]]
    coming = (frame for frame in Decoder().feed(source) if isinstance(frame, AudioFrame))
    for number, sound in enumerate(coming):
        if number in (40, 41, 70):
            assert np.abs(sound.samples - whole[number]).mean() < 0.01


def test_looking_at_the_numbers_of_a_sound_doesnt_decode_it():
    sound = decode(b"".join(segments(1.0)))[1][3]
    assert (sound.rate, sound.layout, sound.format, sound.nb_samples) == (48_000, "stereo", "fltp", 960)
    assert sound.coded
    assert sound.samples.shape == (2, 960)
    assert sound.coded is None
