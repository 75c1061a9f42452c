"""PES packets of one stream to access units: time stamps unwrapped, pictures and audio frames cut apart.

- H.264, HEVC: usually one unit a PES. A PES with several pictures gives several units, all but the first without
  time stamps. A PES that goes on with the picture that an earlier one began, with no time stamp or the same, comes as a
  unit of its own, marked corrupt, once; from then on the stream's pictures are put together, one PES later than
  otherwise.
- AAC in ADTS, Opus: a unit for each frame or packet, with its own time stamp.
- All others: one unit a PES.
"""

from __future__ import annotations

from dataclasses import replace

from byoc_nb.media.mpegts import adts, nal, opus
from byoc_nb.media.mpegts.assemble import Pes
from byoc_nb.media.mpegts.pes import MAX_PES, Unwrapper, parse_header
from byoc_nb.media.mpegts.units import CLOCK, Stats, StreamInfo, Unit

_JUMP = CLOCK // 2  # a step this long is a jump of the clock …
_JUMP_STEPS = 4  # … unless the stream's steps are long anyway (1 frame a second)


class AccessUnits:
    """Makes units of one stream's PES packets."""

    def __init__(self, info: StreamInfo, stats: Stats, unwrap: Unwrapper) -> None:
        self._info = info
        self._stats = stats
        self._unwrap = unwrap
        self._adts = adts.AdtsSplitter()
        self._previous: int | None = None  # DTS of the last PES with one
        self._step = 0
        self._pts: int | None = None  # of the last PES
        self._dts: int | None = None
        self._lost = False  # a PES was thrown away
        self._spread = False  # pictures run over several PES packets on this stream
        self._held: Unit | None = None  # of a stream that does: the picture so far

    def push(self, pes: Pes) -> list[Unit]:
        """The units that are complete with this PES."""
        payload, jumped, same_time = pes.data, False, pes.tail
        if not pes.tail:
            header = parse_header(pes.data)
            if header is None:
                self._stats.dropped_pes += 1
                self._lost = True
                return []
            payload = pes.data[header.start :]
            before = self._pts
            jumped = self._clock(header.pts, header.dts)
            same_time = self._pts is None or self._pts == before
        discontinuity = pes.discontinuity or jumped or self._lost
        self._lost = False
        if not payload:
            self._lost = discontinuity or pes.corrupt
            return []
        codec = self._info.codec
        if codec in nal.NAL_CODECS:
            units = self._pictures(payload, pes, discontinuity, same_time)
        elif codec == "aac":
            units = self._aac(payload, pes, discontinuity)
        elif codec == "opus":
            units = self._opus(payload, pes, discontinuity)
        else:
            key = self._info.kind != "video" or pes.random_access
            units = [Unit(self._info, self._pts, self._dts, payload, key, discontinuity, pes.corrupt)]
        self._stats.units += len(units)
        return units

    def flush(self) -> list[Unit]:
        """End of data: the picture held back, if any; an audio frame begun is dropped."""
        self._lost = self._adts.reset()
        units = self._release()
        self._stats.units += len(units)
        return units

    def _release(self) -> list[Unit]:
        held, self._held = self._held, None
        return [] if held is None else [held]

    def _clock(self, pts: int | None, dts: int | None) -> bool:
        """Take a PES' time stamps; whether they are a jump."""
        if pts is None or dts is None:
            self._pts = self._dts = None
            return False
        self._dts = self._unwrap(dts)
        self._pts = self._unwrap.near(pts, self._dts)
        previous, self._previous = self._previous, self._dts
        if previous is None:
            return False
        delta, limit = self._dts - previous, max(_JUMP, _JUMP_STEPS * self._step)
        self._step = max(delta, 0)
        return delta > limit or delta < -_JUMP

    def _pictures(self, payload: bytes, pes: Pes, discontinuity: bool, same_time: bool) -> list[Unit]:
        found = nal.scan(payload, self._info.codec)
        if pes.tail or (same_time and found.continues):
            if self._held is not None and len(self._held.data) + len(payload) <= MAX_PES:
                corrupt = self._held.corrupt or pes.corrupt or discontinuity
                self._held = replace(self._held, data=self._held.data + payload, corrupt=corrupt)
                return []
            self._spread |= not pes.tail
            return [*self._release(), Unit(self._info, self._pts, self._dts, payload, False, discontinuity, True)]
        units = self._release()
        for index, part in enumerate(found.units):
            first = index == 0
            data = payload if len(found.units) == 1 else payload[part.start : part.end]
            key = part.key or (not part.picture and pes.random_access)
            pts, dts = (self._pts, self._dts) if first else (None, None)
            units.append(Unit(self._info, pts, dts, data, key, discontinuity and first, pes.corrupt))
        if self._spread:
            self._held = units.pop()
        return units

    def _aac(self, payload: bytes, pes: Pes, discontinuity: bool) -> list[Unit]:
        if discontinuity:
            self._adts.reset()
        units = []
        for frame in self._adts.push(payload, None if pes.tail else self._pts, pes.corrupt):
            units.append(Unit(self._info, frame.pts, frame.pts, frame.data, True, discontinuity, frame.corrupt))
            discontinuity = False
        self._lost |= discontinuity
        return units

    def _opus(self, payload: bytes, pes: Pes, discontinuity: bool) -> list[Unit]:
        units, pts = [], self._pts
        for packet in opus.split(payload):
            corrupt = pes.corrupt or not packet.whole
            units.append(Unit(self._info, pts, pts, packet.data, True, discontinuity, corrupt))
            discontinuity = False
            if pts is not None:
                pts += packet.ticks
        self._lost |= discontinuity
        return units
