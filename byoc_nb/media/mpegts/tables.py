"""PSI: the programme association table (PAT) and the programme map table (PMT), read and written.

ISO/IEC 13818-1 §2.4.4. Parsers return None for anything malformed and never raise.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from byoc_nb.media.mpegts.units import StreamInfo

PAT_PID = 0
MAX_SECTION = 4096  # section_length has 12 bits, plus the 3 bytes before it
_PAT_TABLE = 0x00
_PMT_TABLE = 0x02
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

# stream_type -> (libavcodec's name, kind); §2.4.4.9 and the registrations that libavformat knows
_STREAM_TYPES = {
    0x01: ("mpeg1video", "video"),
    0x02: ("mpeg2video", "video"),
    0x03: ("mp3", "audio"),
    0x04: ("mp3", "audio"),
    0x0F: ("aac", "audio"),
    0x10: ("mpeg4", "video"),
    0x11: ("aac_latm", "audio"),
    0x15: ("timed_id3", "data"),
    0x1B: ("h264", "video"),
    0x20: ("h264", "video"),
    0x21: ("jpeg2000", "video"),
    0x24: ("hevc", "video"),
    0x33: ("vvc", "video"),
    0x42: ("cavs", "video"),
    0x81: ("ac3", "audio"),
    0x87: ("eac3", "audio"),
    0xD1: ("dirac", "video"),
    0xEA: ("vc1", "video"),
}
# registration_descriptor's format_identifier, for the private stream types
_REGISTRATIONS = {
    b"Opus": ("opus", "audio"),
    b"AC-3": ("ac3", "audio"),
    b"EAC3": ("eac3", "audio"),
    b"HEVC": ("hevc", "video"),
    b"VVC ": ("vvc", "video"),
    b"AV01": ("av1", "video"),
    b"VC-1": ("vc1", "video"),
    b"BSSD": ("s302m", "audio"),
    b"KLVA": ("klv", "data"),
    b"ID3 ": ("timed_id3", "data"),
}
# DVB descriptors that name a codec by themselves
_DVB_DESCRIPTORS = {
    0x56: ("dvb_teletext", "data"),
    0x59: ("dvb_subtitle", "data"),
    0x6A: ("ac3", "audio"),
    0x7A: ("eac3", "audio"),
    0x7B: ("dts", "audio"),
    0x7C: ("aac", "audio"),
}
_REGISTRATION = 0x05
_EXTENSION = 0x7F
_EXTENSION_OPUS = 0x80


def crc32(data: bytes) -> int:
    """CRC-32/MPEG-2, which is zlib's CRC with every byte and the result turned round; 0 over a sound section."""
    reflected = zlib.crc32(data.translate(_REVERSED)) ^ 0xFFFFFFFF
    return int.from_bytes(reflected.to_bytes(4, "little").translate(_REVERSED), "big")


class SectionAssembler:
    """Puts the sections of one PID together from packet payloads."""

    def __init__(self) -> None:
        self._data = b""
        self._open = False

    def reset(self) -> None:
        self._data, self._open = b"", False

    def push(self, payload: bytes, start: bool) -> list[bytes]:
        """Take one packet's payload (`start`: it begins with a pointer field); return the sections now complete."""
        done: list[bytes] = []
        if start:
            if not payload:
                self.reset()
                return done
            pointer = payload[0] + 1
            if self._open:
                self._data += payload[1:pointer]
                self._take(done)
            self._data, self._open = payload[pointer:], True
        elif self._open:
            self._data += payload
        else:
            return done
        self._take(done)
        return done

    def _take(self, done: list[bytes]) -> None:
        data, pos = self._data, 0
        while pos < len(data) and data[pos] != 0xFF:  # 0xFF: stuffing up to the packet's end
            if pos + 3 > len(data):
                break
            size = 3 + ((data[pos + 1] << 8 | data[pos + 2]) & 0x0FFF)
            if size > MAX_SECTION:
                self.reset()
                return
            if pos + size > len(data):
                break
            done.append(data[pos : pos + size])
            pos += size
        self._data = data[pos:]
        self._open = bool(self._data) and self._data[0] != 0xFF


def parse_pat(section: bytes) -> dict[int, int] | None:
    """PMT PID by programme number, in the section's order; None unless it is a current, well-formed PAT section."""
    if len(section) < 12 or section[0] != _PAT_TABLE or not section[1] & 0x80 or not section[5] & 1:
        return None
    programmes = {}
    for pos in range(8, len(section) - 7, 4):
        number = section[pos] << 8 | section[pos + 1]
        if number:  # 0 is the network PID
            programmes[number] = (section[pos + 2] << 8 | section[pos + 3]) & 0x1FFF
    return programmes


def parse_pmt(section: bytes) -> tuple[int, list[StreamInfo]] | None:
    """Programme number and streams; None unless it is a current, well-formed PMT section."""
    if len(section) < 16 or section[0] != _PMT_TABLE or not section[1] & 0x80 or not section[5] & 1:
        return None
    end = len(section) - 4
    pos = 12 + ((section[10] << 8 | section[11]) & 0x0FFF)
    streams: list[StreamInfo] = []
    while pos + 5 <= end:
        pid = (section[pos + 1] << 8 | section[pos + 2]) & 0x1FFF
        size = (section[pos + 3] << 8 | section[pos + 4]) & 0x0FFF
        if pos + 5 + size > end:
            return None
        streams.append(_stream(pid, section[pos], section[pos + 5 : pos + 5 + size]))
        pos += 5 + size
    return section[3] << 8 | section[4], streams


def _stream(pid: int, stream_type: int, descriptors: bytes) -> StreamInfo:
    codec, kind = _STREAM_TYPES.get(stream_type, ("", "data"))
    channels = 0
    pos = 0
    while pos + 2 <= len(descriptors):
        tag, size = descriptors[pos], descriptors[pos + 1]
        body = descriptors[pos + 2 : pos + 2 + size]
        pos += 2 + size
        if tag == _REGISTRATION and not codec:
            codec, kind = _REGISTRATIONS.get(body[:4], (codec, kind))
        elif tag in _DVB_DESCRIPTORS and not codec:
            codec, kind = _DVB_DESCRIPTORS[tag]
        elif tag == _EXTENSION and len(body) >= 2 and body[0] == _EXTENSION_OPUS:
            channels = _opus_channels(body)
    return StreamInfo(pid, codec, kind, channels if codec == "opus" else 0)


def _opus_channels(body: bytes) -> int:
    """By channel_config_code (Opus in TS §3.2.2): 0 dual mono, 1-8 that many, 0x81 explicit, 0x82-0x88 uncoupled."""
    code = body[1]
    if code == 0x81:
        return body[2] if len(body) > 2 else 0
    return code & 0x0F or 2


def build_pat(pmt_pid: int) -> bytes:
    """A PAT section of one programme, number 1."""
    return _section(_PAT_TABLE, 1, b"\x00\x01" + (0xE000 | pmt_pid).to_bytes(2, "big"))


def build_pmt(pcr_pid: int, streams: Sequence[tuple[int, int, bytes]]) -> bytes:
    """A PMT section of programme 1; each stream is (stream_type, PID, descriptors)."""
    loop = b"".join(
        bytes([stream_type]) + (0xE000 | pid).to_bytes(2, "big") + (0xF000 | len(info)).to_bytes(2, "big") + info
        for stream_type, pid, info in streams
    )
    return _section(_PMT_TABLE, 1, (0xE000 | pcr_pid).to_bytes(2, "big") + b"\xf0\x00" + loop)


def opus_descriptors(channels: int) -> bytes:
    """What names a private stream Opus: a registration descriptor and the channel configuration (Opus in TS §3.2)."""
    return bytes([_REGISTRATION, 4]) + b"Opus" + bytes([_EXTENSION, 2, _EXTENSION_OPUS, channels])


def _section(table: int, extension: int, body: bytes) -> bytes:
    size = 5 + len(body) + 4
    # version 0, current, section 0 of 0
    head = bytes([table]) + (0xB000 | size).to_bytes(2, "big") + extension.to_bytes(2, "big") + b"\xc1\x00\x00"
    return head + body + crc32(head + body).to_bytes(4, "big")
