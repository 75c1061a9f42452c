"""MPEG-TS bytes to access units, each out with the TS packet that completes it. Sans-IO; never raises on input.

One programme is read: the first one whose PMT comes. Damage is resynchronised and marked on the units; a PMT that
changes changes the streams. How units follow from packets is told in `assemble` (PES packets) and `access` (units).
"""

from __future__ import annotations

from byoc_nb.media.mpegts import tables
from byoc_nb.media.mpegts.access import AccessUnits
from byoc_nb.media.mpegts.assemble import Pes, PesAssembler
from byoc_nb.media.mpegts.packets import PacketGrid, Packets
from byoc_nb.media.mpegts.pes import Unwrapper
from byoc_nb.media.mpegts.units import Stats, StreamInfo, Unit

UNRECOGNISED_BYTES = 100_000  # 0.27 s of a 3 Mb/s stream; muxers repeat PAT and PMT at least every 0.1 to 0.5 s


class _Tables:
    """The sections of one PID that carries tables."""

    __slots__ = ("_cc", "_sections", "pid")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._sections = tables.SectionAssembler()
        self._cc: int | None = None

    def reset(self) -> None:
        self._sections.reset()
        self._cc = None

    def packet(self, header: int, payload: bytes) -> tuple[list[bytes], bool]:
        """The sections now complete, and whether the continuity counter jumped."""
        if header & 0x80_00C0 or not header & 0x10:
            return [], False
        if header & 0x20:
            payload = payload[payload[0] + 1 :]
        cc = header & 0x0F
        if cc == self._cc and not header & 0x40_0000:
            return [], False  # a repeated packet
        gap = self._cc is not None and cc != (self._cc + 1) & 0x0F
        if gap:
            self._sections.reset()
        self._cc = cc
        return self._sections.push(payload, bool(header & 0x40_0000)), gap


class _Track:
    """One elementary stream."""

    __slots__ = ("access", "assembler", "info")

    def __init__(self, info: StreamInfo, stats: Stats, unwrap: Unwrapper) -> None:
        self.info = info
        self.assembler = PesAssembler(info, stats)
        self.access = AccessUnits(info, stats, unwrap)


class Demuxer:
    """Feed it bytes in any chunking; it returns the units that these bytes complete, in that order.

    `stats` counts what was met. Segments may follow one another without `flush`, continuity counters that start again
    at a segment's PAT and PMT are no loss.
    """

    def __init__(self) -> None:
        self.stats = Stats()
        self._grid = PacketGrid(self.stats)
        self._unwrap = Unwrapper()
        self._out: list[Unit] = []
        self._tables: dict[int, _Tables] = {tables.PAT_PID: _Tables(tables.PAT_PID)}
        self._tracks: dict[int, _Track] = {}
        self._assemblers: dict[int, PesAssembler] = {}
        self._pat: dict[int, bytes] = {}  # sections by number
        self._programmes: dict[int, int] = {}  # PMT PID by programme number
        self._programme: int | None = None
        self._pmt = b""
        self._pat_jumped = False
        self._resyncs = 0  # at the last PAT

    @property
    def streams(self) -> list[StreamInfo]:
        """The programme's streams by its latest PMT, in its order; empty before the first."""
        return [track.info for track in self._tracks.values()]

    @property
    def unrecognised(self) -> bool:
        """Enough bytes came, and no PMT: this is no MPEG-TS, or one that is better left to libav."""
        return not self._pmt and self.stats.bytes >= UNRECOGNISED_BYTES

    def feed(self, data: bytes) -> list[Unit]:
        """Take the next bytes of the stream."""
        self.stats.bytes += len(data)
        for run in self._grid.push(data):
            self._run(run)
        return self._taken()

    def flush(self) -> list[Unit]:
        """End of the stream, or of a segment whose successor may come from elsewhere: everything begun comes out.

        Afterwards the next bytes are expected to begin with a packet; PMT, streams and time line stay.
        """
        run, rest = self._grid.finish()
        if run is not None:
            self._run(run)
        cut = (rest[1] << 8 | rest[2]) & 0x1FFF if len(rest) >= 3 else None
        for pid, track in self._tracks.items():
            self._deliver(track, track.assembler.close(truncated=bool(rest) and cut in (None, pid)))
            self._out += track.access.flush()
        for table in self._tables.values():
            table.reset()
        self._pat_jumped = False
        return self._taken()

    def _taken(self) -> list[Unit]:
        out, self._out = self._out, []
        return out

    def _run(self, packets: Packets) -> None:
        assemblers, tables_ = self._assemblers, self._tables
        for header, payload in packets:
            pid = header >> 8 & 0x1FFF
            assembler = assemblers.get(pid)
            if assembler is None:
                if pid in tables_:
                    self._table_packet(tables_[pid], header, payload)
            elif header == assembler.expect:
                assembler.chunks.append(payload)
                assembler.expect = header - 15 if header & 15 == 15 else header + 1
                assembler.size += 184
                if assembler.size >= assembler.limit and (done := assembler.reached()):
                    self._deliver(self._tracks[pid], done)
            elif done := assembler.packet(header, payload):
                self._deliver(self._tracks[pid], done)

    def _deliver(self, track: _Track, packets: list[Pes]) -> None:
        for pes in packets:
            self._out += track.access.push(pes)

    def _table_packet(self, table: _Tables, header: int, payload: bytes) -> None:
        sections, jumped = table.packet(header, payload)
        if table.pid == tables.PAT_PID:
            jumped = jumped and self.stats.resyncs == self._resyncs  # else damage explains it
            self._resyncs = self.stats.resyncs
            self._pat_jumped = jumped if sections else self._pat_jumped or jumped
        elif jumped and self._pat_jumped:  # PAT and PMT both: another muxer's output
            self._pat_jumped = False
            for assembler in self._assemblers.values():
                assembler.restart()
        for section in sections:
            if table.pid == tables.PAT_PID:
                self._pat_section(section)
            elif section != self._pmt:
                self._pmt_section(table.pid, section)

    def _pat_section(self, section: bytes) -> None:
        if len(section) < 12 or self._pat.get(section[6]) == section:
            return
        if tables.crc32(section):
            self.stats.crc_errors += 1
            return
        if tables.parse_pat(section) is None:
            return
        self._pat = {number: old for number, old in self._pat.items() if number <= section[7]}
        self._pat[section[6]] = section
        self._programmes = {}
        for _, known in sorted(self._pat.items()):
            self._programmes |= tables.parse_pat(known) or {}
        if self._programme not in self._programmes:
            self._programme = None  # its streams go on until another programme's PMT comes
        tables_ = {pid: self._tables.get(pid) or _Tables(pid) for pid in (tables.PAT_PID, *self._programmes.values())}
        self._tables.clear()  # in place: the packet loop has hold of it
        self._tables.update(tables_)

    def _pmt_section(self, pid: int, section: bytes) -> None:
        if tables.crc32(section):
            self.stats.crc_errors += 1
            return
        parsed = tables.parse_pmt(section)
        if parsed is None or self._programmes.get(parsed[0]) != pid:
            return
        number, streams = parsed
        if self._programme is None:
            self._programme = number
        if number != self._programme:
            return
        self._pmt = section
        wanted = {info.pid: info for info in streams if info.pid not in self._tables}
        for old, track in self._tracks.items():
            if wanted.get(old) != track.info:
                self._deliver(track, track.assembler.close(truncated=False))
                self._out += track.access.flush()
        kept = {pid: track for pid, track in self._tracks.items() if wanted.get(pid) == track.info}
        self._tracks = {pid: kept.get(pid) or _Track(info, self.stats, self._unwrap) for pid, info in wanted.items()}
        self._assemblers.clear()  # in place too
        self._assemblers.update({pid: track.assembler for pid, track in self._tracks.items()})
