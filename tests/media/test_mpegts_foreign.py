"""Streams as other muxers write them, built packet by packet: what the demuxer makes of each shape."""

from __future__ import annotations

import itertools
import struct

import pytest
from test_mpegts_streams import by_pid, decoded, demux, make_ts

from byoc_nb.media.mpegts import Demuxer, Unit
from byoc_nb.media.mpegts.pes import build_header
from byoc_nb.media.mpegts.tables import build_pat, build_pmt, crc32

VIDEO, AUDIO, PMT = 0x100, 0x101, 0x1000
AUD = b"\x00\x00\x00\x01\x09\xf0"


class Writer:
    """The least that makes packets, in any shape asked for."""

    def __init__(self) -> None:
        self.counters: dict[int, int] = {}

    def packet(
        self, pid: int, payload: bytes, *, start: bool = False, fields: bytes | None = None, bits: int = 0
    ) -> bytes:
        """One packet, stuffed where the payload is short; `fields` is the adaptation field's flags and contents."""
        room = 184 if fields is None else 183 - len(fields)
        gap = room - len(payload)
        assert gap >= 0
        if gap and fields is None:
            fields, gap = (b"", 0) if gap == 1 else (b"\x00", gap - 2)
        field = b"" if fields is None else bytes([len(fields) + gap]) + fields + b"\xff" * gap
        cc = self.counters.get(pid, 0)
        self.counters[pid] = (cc + 1) % 16
        bits |= (0x40_0000 if start else 0) | (0x20 if field else 0)
        return struct.pack(">I", 0x4700_0010 | pid << 8 | bits | cc) + field + payload

    def section(self, pid: int, section: bytes) -> bytes:
        data = b"\x00" + section
        chunks = [data[pos : pos + 184].ljust(184, b"\xff") for pos in range(0, len(data), 184)]
        return b"".join(self.packet(pid, chunk, start=not index) for index, chunk in enumerate(chunks))

    def tables(self, streams, *, pmt: int = PMT) -> bytes:
        return self.section(0, build_pat(pmt)) + self.section(pmt, build_pmt(streams[0][1], streams))

    def pes(self, pid: int, pes: bytes, first: int = 184, fill: bool = False) -> bytes:
        """`first`: payload bytes of the first packet; `fill`: so many that no later packet is stuffed."""
        if fill:
            first = len(pes) % 184 or 184
        parts = [self.packet(pid, pes[:first], start=True)]
        parts += [self.packet(pid, pes[pos : pos + 184]) for pos in range(first, len(pes), 184)]
        return b"".join(parts)


def video_pes(unit: Unit, *, length: bool = False, stamps: bool = True) -> bytes:
    if not stamps:
        return b"\x00\x00\x01\xe0\x00\x00\x80\x00\x00" + unit.data
    header = build_header(0xE0, len(unit.data), unit.pts, unit.dts)
    return (header if length else header[:4] + b"\x00\x00" + header[6:]) + unit.data


def pictures(**options) -> list[Unit]:
    return demux(make_ts(audio=None, **options))


H264 = [(0x1B, VIDEO, b"")]


def contents(units):
    return [(unit.pts, unit.dts, unit.data, unit.keyframe) for unit in units]


@pytest.mark.parametrize("length", [False, True])
def test_plain(length):
    units, writer = pictures(), Writer()
    data = writer.tables(H264) + b"".join(writer.pes(VIDEO, video_pes(unit, length=length)) for unit in units)
    assert contents(demux(data)) == contents(units)


@pytest.mark.parametrize("payload", [10, 60, 150])
def test_stuffing_in_the_first_packet(payload):
    """A muxer that fills up first packets is not taken for one that ends there."""
    units, writer = pictures(seconds=3.0), Writer()
    data = writer.tables(H264)
    for unit in units:
        data += writer.pes(VIDEO, video_pes(unit), first=payload)
    demuxer = Demuxer()
    found = demuxer.feed(data) + demuxer.flush()
    fooled = demuxer.stats.early_ends
    assert fooled <= 1
    assert sum(unit.corrupt for unit in found) == fooled
    assert len(found) == len(units) + fooled
    fool = next((index for index, unit in enumerate(found) if unit.corrupt), 0)
    assert contents(found)[fool + fooled :] == contents(units)[fool:]
    assert b"".join(unit.data for unit in found) == b"".join(unit.data for unit in units)


def test_stuffing_in_the_first_packet_only():
    """No packet but the first is stuffed, so that all rests on the next start."""
    units, writer = pictures(), Writer()
    data = writer.tables(H264) + b"".join(writer.pes(VIDEO, video_pes(unit), fill=True) for unit in units)
    demuxer = Demuxer()
    found = demuxer.feed(data) + demuxer.flush()
    assert demuxer.stats.early_ends <= 1
    assert b"".join(unit.data for unit in found) == b"".join(unit.data for unit in units)
    assert decoded(found) >= len(units)


def test_stuffing_anywhere_costs_one_picture_and_trust_comes_back():
    units, writer = pictures(seconds=4.0), Writer()
    demuxer, found, late = Demuxer(), [], []
    demuxer.feed(writer.tables(H264))
    for index, unit in enumerate(units):
        pes = video_pes(unit)
        if index == 5 and len(pes) > 400:
            data = writer.packet(VIDEO, pes[:184], start=True) + writer.packet(VIDEO, pes[184:300])
            data += b"".join(writer.packet(VIDEO, pes[pos : pos + 184]) for pos in range(300, len(pes), 184))
        else:
            data = writer.pes(VIDEO, pes)
        found += demuxer.feed(data)
        late.append(len(found) < index + 1 + (index > 5))
    assert demuxer.stats.early_ends == 1
    assert late[:6] == [False] * 6
    assert late[10:30].count(True) >= 15  # waits for the next start
    assert not any(late[60:])
    assert b"".join(unit.data for unit in found) == b"".join(unit.data for unit in units)
    corrupt = [unit for unit in found if unit.corrupt]
    assert len(corrupt) == 1
    assert corrupt[0].pts == units[5].pts


def test_pcr_in_mid_pes_is_no_end():
    units, writer = pictures(), Writer()
    data = writer.tables(H264)
    pcr = b"\x10" + bytes(6)
    for unit in units:
        pes = video_pes(unit)
        data += writer.packet(VIDEO, pes[:184], start=True) + writer.packet(VIDEO, pes[184 : 184 + 176], fields=pcr)
        data += b"".join(writer.packet(VIDEO, pes[pos : pos + 184]) for pos in range(360, len(pes), 184))
        # a packet with the clock alone: its counter stands still
        only = struct.pack(">I", 0x4700_0020 | VIDEO << 8 | (writer.counters[VIDEO] - 1) % 16) + b"\xb7\x10"
        data += only + bytes(6) + b"\xff" * 176
    demuxer = Demuxer()
    assert contents(demuxer.feed(data) + demuxer.flush()) == contents(units)
    assert demuxer.stats.early_ends == demuxer.stats.continuity_errors == 0


def test_wrong_length_field():
    """Some muxers write a video's size modulo 65536: one unit comes in two parts, then none does."""
    units, writer = pictures(size=(480, 272), seconds=0.4, qp="10", g="1"), Writer()
    assert all(len(unit.data) > 70_000 for unit in units)
    data = writer.tables(H264)
    for unit in units:
        pes = bytearray(video_pes(unit))
        pes[4:6] = ((len(pes) - 6) % 65_536).to_bytes(2, "big")
        data += writer.pes(VIDEO, bytes(pes))
    demuxer = Demuxer()
    found = demuxer.feed(data) + demuxer.flush()
    assert demuxer.stats.early_ends == 1
    assert contents(found)[2:] == contents(units)[1:]


def test_packets_that_carry_next_to_nothing():
    """Adaptation fields that leave no room, or 1 byte of it: the PES' length is read from several packets."""
    writer, (picture, *_) = Writer(), pictures()
    pes = video_pes(picture, length=True)
    pcr = b"\x10" + bytes(6)
    data = writer.tables(H264) + writer.packet(VIDEO, b"", start=True, fields=pcr)
    data += writer.packet(VIDEO, b"", start=True, fields=pcr) + writer.packet(VIDEO, b"", fields=pcr)
    data += b"".join(writer.packet(VIDEO, pes[pos : pos + 1], fields=pcr) for pos in range(8))
    data += b"".join(writer.packet(VIDEO, pes[pos : pos + 184]) for pos in range(8, len(pes), 184))
    assert contents(Demuxer().feed(data)) == contents([picture])


def test_duplicate_packets_are_dropped():
    data = make_ts()
    twice = b"".join(data[pos : pos + 188] * 2 for pos in range(0, len(data), 188))
    demuxer = Demuxer()
    found = demuxer.feed(twice) + demuxer.flush()
    assert by_pid(found) == by_pid(demux(data))
    assert demuxer.stats.duplicates > 500
    assert not any(unit.corrupt or unit.discontinuity for unit in found)


def test_scrambled_and_flagged_packets_are_passed_over():
    data = bytearray(make_ts())
    whole = len(demux(bytes(data)))
    scrambled = bytearray(data)
    for pos in range(3, len(data), 188):
        if scrambled[pos - 2] & 0x1F == 1 and scrambled[pos - 1] == 1:  # the audio's PID
            scrambled[pos] |= 0x80
    demuxer = Demuxer()
    units = demuxer.feed(bytes(scrambled)) + demuxer.flush()
    assert {unit.stream.kind for unit in units} == {"video"}
    assert demuxer.stats.scrambled > 0
    data[188 * 50 + 1] |= 0x80
    demuxer = Demuxer()
    units = demuxer.feed(bytes(data)) + demuxer.flush()
    assert demuxer.stats.transport_errors == demuxer.stats.continuity_errors == 1
    assert len(units) == whole
    assert sum(unit.corrupt for unit in units) == 1


@pytest.mark.parametrize("stride", [192, 204])
def test_longer_packets(stride):
    data = make_ts()
    before, after = (b"\x12\x34\x56\x78", b"") if stride == 192 else (b"", bytes(16))
    longer = b"".join(before + data[pos : pos + 188] + after for pos in range(0, len(data), 188))
    assert by_pid(demux(longer)) == by_pid(demux(data))
    assert by_pid(demux(longer, 100)) == by_pid(demux(data))


def test_first_programme_of_several():
    """Programme 7 comes first; programme 9, on other PIDs, is left alone."""
    units, writer = pictures(), Writer()
    body = b"\x00\x07" + (0xE000 | 0x30).to_bytes(2, "big") + b"\x00\x09" + (0xE000 | 0x40).to_bytes(2, "big")
    head = b"\x00\xb0" + bytes([9 + len(body)]) + b"\x00\x01\xc1\x00\x00"
    pat = head + body + crc32(head + body).to_bytes(4, "big")

    def pmt(number: int, pid: int) -> bytes:
        section = bytearray(build_pmt(pid, [(0x1B, pid, b"")])[:-4])
        section[3:5] = number.to_bytes(2, "big")
        return bytes(section) + crc32(bytes(section)).to_bytes(4, "big")

    data = writer.section(0, pat) + writer.section(0x30, pmt(7, 0x31)) + writer.section(0x40, pmt(9, 0x41))
    for unit in units:
        pes = video_pes(unit)
        data += writer.pes(0x41, pes) + writer.pes(0x31, pes)
    demuxer = Demuxer()
    found = demuxer.feed(data) + demuxer.flush()
    assert [info.pid for info in demuxer.streams] == [0x31]
    assert contents(found) == contents(units)


def test_streams_change_with_the_pmt():
    units, writer = pictures(), Writer()
    half = len(units) // 2
    data = writer.tables(H264) + b"".join(writer.pes(VIDEO, video_pes(unit)) for unit in units[:half])
    data += writer.tables([(0x1B, VIDEO + 8, b""), (0x0F, AUDIO, b"")])
    data += b"".join(writer.pes(VIDEO + 8, video_pes(unit)) for unit in units[half:])
    demuxer = Demuxer()
    found = demuxer.feed(data) + demuxer.flush()
    assert contents(found) == contents(units)
    assert [info.pid for info in demuxer.streams] == [VIDEO + 8, AUDIO]
    assert {unit.stream.pid for unit in found} == {VIDEO, VIDEO + 8}


def test_table_over_several_packets_and_a_broken_one():
    units, writer = pictures(), Writer()
    wide = [(0x1B, VIDEO, b"")] + [(0x06, 0x200 + index, b"\x0a\x04eng\x00") for index in range(40)]
    section = build_pmt(VIDEO, wide)
    assert len(section) > 2 * 184
    broken = bytearray(section)
    broken[30] ^= 1
    demuxer = Demuxer()
    demuxer.feed(writer.section(0, build_pat(PMT)) + writer.section(PMT, bytes(broken)))
    assert demuxer.streams == []
    assert demuxer.stats.crc_errors == 1
    demuxer.feed(writer.section(PMT, section))
    assert len(demuxer.streams) == 41
    data = b"".join(writer.pes(VIDEO, video_pes(unit)) for unit in units)
    assert contents(demuxer.feed(data) + demuxer.flush()) == contents(units)


def test_several_pictures_in_a_pes():
    units, writer = pictures(), Writer()
    data = writer.tables(H264)
    for first, second in zip(units[::2], units[1::2], strict=True):
        both = Unit(first.stream, first.pts, first.dts, first.data + second.data, True, False, False)
        data += writer.pes(VIDEO, video_pes(both))
    found = demux(data)
    assert [unit.data for unit in found] == [unit.data for unit in units]
    assert [unit.pts for unit in found[::2]] == [unit.pts for unit in units[::2]]
    assert all(unit.pts is None for unit in found[1::2])
    assert decoded(found) == len(units)


@pytest.mark.parametrize("stamps", [False, True])
def test_a_picture_over_several_pes(stamps):
    """One slice a PES: the first picture suffers, then pictures come whole."""
    units, writer = pictures(slices="3"), Writer()
    data = writer.tables(H264)
    for unit in units:
        cuts, pos = [], unit.data.find(b"\x00\x00\x01")
        while pos >= 0:
            if unit.data[pos + 3] & 0x1F in (1, 5):
                cuts.append(pos)
            pos = unit.data.find(b"\x00\x00\x01", pos + 3)
        assert len(cuts) == 3
        edges = [0, *cuts[1:], len(unit.data)]
        for start, end in itertools.pairwise(edges):
            part = Unit(unit.stream, unit.pts, unit.dts, unit.data[start:end], False, False, False)
            data += writer.pes(VIDEO, video_pes(part, stamps=stamps or start == 0))
    found = demux(data)
    whole = [unit for unit in found if not unit.corrupt]
    assert contents(whole)[1:] == contents(units)[1:]
    assert b"".join(unit.data for unit in found) == b"".join(unit.data for unit in units)
    assert decoded(found) >= len(units)


def test_aac_frames_over_pes_borders():
    source = demux(make_ts(video=None, audio="aac"))
    stream, writer = b"".join(unit.data for unit in source), Writer()
    starts, pos = {}, 0
    for unit in source:
        starts[pos] = unit.pts
        pos += len(unit.data)
    data, size = writer.tables([(0x0F, AUDIO, b"")]), 333
    for pos in range(0, len(stream), size):
        first = next((pts for start, pts in starts.items() if pos <= start < pos + size), None)
        part = stream[pos : pos + size]
        head = b"\x00\x00\x01\xc0" + (3 + len(part)).to_bytes(2, "big") + b"\x80\x00\x00"
        data += writer.pes(AUDIO, (head if first is None else build_header(0xC0, len(part), first, first)) + part)
    found = demux(data)
    assert [unit.data for unit in found] == [unit.data for unit in source]
    assert all(abs(ours.pts - theirs.pts) <= 1 for ours, theirs in zip(found, source, strict=True))
    assert not any(unit.corrupt for unit in found)


def test_opus_packets_in_one_pes():
    source = demux(make_ts(video=None))
    writer = Writer()
    info = b"\x05\x04Opus\x7f\x02\x80\x01"
    data = writer.tables([(0x06, AUDIO, info)])
    for pos in range(0, len(source) - 3, 4):
        group = source[pos : pos + 4]
        # start trim on the first, a control extension on the second, plain ones after
        heads = [b"\x7f\xf0%c\x00\x10", b"\x7f\xe4%c\x02ab", b"\x7f\xe0%c", b"\x7f\xe0%c"]
        body = b""
        for head, unit in zip(heads, group, strict=True):
            size = b"\xff" * (len(unit.data) // 255) + bytes([len(unit.data) % 255])
            body += head.replace(b"%c", size) + unit.data
        data += writer.pes(AUDIO, build_header(0xBD, len(body), group[0].pts, group[0].pts) + body)
    demuxer = Demuxer()
    found = demuxer.feed(data) + demuxer.flush()
    assert demuxer.streams[0].channels == 1
    assert [(unit.pts, unit.data) for unit in found] == [(unit.pts, unit.data) for unit in source[: len(found)]]
    assert len(found) > 80


def test_time_goes_on_over_the_wrap():
    units, writer = pictures(bf="2", preset="veryfast"), Writer()
    offset = (1 << 33) - 90_000 - units[0].dts
    data = writer.tables(H264)
    for unit in units:
        stamp = [(time + offset) % (1 << 33) for time in (unit.pts, unit.dts)]
        data += writer.pes(VIDEO, video_pes(Unit(unit.stream, *stamp, unit.data, False, False, False)))
    found = demux(data)
    assert [(unit.pts - offset, unit.dts - offset) for unit in found] == [(unit.pts, unit.dts) for unit in units]
    assert not any(unit.discontinuity for unit in found)


def test_jumps_of_the_clock_show():
    units, writer = pictures(seconds=3.0), Writer()
    data = writer.tables(H264)
    shift = (
        dict.fromkeys(range(30), 0) | dict.fromkeys(range(30, 60), 90_000 * 7) | dict.fromkeys(range(60, 90), -180_000)
    )
    for index, unit in enumerate(units):
        moved = Unit(unit.stream, unit.pts + shift[index], unit.dts + shift[index], unit.data, False, False, False)
        data += writer.pes(VIDEO, video_pes(moved))
    # slow streams are no jumps, once their pace is known
    found = demux(data)
    assert [index for index, unit in enumerate(found) if unit.discontinuity] == [30, 60]
    slow = writer.tables(H264) + b"".join(
        writer.pes(VIDEO, video_pes(Unit(unit.stream, index * 90_000, index * 90_000, unit.data, False, False, False)))
        for index, unit in enumerate(units[:20])
    )
    assert [index for index, unit in enumerate(demux(slow)) if unit.discontinuity] == [1]


def test_keyframes():
    """An IDR, a recovery point, and where there is no picture to look at, the random access indicator."""
    writer = Writer()
    slice_ = b"\x00\x00\x01\x41\x9a" + bytes(range(1, 40))
    recovery = b"\x00\x00\x01\x06\x05\x02ab\x06\x01\xc4\x80"
    bodies = [AUD + b"\x00\x00\x01\x65\x88" + bytes(range(1, 40)), AUD + slice_, AUD + recovery + slice_]
    data = writer.tables(H264)
    for index, body in enumerate(bodies):
        data += writer.pes(VIDEO, build_header(0xE0, len(body), index * 3000, index * 3000) + body)
    assert [unit.keyframe for unit in demux(data)] == [True, False, True]
    other = Writer()
    data = other.tables([(0x02, VIDEO, b"")])
    for index, flags in enumerate((b"\x40", b"\x00")):
        data += other.packet(VIDEO, build_header(0xE0, 20, index, index) + bytes(20), start=True, fields=flags)
    assert [unit.keyframe for unit in demux(data)] == [True, False]


def test_what_is_no_transport_stream():
    demuxer = Demuxer()
    assert demuxer.feed(b"\x00\x00\x00\x18ftypmp42" + bytes(50_000)) == []
    assert not demuxer.unrecognised
    demuxer.feed(bytes(60_000))
    assert demuxer.unrecognised
    assert demuxer.flush() == []
    # packets without any table
    demuxer = Demuxer()
    demuxer.feed(Writer().packet(VIDEO, bytes(184)) * 600)
    assert demuxer.unrecognised


def test_a_pes_does_not_grow_for_ever():
    writer = Writer()
    demuxer = Demuxer()
    demuxer.feed(
        writer.tables(H264) + writer.packet(VIDEO, b"\x00\x00\x01\xe0\x00\x00\x80\x00\x00".ljust(184, b"a"), start=True)
    )
    block = b"".join(writer.packet(VIDEO, b"a" * 184) for _ in range(16 * 200))
    units = [unit for _ in range(30) for unit in demuxer.feed(block)]
    assert units == []
    assert demuxer.stats.dropped_pes == 1
    picture = pictures()[0]
    (unit,) = demuxer.feed(writer.pes(VIDEO, video_pes(picture)))
    assert unit.data == picture.data
    assert unit.discontinuity
