"""PyAV and its codecs, NVIDIA's encoder, and ffmpeg, which nobody needs."""

from __future__ import annotations

import os
import shutil

import av
import av.codec

from byoc_nb.commands.checks.finding import Finding, error, good, note, pip_install
from byoc_nb.frames import VideoFrame
from byoc_nb.media import h264

ENCODERS, DECODERS = ("libx264", "libopus"), ("h264", "aac", "opus")
_SIZE = (640, 480)


def pyav() -> Finding:
    """Its version, and whether it has the codecs of Livepeer's streams."""
    missing = [name for name in ENCODERS if not _has(name, "w")] + [name for name in DECODERS if not _has(name, "r")]
    if missing:
        fix = pip_install("--force-reinstall", "--only-binary", "av", "av")
        return error("pyav", f"{av.__version__} without {', '.join(missing)}: not PyPI's wheel?", fix)
    return good("pyav", f"{av.__version__} with {', '.join((*ENCODERS, *DECODERS))}")


def nvenc() -> Finding:
    """Whether pictures are encoded by the GPU: one is."""
    if os.environ.get(h264.ENCODER_VARIABLE) == h264.LIBX264.name:
        return good("nvenc", f"not asked for: {h264.ENCODER_VARIABLE} is libx264")
    try:
        first = h264.encoders()[0]
    except h264.UnknownEncoder as problem:
        return error("nvenc", problem.one_line(), f"unset {h264.ENCODER_VARIABLE}")
    if first is h264.LIBX264:
        return good("nvenc", "no NVIDIA device here: libx264 encodes")
    frame = VideoFrame(av.VideoFrame(*_SIZE, "yuv420p"), 0)
    try:
        encoder = h264.H264Encoder(frame.to_av(), frame.color, h264.QUALITY, [h264.NVENC])
        next(encoder.encode(frame.to_av(), 0, frame.color, key=True), None)
    except (av.FFmpegError, ValueError) as problem:
        fix = "docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=compute,utility,video IMAGE"
        if not os.path.exists("/.dockerenv"):
            fix = f"export {h264.ENCODER_VARIABLE}=libx264"
        return note("nvenc", f"the GPU doesn't encode, libx264 does: {problem}", fix)
    return good("nvenc", "the GPU encodes")


def ffmpeg() -> Finding:
    """The program."""
    there = "installed" if shutil.which("ffmpeg") else "not installed"
    return good("ffmpeg", f"{there}; not needed, PyAV brings its libraries")


def _has(name: str, mode: str) -> bool:
    try:
        av.codec.Codec(name, mode)  # type: ignore[arg-type]  # "r" or "w"
    except av.codec.codec.UnknownCodecError:
        return False
    return True
