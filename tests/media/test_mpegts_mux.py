"""The muxer: its bytes read by ffmpeg's programs, by libav and by our own demuxer."""

from __future__ import annotations

import io
import itertools
import json
import shutil
import struct
import subprocess

import av
import pytest
from test_mpegts_streams import PACKET, by_libav, by_pid, clip, decoded, delays, demux, make_ts

from byoc_nb.errors import ByocError
from byoc_nb.media.mpegts import Demuxer, Muxer, MuxError, Unit

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")
from hypothesis import example, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

needs_ffmpeg = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="the ffmpeg and ffprobe programs are not installed"
)


def remux(units: list[Unit], shift: int = 0, **more) -> list[bytes]:
    """Segments of the units, one for each key frame; audio alone: one segment."""
    codecs = {unit.stream.kind: unit.stream.codec for unit in units}
    muxer = Muxer(video=codecs.get("video"), audio=codecs.get("audio"), **more)
    parts: list[list[bytes]] = [] if "video" in codecs else [[muxer.start_segment()]]
    for unit in units:
        if unit.stream.kind == "video":
            if unit.keyframe:
                parts.append([muxer.start_segment()])
            parts[-1].append(muxer.video(unit.data, unit.pts + shift, unit.dts + shift, unit.keyframe))
        elif parts:
            parts[-1].append(muxer.audio(unit.data, unit.pts + shift))
    return [b"".join(part) for part in parts]


def quiet(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


SOURCES = {
    "opus": make_ts,
    "aac": lambda: make_ts(audio="aac", bf="3", preset="veryfast"),
    "silent": lambda: make_ts(audio=None),
    "sound": lambda: make_ts(video=None),
    "hevc": lambda: make_ts(video="libx265", audio=None, seconds=1.0),
    "large": lambda: make_ts(size=(480, 272), seconds=0.5, qp="10"),
    "bunny": lambda: clip("bigbuckbunny"),
}


@needs_ffmpeg
@pytest.mark.parametrize("name", SOURCES)
def test_ffmpeg_reads_it_without_a_warning(name, tmp_path):
    units = demux(SOURCES[name]())
    segments = remux(units, audio_channels=2)
    whole = tmp_path / "whole.ts"
    whole.write_bytes(b"".join(segments))
    found = json.loads(quiet("ffprobe", "-v", "warning", "-count_packets", "-show_streams", "-of", "json", str(whole)))[
        "streams"
    ]
    expected = {kind: [unit for unit in units if unit.stream.kind == kind] for kind in ("video", "audio")}
    for stream in found:
        theirs = expected.pop(stream["codec_type"])
        assert stream["codec_name"] == theirs[0].stream.codec
        assert int(stream["nb_read_packets"]) == len(theirs)
        assert stream["start_pts"] == min(unit.pts for unit in theirs)
    assert not any(expected.values())
    quiet("ffmpeg", "-v", "warning", "-i", str(whole), "-f", "null", "-")
    for index, segment in enumerate(segments[:2]):
        alone = tmp_path / f"{index}.ts"
        alone.write_bytes(segment)
        quiet("ffmpeg", "-v", "warning", "-i", str(alone), "-f", "null", "-")


@pytest.mark.parametrize("name", SOURCES)
def test_libav_and_our_demuxer_get_the_same_units_back(name):
    units = demux(SOURCES[name]())
    data = b"".join(remux(units))
    expected = {unit.stream.kind: [] for unit in units}
    for unit in units:
        expected[unit.stream.kind].append((unit.pts, unit.dts, unit.data, unit.keyframe))
    again = demux(data)
    assert not any(unit.corrupt or unit.discontinuity for unit in again)
    pids = {unit.stream.kind: unit.stream.pid for unit in again}
    assert {kind: by_pid(again)[pid] for kind, pid in pids.items()} == expected
    assert {kind: by_libav(data)[pid] for kind, pid in pids.items()} == expected


@pytest.mark.parametrize("name", SOURCES)
def test_every_unit_is_out_with_its_last_packet(name):
    data = b"".join(remux(demux(SOURCES[name]())))
    assert set(delays(data)) == {0}


def test_each_call_is_whole_packets_and_one_unit():
    units = demux(make_ts())
    muxer, demuxer = Muxer(video="h264", audio="opus"), Demuxer()
    demuxer.feed(muxer.start_segment())
    for unit in units:
        if unit.stream.kind == "video":
            data = muxer.video(unit.data, unit.pts, unit.dts, unit.keyframe)
        else:
            data = muxer.audio(unit.data, unit.pts)
        assert len(data) % PACKET == 0
        assert len(demuxer.feed(data)) == 1
    assert demuxer.flush() == []


def test_segments_stand_alone_and_counters_go_on():
    units = demux(make_ts(seconds=4.0))
    segments = remux(units)
    assert len(segments) == 4
    for segment in segments:
        found = demux(segment)
        assert found[0].keyframe
        with av.open(io.BytesIO(segment), format="mpegts") as source:
            assert sum(1 for _ in source.decode(video=0)) == 30
    counters: dict[int, int] = {}
    whole = b"".join(segments)
    for pos in range(0, len(whole), PACKET):
        (header,) = struct.unpack_from(">I", whole, pos)
        pid, cc = header >> 8 & 0x1FFF, header & 15
        assert counters.get(pid, cc) == cc
        counters[pid] = (cc + 1) % 16


def clocks(data: bytes) -> list[tuple[int, int, bool]]:
    """(PID, PCR's base, random access) of each packet with a PCR."""
    found = []
    for pos in range(0, len(data), PACKET):
        packet = data[pos : pos + PACKET]
        if packet[3] & 0x20 and packet[4] and packet[5] & 0x10:
            base = int.from_bytes(packet[6:12], "big") >> 15
            found.append(((packet[1] << 8 | packet[2]) & 0x1FFF, base, bool(packet[5] & 0x40)))
    return found


@pytest.mark.parametrize(("name", "pid"), [("opus", 0x100), ("sound", 0x101), ("aac", 0x100)])
def test_clock(name, pid):
    """On one PID, at most 100 ms apart, never standing still, always before the times of what comes next."""
    units = demux(SOURCES[name]())
    data = b"".join(remux(units))
    found = clocks(data)
    assert {clock[0] for clock in found} == {pid}
    steps = [(after[1] - before[1]) % (1 << 33) for before, after in itertools.pairwise(found)]
    assert min(steps) > 0
    assert max(steps) <= 9000
    first = min(unit.dts for unit in units)
    assert 0 < (first - found[0][1]) % (1 << 33) <= 90_000


def test_random_access_on_key_frames():
    data = b"".join(remux(demux(make_ts(audio=None, seconds=3.0))))
    flags = [
        bool(data[pos + 3] & 0x20 and data[pos + 4] and data[pos + 5] & 0x40)
        for pos in range(0, len(data), PACKET)
        if data[pos + 1] & 0x5F == 0x41 and data[pos + 2] == 0
    ]
    assert [index for index, flag in enumerate(flags) if flag] == [0, 30, 60]


@pytest.mark.parametrize("shift", [-(1 << 33), -500_000, (1 << 33) - 150_000, (1 << 40) + 7])
def test_any_times_are_wrapped(shift):
    units = demux(make_ts())
    found = demux(b"".join(remux(units, shift)))
    times = [unit.pts - found[0].pts for unit in found]
    assert times == [unit.pts - units[0].pts for unit in units]
    assert (found[0].pts - units[0].pts - shift) % (1 << 33) == 0
    assert not any(unit.discontinuity for unit in found)


def test_tables_are_repeated_for_late_readers():
    units = demux(make_ts(audio=None, seconds=4.0, g="240", keyint_min="240"))
    muxer = Muxer(video="h264", audio=None)
    data = b"".join(muxer.video(unit.data, unit.pts, unit.dts, unit.keyframe) for unit in units)
    tables = [pos for pos in range(0, len(data), PACKET) if data[pos + 1 : pos + 3] == b"\x40\x00"]
    assert len(tables) == 8
    assert demux(data)[0].keyframe  # the first one without start_segment


def test_delimiter_is_put_in_front_once():
    picture = b"\x00\x00\x00\x01\x65\x88" + bytes(range(1, 200))
    muxer = Muxer(video="h264", audio=None)
    (unit,) = demux(muxer.video(picture, 0, 0, True))
    assert unit.data == b"\x00\x00\x00\x01\x09\xf0" + picture
    (again,) = demux(Muxer(video="h264", audio=None).video(unit.data, 0, 0, True))
    assert again.data == unit.data
    (short,) = demux(Muxer(video="h264", audio=None).video(unit.data[1:], 0, 0, True))
    assert short.data == unit.data[1:]


def test_raw_aac_gets_a_header():
    units = demux(make_ts(video=None, audio="aac"))
    muxer = Muxer(video=None, audio="aac", audio_channels=2, sample_rate=48_000)
    data = b"".join(muxer.audio(unit.data[7:], unit.pts) for unit in units)
    found = demux(data)
    assert [unit.data[7:] for unit in found] == [unit.data[7:] for unit in units]
    with av.open(io.BytesIO(data), format="mpegts") as source:
        stream = source.streams.audio[0]
        assert (stream.rate, stream.channels) == (48_000, 2)
        assert sum(1 for _ in source.decode(audio=0)) == len(units)


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_opus_channels(channels):
    muxer = Muxer(video=None, audio="opus", audio_channels=channels)
    demuxer = Demuxer()
    demuxer.feed(muxer.start_segment())
    assert demuxer.streams[0].channels == channels


def test_mistakes_have_a_hint():
    def video(**more):
        return Muxer(**{"video": "h264", "audio": None} | more)

    for call in (
        lambda: video(video=None),
        lambda: video(video="vp9"),
        lambda: video(audio="flac"),
        lambda: video(audio="opus", audio_channels=9),
        lambda: video(audio="aac", sample_rate=48_001),
        lambda: video().audio(b"x", 0),
        lambda: video(video=None, audio="opus").video(b"\x00\x00\x01\x65\x88", 0, 0, True),
        lambda: video().video(b"\x00\x00\x10\x00\x65\x88", 0, 0, True),
        lambda: video(audio="aac").audio(bytes(9000), 0),
    ):
        with pytest.raises(MuxError) as caught:
            call()
        assert isinstance(caught.value, ByocError)
        assert isinstance(caught.value, ValueError)
        assert caught.value.hint


def picture(size: int, key: bool) -> bytes:
    return b"\x00\x00\x00\x01\x09\xf0\x00\x00\x01" + (b"\x65\x88" if key else b"\x41\x9a") + b"\x55" * size


@settings(max_examples=80, deadline=None)
@example([(False, 65_414, False)], 0, 0)  # longer than a length says, and its last packet full
@given(
    st.lists(
        st.tuples(
            st.booleans(),  # a picture, or sound
            st.one_of(st.integers(1, 1000), st.integers(65_300, 66_500)),
            st.booleans(),  # a key frame
        ),
        min_size=1,
        max_size=20,
    ),
    st.integers(-(1 << 34), 1 << 34),
    st.integers(0, 9000),
)
def test_round_trip(units, start, ahead):
    muxer, demuxer = Muxer(video="h264", audio="opus"), Demuxer()
    expected, found = [], []
    for index, (is_picture, size, key) in enumerate(units):
        now = start + index * 3000
        if is_picture:
            data = picture(size, key)
            expected.append((data, ahead, index, key))
            sent = muxer.video(data, now + ahead, now, key)
        else:
            data = b"\xfc" + b"\x33" * size
            expected.append((data, 0, index, True))
            sent = muxer.audio(data, now)
        assert len(sent) % PACKET == 0
        got = demuxer.feed(sent)
        assert len(got) == 1
        found += got
    assert demuxer.flush() == []
    base = found[0].dts
    assert [(unit.data, unit.pts - unit.dts, (unit.dts - base) // 3000, unit.keyframe) for unit in found] == expected
    assert (base - start) % (1 << 33) == 0
    assert not any(unit.corrupt for unit in found)


def test_pictures_decode_after_the_round_trip():
    units = [
        unit
        for unit in demux(b"".join(remux(demux(make_ts(bf="2", preset="veryfast")))))
        if unit.stream.kind == "video"
    ]
    assert decoded(units) == len(units) == 60
