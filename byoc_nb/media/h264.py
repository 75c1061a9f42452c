"""Pictures to H.264, one coded picture out of every call: by NVENC where a device has it, else by libx264.

An encoder that can't be opened, holds a picture back or makes no IDR where one is asked for is left for the next one;
the picture that showed it is encoded again, so none is lost.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

import av
from av.video.frame import PictureType

from byoc_nb.errors import ByocError
from byoc_nb.frames import MPEG_TIME_BASE, colors
from byoc_nb.frames.colors import Color
from byoc_nb.media.cover import Cover
from byoc_nb.media.mpegts import nal

logger = logging.getLogger(__name__)

QUALITY = 23  # libx264's CRF; NVENC's CQ of the same number looks about the same
PIXELS_A_THREAD = 1_000_000
NVIDIA_DEVICE = "/dev/nvidiactl"
ENCODER_VARIABLE = "BYOC_ENCODER"


class Codec(NamedTuple):
    """An encoder of libavcodec with the options that make it give out every picture at once."""

    name: str
    options: dict[str, str]
    quality: str  # the option that takes QUALITY


LIBX264 = Codec(
    "libx264", {"preset": "superfast", "tune": "zerolatency", "forced-idr": "1", "sc_threshold": "0"}, "crf"
)
_NVENC_OPTIONS = {"preset": "p4", "tune": "ull", "rc": "vbr", "rc-lookahead": "0", "zerolatency": "1", "delay": "0"}
NVENC = Codec("h264_nvenc", {**_NVENC_OPTIONS, "forced-idr": "1"}, "cq")


class UnknownEncoder(ByocError, ValueError):
    """BYOC_ENCODER names no encoder."""


def encoders() -> list[Codec]:
    """The encoders to try, best first: BYOC_ENCODER's ("libx264", "h264_nvenc"), else NVENC where there is a device."""
    wanted = os.environ.get(ENCODER_VARIABLE, "")
    by_name = {codec.name: codec for codec in (NVENC, LIBX264)}
    if wanted not in ("", "auto", *by_name):
        raise UnknownEncoder(f"{ENCODER_VARIABLE} is {wanted!r}", hint=f"give it auto, {' or '.join(by_name)}")
    if wanted == LIBX264.name or (wanted != NVENC.name and not os.path.exists(NVIDIA_DEVICE)):
        return [LIBX264]
    return [NVENC, LIBX264]


class H264Encoder:
    """Encodes a stream at the size (width, height in pixels, even) and in the colour of its first picture."""

    def __init__(self, first: av.VideoFrame, color: Color, quality: int, codecs: Sequence[Codec]) -> None:
        self.size = (first.width & ~1, first.height & ~1)
        self._color, self._quality = color, quality
        self._codecs = list(codecs)  # the first one is in use
        self._cover = Cover(self.size)
        self._context: Any = None

    def encode(self, frame: av.VideoFrame, pts: int, color: Color, *, key: bool) -> Iterator[tuple[bytes, int, bool]]:
        """The coded picture, its time in 90 kHz ticks, and whether it is an IDR.

        A picture of another size is scaled to cover this stream's and cut to it.
        """
        if frame.width & ~1 != self.size[0] or frame.height & ~1 != self.size[1]:
            frame = self._cover(frame)
        picture = colors.yuv420p(frame, self.size, color, self._color)
        # The decoder's own time and picture type must not reach the encoder, nor ours the frame that the user may keep
        kept = picture.pts, picture.time_base or Fraction(0, 1), picture.pict_type
        picture.pts, picture.time_base = pts, MPEG_TIME_BASE
        picture.pict_type = PictureType.I if key else PictureType.NONE
        try:
            packets = self._encode(picture, key=key)
        finally:
            picture.pts, picture.time_base, picture.pict_type = kept
        for packet in packets:
            yield bytes(packet), packet.pts, packet.is_keyframe

    def flush(self) -> Iterator[tuple[bytes, int, bool]]:
        """What the encoder still holds."""
        for packet in self._context.encode(None) if self._context else ():
            yield bytes(packet), packet.pts, packet.is_keyframe

    def _encode(self, picture: av.VideoFrame, *, key: bool) -> list[Any]:
        while True:
            codec, why = self._codecs[0], ""
            try:
                self._context = self._context or self._open(codec)
                packets: list[Any] = self._context.encode(picture)
                if len(packets) != 1:
                    why = "it holds pictures back"
                elif key and not nal.opens_a_segment(bytes(packets[0])):
                    why = "it made no IDR where one was asked for"
            except (av.FFmpegError, ValueError) as error:
                if len(self._codecs) == 1:
                    raise
                why = str(error)
            if not why or len(self._codecs) == 1:
                return packets
            logger.warning("%s is not used, %s is: %s", codec.name, self._codecs[1].name, why)
            self._codecs, self._context = self._codecs[1:], None

    def _open(self, codec: Codec) -> Any:
        context: Any = av.CodecContext.create(codec.name, "w")
        context.width, context.height = self.size
        context.pix_fmt = "yuv420p"
        context.time_base = MPEG_TIME_BASE
        context.framerate = Fraction(30, 1)  # for rate control alone; pictures keep their own times
        context.colorspace, context.color_range = self._color.matrix, self._color.range
        # Beyond 720p one thread is too slow for real time; below it, more of them cost more than they bring
        context.thread_count = min(os.cpu_count() or 1, max(1, self.size[0] * self.size[1] // PIXELS_A_THREAD))
        context.gop_size = 100_000  # key frames come where segments begin, nowhere else
        context.max_b_frames = 0
        context.options = {**codec.options, codec.quality: str(self._quality)}
        return context
