"""AAC's ADTS framing: headers read and written, frames cut out of PES payloads (ISO/IEC 14496-3 §1.A.2.2)."""

from __future__ import annotations

from typing import NamedTuple

from byoc_nb.media.mpegts.units import CLOCK

SAMPLE_RATES = (96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350)
FRAME_SAMPLES = 1024
HEADER_SIZE = 7
MAX_FRAME = 0x1FFF  # bytes, header included: frame_length has 13 bits


class AdtsHeader(NamedTuple):
    size: int  # bytes, header included
    rate: int
    samples: int


class AdtsFrame(NamedTuple):
    data: bytes
    pts: int | None
    corrupt: bool


def parse_header(data: bytes, pos: int = 0) -> AdtsHeader | None:
    """The header at `pos`, None where there is none (7 bytes are needed)."""
    if pos + HEADER_SIZE > len(data) or data[pos] != 0xFF or data[pos + 1] & 0xF6 != 0xF0:
        return None
    index = data[pos + 2] >> 2 & 0x0F
    size = (data[pos + 3] & 3) << 11 | data[pos + 4] << 3 | data[pos + 5] >> 5
    if index >= len(SAMPLE_RATES) or size < HEADER_SIZE:
        return None
    return AdtsHeader(size, SAMPLE_RATES[index], FRAME_SAMPLES * (1 + (data[pos + 6] & 3)))


def build_header(size: int, rate: int, channels: int) -> bytes:
    """AAC-LC, one raw data block of `size` bytes, no CRC."""
    index, total = SAMPLE_RATES.index(rate), size + HEADER_SIZE
    config = {8: 7}.get(channels, channels)
    return bytes(
        [
            0xFF,
            0xF1,
            1 << 6 | index << 2 | config >> 2,
            (config & 3) << 6 | total >> 11,
            total >> 3 & 0xFF,
            (total & 7) << 5 | 0x1F,
            0xFC,
        ]
    )


def _followed(data: bytes, pos: int) -> bool:
    """Whether a frame that ends at `pos` is followed by another, as far as there is data."""
    return pos + 2 > len(data) or (data[pos] == 0xFF and data[pos + 1] & 0xF6 == 0xF0)


class AdtsSplitter:
    """Cuts one stream's PES payloads into frames, and carries a frame that runs over a PES border.

    A PES' time stamp is that of the first frame that starts in it; later ones follow by their sample counts.
    """

    def __init__(self) -> None:
        self._carry = b""
        self._carry_corrupt = False
        self._base: int | None = None  # time stamp that `_samples` counts from
        self._samples = 0

    def reset(self) -> bool:
        """Forget a frame begun; True if there was one."""
        had = bool(self._carry)
        self._carry, self._base = b"", None
        return had

    def push(self, payload: bytes, pts: int | None, corrupt: bool) -> list[AdtsFrame]:
        """The frames that are complete with this payload; what is no frame is skipped, up to the next header."""
        frames: list[AdtsFrame] = []
        carried = len(self._carry)
        data = self._carry + payload
        bad = corrupt or self._carry_corrupt
        pos, end = 0, len(data)
        while pos + HEADER_SIZE <= end:
            header = parse_header(data, pos)
            if header is None or not _followed(data, pos + header.size):
                found = data.find(b"\xff", pos + 1)
                pos = end if found < 0 else found
                continue
            if pos >= carried and pts is not None:
                self._base, self._samples, pts = pts, 0, None
            if pos + header.size > end:
                break
            frames.append(AdtsFrame(data[pos : pos + header.size], self._now(header.rate), bad))
            bad = corrupt
            self._samples += header.samples
            pos += header.size
        self._carry = data[pos:][:MAX_FRAME]
        self._carry_corrupt = corrupt and bool(self._carry)
        return frames

    def _now(self, rate: int) -> int | None:
        return None if self._base is None else self._base + (self._samples * CLOCK + rate // 2) // rate
