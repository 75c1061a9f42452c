"""Damaged streams: nothing raises, what is whole comes through, what is not is marked."""

from __future__ import annotations

import random

import pytest
from test_mpegts_streams import by_pid, decoded, demux, make_ts

from byoc_nb.media.mpegts import Demuxer

hypothesis = pytest.importorskip("hypothesis", reason="hypothesis is not installed")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

SMALL = {"size": (160, 96), "seconds": 0.5, "audio": "aac"}


def packets(data: bytes) -> list[bytes]:
    return [data[pos : pos + 188] for pos in range(0, len(data), 188)]


@pytest.mark.parametrize("seed", range(4))
def test_dropped_packets(seed):
    data = make_ts()
    chosen = random.Random(seed)
    kept = [packet for index, packet in enumerate(packets(data)) if index < 4 or chosen.random() > 0.01]
    demuxer = Demuxer()
    units = demuxer.feed(b"".join(kept)) + demuxer.flush()
    sound = {pid: {entry[2] for entry in found} for pid, found in by_pid(demux(data)).items()}
    assert demuxer.stats.continuity_errors > 0
    for unit in units:
        assert unit.corrupt or unit.data in sound[unit.stream.pid]
    whole = sum(not unit.corrupt for unit in units)
    assert whole > 0.5 * len(demux(data))
    assert any(unit.corrupt for unit in units)
    decoded([unit for unit in units if unit.stream.kind == "video"])


def test_one_lost_packet_marks_one_unit():
    data = packets(make_ts(audio=None))
    whole = demux(b"".join(data))
    for lost in (40, 41, 60, 100):
        if data[lost][1] & 0x5F == 0x01 and data[lost][3] & 0x30 == 0x10:  # in mid-PES
            units = demux(b"".join(data[:lost] + data[lost + 1 :]))
            assert len(units) == len(whole)
            assert sum(unit.corrupt for unit in units) == 1


def test_a_lost_start_drops_that_unit_and_marks_the_next():
    data = packets(make_ts(audio=None))
    starts = [index for index, packet in enumerate(data) if packet[1] & 0x5F == 0x41 and packet[2] == 0]
    lost = starts[10]
    units, whole = demux(b"".join(data[:lost] + data[lost + 1 :])), demux(b"".join(data))
    assert [unit.data for unit in units] == [unit.data for index, unit in enumerate(whole) if index != 10]
    assert [index for index, unit in enumerate(units) if unit.discontinuity] == [10]


@pytest.mark.parametrize("missing", [1, 40, 187])
def test_bytes_missing_inside_a_packet(missing):
    data = make_ts()
    whole = demux(data)
    spot = 188 * 70 + 3
    demuxer = Demuxer()
    units = demuxer.feed(data[:spot] + data[spot + missing :]) + demuxer.flush()
    assert demuxer.stats.resyncs >= 1
    assert len(units) >= len(whole) - 3
    assert sum(unit.corrupt or unit.discontinuity for unit in units) in range(1, 5)


def test_junk_between_packets():
    data, junk = make_ts(), bytes(range(256)) * 3
    spot = 188 * 70
    demuxer = Demuxer()
    units = demuxer.feed(data[:spot] + junk + data[spot:]) + demuxer.flush()
    assert by_pid(units) == by_pid(demux(data))
    assert demuxer.stats.skipped_bytes == len(junk)


def test_a_segment_that_breaks_off():
    data = make_ts()
    demuxer = Demuxer()
    units = demuxer.feed(data[: 188 * 200 + 77])
    last = demuxer.flush()
    assert len(last) == 1
    assert last[0].corrupt
    again = demuxer.feed(data) + demuxer.flush()
    expected = by_pid(demux(data))
    assert by_pid(again) == expected
    assert [unit.discontinuity for unit in again if unit.stream.kind == "video"].count(True) <= 1
    assert not any(unit.corrupt for unit in units + again)


def test_a_cut_off_segment_before_another():
    """Without a flush between them: the cut shows, though counters that start again are no loss by themselves."""
    data = make_ts()
    units = demux(data[: 188 * 200 + 77] + data)
    first = [unit for unit in units if unit.stream.kind == "video"]
    cut = next(index for index, unit in enumerate(first) if unit.corrupt)
    assert first[cut + 1].discontinuity
    assert first[cut + 1].keyframe
    assert sum(unit.corrupt for unit in units) == 1


def run(data: bytes, cuts: list[int]) -> list:
    demuxer, units, pos = Demuxer(), [], 0
    for cut in [*sorted(cuts), len(data)]:
        units += demuxer.feed(data[pos:cut])
        pos = max(pos, cut)
    units += demuxer.flush()
    units += demuxer.flush()
    assert demuxer.stats.bytes == len(data)
    assert demuxer.stats.units <= demuxer.stats.packets + 1 or units
    assert isinstance(demuxer.unrecognised, bool)
    return units


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damage_raises(data):
    """Bytes overwritten, cut out and put in at random, fed in random pieces."""
    stream = bytearray(make_ts(**SMALL))
    for _ in range(data.draw(st.integers(0, 12))):
        spot = data.draw(st.integers(0, len(stream) - 1))
        kind = data.draw(st.integers(0, 3))
        if kind == 0:
            stream[spot] = data.draw(st.integers(0, 255))
        elif kind == 1:
            del stream[spot : spot + data.draw(st.integers(1, 600))]
        elif kind == 2:
            stream[spot:spot] = data.draw(st.binary(max_size=400))
        else:  # a packet header or adaptation field, where it hurts most
            spot -= spot % 188
            stream[spot + 1 : spot + 8] = data.draw(st.binary(min_size=7, max_size=7))
        stream = stream or bytearray(1)
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=6))
    run(bytes(stream), cuts)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(min_size=187, max_size=187), max_size=30), st.integers(1, 400))
def test_no_packet_raises(bodies, chunk):
    """Random packets after a sound PAT and PMT, on the PIDs of these."""
    head = b"".join(packets(make_ts(**SMALL))[:4])
    pids = (b"\x00\x00", b"\x50\x00", b"\x41\x00", b"\x01\x00", b"\x41\x01", b"\x01\x01")
    stream = head + b"".join(b"\x47" + pids[index % len(pids)] + body[2:] for index, body in enumerate(bodies))
    run(stream, list(range(0, len(stream), chunk)))


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=3000), st.lists(st.integers(0, 3000), max_size=5))
def test_no_bytes_raise(stream, cuts):
    run(stream, cuts)
    run(stream.replace(b"\x00", b"\x47"), cuts)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 100_000), max_size=40))
def test_pieces_do_not_matter(cuts):
    data = make_ts(**SMALL)
    assert run(data, [cut % len(data) for cut in cuts]) == demux(data)
