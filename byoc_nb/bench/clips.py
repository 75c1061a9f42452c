"""The clips that are measured with: a real video with numbered pictures at 30 fps, as go-livepeer's gateway sends it.

H.264 without B-frames, a GOP and a segment of two seconds, Opus; each segment muxed by libav on its own, as ffmpeg's
segmenter does for the gateway. A clip is encoded once and goes on for ever; every picture's bytes are a slice of their
own, so that who sends it knows when the last byte of each picture went out.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.frame import PictureType

from byoc_nb.bench import stamp
from byoc_nb.bench.pictures import PictureEnds
from byoc_nb.errors import ByocError
from byoc_nb.frames import MPEG_TIME_BASE
from byoc_nb.media.cover import Cover

FPS = 30
CLOCK = 90_000  # ticks a second
SEGMENT_SECONDS = 2
SEGMENT_PICTURES = FPS * SEGMENT_SECONDS
START = CLOCK  # of the first picture; the sound begins some milliseconds earlier and must not be before 0
_RATE, _OPUS_SAMPLES = 48_000, 960
_SEGMENT_SOUNDS = SEGMENT_SECONDS * _RATE // _OPUS_SAMPLES

Segment = list[bytes]  # a slice for each picture, together the bytes of one segment


class ClipError(ByocError, OSError):
    """The video can't be made into a clip."""


class Clip:
    """A video of `size` (width, height) from the file `source`, `seconds` long before its numbers come again.

    Takes some seconds: everything is decoded and encoded here. Raises ClipError.
    """

    def __init__(self, source: Path, size: tuple[int, int], seconds: int = 20) -> None:
        self.size, self.pictures = size, seconds * FPS
        if self.pictures > stamp.MAX_NUMBER or seconds % SEGMENT_SECONDS:
            raise ValueError(f"{seconds} s are no whole segments, or have more pictures than numbers")
        encoder = av.open(io.BytesIO(), "w", format="mpegts")  # nothing is muxed into it
        self._video = _video_stream(encoder, size)
        self._audio: Any = encoder.add_stream("libopus", rate=_RATE)
        self._audio.layout, self._audio.bit_rate = "stereo", 96_000
        try:
            self._coded_pictures = list(self._encode_pictures(source))
            self._coded_sounds = list(self._encode_sounds(source))
        except (av.FFmpegError, OSError, IndexError) as error:
            why = getattr(error, "strerror", None) or error
            raise ClipError(
                f"{source.name} can't be used: {why}", hint="give a video with sound: --clip FILE"
            ) from None

    @property
    def bytes_per_picture(self) -> float:
        """How large a picture is on average, without sound and packet headers."""
        return sum(len(data) for data, _ in self._coded_pictures) / self.pictures

    def segments(self, first: int = 0) -> Iterator[Segment]:
        """The clip from segment `first` on, again and again on one clock, without end."""
        return map(self._segment, itertools.count(first))

    def _segment(self, index: int) -> Segment:
        target = io.BytesIO()
        with av.open(target, "w", format="mpegts") as out:
            video, audio = out.add_stream_from_template(self._video), out.add_stream_from_template(self._audio)
            for at, data, key, sound in sorted(self._packets(index), key=lambda packet: packet[0]):
                packet = av.Packet(data)
                packet.pts = packet.dts = at
                packet.time_base, packet.is_keyframe, packet.stream = MPEG_TIME_BASE, key, audio if sound else video
                out.mux(packet)
        data = target.getvalue()
        ends = [end for _, end in PictureEnds().feed(data, last=True)]
        ends[-1] = len(data)
        return [data[start:end] for start, end in itertools.pairwise([0, *ends])]

    def _packets(self, index: int) -> Iterator[tuple[int, bytes, bool, bool]]:
        for number in range(index * SEGMENT_PICTURES, (index + 1) * SEGMENT_PICTURES):
            data, key = self._coded_pictures[number % self.pictures]
            yield START + number * CLOCK // FPS, data, key, False
        for number in range(index * _SEGMENT_SOUNDS, (index + 1) * _SEGMENT_SOUNDS):
            data, at = self._coded_sounds[number % len(self._coded_sounds)]
            rounds = number // len(self._coded_sounds)
            yield START + rounds * self.pictures * CLOCK // FPS + at, data, True, True

    def _encode_pictures(self, source: Path) -> Iterator[tuple[bytes, bool]]:
        cover, numbers = Cover(self.size), iter(range(self.pictures))
        while True:
            with av.open(str(source)) as container:
                container.streams.video[0].thread_type = "AUTO"
                for picture in container.decode(video=0):
                    number = next(numbers, None)
                    if number is None:
                        return
                    stamped = stamp.burn(cover(picture), number)
                    stamped.pts, stamped.time_base = number, Fraction(1, FPS)
                    stamped.pict_type = PictureType.NONE
                    yield from ((bytes(packet), packet.is_keyframe) for packet in self._video.encode(stamped))

    def _encode_sounds(self, source: Path) -> Iterator[tuple[bytes, int]]:
        with av.open(str(source)) as container:
            resampler = av.AudioResampler(format="fltp", layout="stereo", rate=_RATE)
            parts = [part.to_ndarray() for sound in container.decode(audio=0) for part in resampler.resample(sound)]
        count = self.pictures * _RATE // FPS
        samples = np.tile(np.concatenate(parts, axis=1), -(-count // sum(part.shape[1] for part in parts)))
        for at in range(0, count, _OPUS_SAMPLES):
            block = np.ascontiguousarray(samples[:, at : at + _OPUS_SAMPLES])
            sound = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
            sound.sample_rate, sound.pts, sound.time_base = _RATE, at, Fraction(1, _RATE)
            for packet in self._audio.encode(sound):
                yield bytes(packet), round(packet.pts * packet.time_base * CLOCK)


def _video_stream(encoder: Any, size: tuple[int, int]) -> Any:
    stream = encoder.add_stream("libx264", rate=FPS)
    stream.width, stream.height = size
    stream.pix_fmt = "yuv420p"
    context = stream.codec_context
    context.time_base, context.thread_count = Fraction(1, FPS), 1  # one slice a picture
    context.gop_size, context.max_b_frames = SEGMENT_PICTURES, 0
    context.options = {"preset": "veryfast", "tune": "zerolatency", "crf": "21", "sc_threshold": "0"}
    return stream
