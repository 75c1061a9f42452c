"""Access units to MPEG-TS, each one's packets returned at once. Sans-IO; nothing is interleaved or held back.

Readers with our rule (`assemble`) get a unit with its last packet: the PES length is there wherever 16 bits hold it,
and where they don't, the last packet is always stuffed.
"""

from __future__ import annotations

import struct

from byoc_nb.errors import ByocError
from byoc_nb.media.mpegts import adts, nal, opus, tables
from byoc_nb.media.mpegts.packets import PACKET
from byoc_nb.media.mpegts.pes import WRAP, build_header
from byoc_nb.media.mpegts.units import CLOCK

PMT_PID, VIDEO_PID, AUDIO_PID = 0x1000, 0x100, 0x101  # libavformat's
PCR_LEAD = CLOCK * 3 // 10  # the clock is this far behind a unit's DTS: an IDR of 110 kB arrives in it at 3 Mb/s
PCR_EVERY = CLOCK * 4 // 100  # with units at most 60 ms apart this keeps to the standard's 100 ms (§2.7.2)
TABLES_EVERY = CLOCK // 2  # for readers who join inside a segment
_PAYLOAD = 184
_PRIVATE_STREAM_1, _AUDIO_STREAM, _VIDEO_STREAM = 0xBD, 0xC0, 0xE0
_VIDEO_TYPES = {"h264": 0x1B, "hevc": 0x24}
_AUDIO_TYPES = {"opus": 0x06, "aac": 0x0F}
# adaptation fields that fill up a packet with room for n payload bytes, by 184 - n
_STUFFING = (b"", b"\x00", *(bytes([size - 1, 0]) + b"\xff" * (size - 2) for size in range(2, _PAYLOAD + 1)))
_STUFFED, _START = 0x20, 0x40_0000  # bits of the packet header


class MuxError(ByocError, ValueError):
    """The muxer was given something that it cannot put into a transport stream."""


class _Counter:
    """Packet headers of one PID with a continuity counter that goes on."""

    __slots__ = ("_plain", "cc", "pid")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.cc = 0
        self._plain = [struct.pack(">I", 0x4700_0010 | pid << 8 | cc) for cc in range(16)]

    def header(self, bits: int) -> bytes:
        """The next packet's header, with payload and `bits`."""
        cc, self.cc = self.cc, (self.cc + 1) & 15
        return struct.pack(">I", 0x4700_0010 | self.pid << 8 | bits | cc)

    def section(self, section: bytes) -> bytes:
        """One packet that holds a whole section."""
        return (self.header(_START) + b"\x00" + section).ljust(PACKET, b"\xff")

    def pes(self, data: bytes, fields: bytes) -> bytes:
        """A PES in packets; `fields` is the first one's adaptation field without its length byte, or b""."""
        size = len(data)
        if fields:
            room = _PAYLOAD - 1 - len(fields)
            fill = max(0, room - size)
            length = bytes([len(fields) + fill])
            parts = [self.header(_START | _STUFFED), length, fields, b"\xff" * fill, data[:room]]
        else:
            room = _PAYLOAD
            fill = max(0, room - size)
            parts = [self.header(_START | (_STUFFED if fill else 0)), _STUFFING[fill], data[:room]]
        whole = (size - room) // _PAYLOAD if size > room else 0
        plain, cc, pos = self._plain, self.cc, room
        for _ in range(whole):
            parts += (plain[cc], data[pos : pos + _PAYLOAD])
            pos += _PAYLOAD
            cc = (cc + 1) & 15
        self.cc = cc
        if pos < size:
            parts += (self.header(_STUFFED), _STUFFING[_PAYLOAD - size + pos], data[pos:])
        return b"".join(parts)


class Muxer:
    """One programme: `video` is "h264", "hevc" or None, `audio` "opus", "aac" or None.

    Times are 90 kHz ints of any size or sign, and are wrapped to 33 bits. `sample_rate` and `audio_channels` are
    needed for Opus' channel configuration, and for AAC that comes without ADTS headers.
    """

    def __init__(
        self, *, video: str | None, audio: str | None, audio_channels: int = 2, sample_rate: int = 48_000
    ) -> None:
        if video is None and audio is None:
            raise MuxError("a transport stream needs video or audio", hint='give video="h264", audio="opus" or both')
        if video is not None and video not in _VIDEO_TYPES:
            raise MuxError(f"no MPEG-TS framing for video codec {video!r}", hint="use h264 or hevc")
        if audio is not None and audio not in _AUDIO_TYPES:
            raise MuxError(f"no MPEG-TS framing for audio codec {audio!r}", hint="use opus or aac")
        if not 1 <= audio_channels <= 8:
            raise MuxError(f"{audio_channels} audio channels", hint="use 1 to 8")
        if audio == "aac" and audio_channels == 7:
            raise MuxError("ADTS has no configuration of 7 channels", hint="use 1 to 6, or 8")
        if audio == "aac" and sample_rate not in adts.SAMPLE_RATES:
            raise MuxError(f"ADTS has no sample rate {sample_rate}", hint="resample to 48000")
        self._video_codec, self._audio_codec = video, audio
        self._channels, self._rate = audio_channels, sample_rate
        self._pat_counter, self._pmt_counter = _Counter(tables.PAT_PID), _Counter(PMT_PID)
        self._video_counter, self._audio_counter = _Counter(VIDEO_PID), _Counter(AUDIO_PID)
        streams = []
        if video is not None:
            streams.append((_VIDEO_TYPES[video], VIDEO_PID, b""))
        if audio is not None:
            info = tables.opus_descriptors(audio_channels) if audio == "opus" else b""
            streams.append((_AUDIO_TYPES[audio], AUDIO_PID, info))
        self._pat = tables.build_pat(PMT_PID)
        self._pmt = tables.build_pmt(AUDIO_PID if video is None else VIDEO_PID, streams)
        self._tables_fresh = False  # written, and nothing after them
        self._tables_at: int | None = None  # DTS of the first unit after the tables
        self._pcr_at: int | None = None  # DTS of the unit with the last PCR
        self._pcr_due = True

    def start_segment(self) -> bytes:
        """PAT and PMT; call it where a trickle segment starts, before its key frame. Counters and clock go on."""
        self._tables_fresh = self._pcr_due = True
        return self._pat_and_pmt()

    def video(self, data: bytes, pts: int, dts: int, keyframe: bool) -> bytes:
        """One coded picture in Annex B form; it gets a delimiter where it has none.

        The picture's parameter sets must be in `data` at key frames. Raises MuxError for data in another form.
        """
        if self._video_codec is None:
            raise MuxError("this stream has no video", hint='make it with Muxer(video="h264", …)')
        if not nal.is_annex_b(data):
            raise MuxError(
                "the picture is not in Annex B form, it has no start code",
                hint=f"pass it through the bitstream filter {self._video_codec}_mp4toannexb",
            )
        delimiter = nal.missing_delimiter(data, self._video_codec)
        size = len(delimiter) + len(data)
        fields = self._clock(dts, keyframe)
        header = _header(_VIDEO_STREAM, size, pts, dts, fields)
        return self._tables_if_due(dts) + self._video_counter.pes(b"".join((header, delimiter, data)), fields)

    def audio(self, data: bytes, pts: int) -> bytes:
        """One Opus packet, or one AAC frame with or without its ADTS header."""
        if self._audio_codec is None:
            raise MuxError("this stream has no audio", hint='make it with Muxer(audio="opus", …)')
        if not data:
            return b""
        if self._audio_codec == "opus":
            stream_id, head = _PRIVATE_STREAM_1, opus.control_header(len(data))
        else:
            stream_id, head = _AUDIO_STREAM, self._adts(data)
        alone = self._video_codec is None
        fields = self._clock(pts, alone) if alone else b""
        header = _header(stream_id, len(head) + len(data), pts, pts, fields)
        return self._tables_if_due(pts) + self._audio_counter.pes(b"".join((header, head, data)), fields)

    def _adts(self, data: bytes) -> bytes:
        known = adts.parse_header(data)
        if known is not None and known.size <= len(data):
            return b""
        if len(data) + adts.HEADER_SIZE > adts.MAX_FRAME:
            raise MuxError(f"an AAC frame of {len(data)} bytes", hint=f"ADTS holds {adts.MAX_FRAME} with its header")
        return adts.build_header(len(data), self._rate, self._channels)

    def _clock(self, dts: int, random_access: bool) -> bytes:
        """The adaptation field's flags and PCR for a unit of the PID that carries the clock; b"" for none."""
        since = None if self._pcr_at is None else dts - self._pcr_at
        jumped = since is not None and not -PCR_EVERY <= since <= CLOCK * 10
        random_bit = 0x40 if random_access else 0
        if not (self._pcr_due or jumped or since is None or since >= PCR_EVERY) or (
            since is not None and -PCR_EVERY <= since <= 0  # the clock must not stand still or go back
        ):
            return bytes([random_bit]) if random_bit else b""
        self._pcr_at, self._pcr_due = dts, False
        base = (dts - PCR_LEAD) % WRAP
        pcr = (base << 15 | 0x7E00).to_bytes(6, "big")  # 33 bits base, 6 reserved, 9 extension
        return bytes([(0x80 if jumped else 0) | random_bit | 0x10]) + pcr

    def _tables_if_due(self, now: int) -> bytes:
        if self._tables_fresh:
            self._tables_fresh, self._tables_at = False, now
            return b""
        if self._tables_at is not None and abs(now - self._tables_at) < TABLES_EVERY:
            return b""
        self._tables_at = now
        return self._pat_and_pmt()

    def _pat_and_pmt(self) -> bytes:
        return self._pat_counter.section(self._pat) + self._pmt_counter.section(self._pmt)


def _header(stream_id: int, size: int, pts: int, dts: int, fields: bytes) -> bytes:
    """The header of a PES packet that begins behind an adaptation field of `fields`."""
    header = build_header(stream_id, size, pts % WRAP, dts % WRAP)
    first = _PAYLOAD - (1 + len(fields) if fields else 0)
    if header[4:6] == b"\x00\x00" and (len(header) + size - first) % _PAYLOAD == 0:
        # without a length the last packet's stuffing shows the end, so there must be some
        header = build_header(stream_id, size, pts % WRAP, dts % WRAP, stuffing=1)
    return header
