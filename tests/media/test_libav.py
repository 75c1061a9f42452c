"""Streams that are no MPEG-TS: libav reads what it can, and opens nothing else for them."""

import http.server
import itertools
import subprocess
import threading

import pytest
from kit import decode, number_of, segments

from byoc_nb.media.decode import Decoder

FORMATS = {
    "matroska": ["-f", "matroska"],
    "webm in live mode": ["-f", "matroska", "-live", "1"],
    "flv": ["-c:a", "aac", "-f", "flv"],
    "fragmented mp4": ["-c:a", "aac", "-f", "mp4", "-movflags", "frag_keyframe+empty_moov"],
    "nut": ["-f", "nut"],
}


def remuxed(*arguments: str) -> bytes:
    """Numbered pictures and a tone, 3 s, in another container."""
    command = ["ffmpeg", "-v", "error", "-f", "mpegts", "-i", "pipe:0", "-c", "copy", *arguments, "pipe:1"]
    return subprocess.run(command, input=b"".join(segments(3.0)), stdout=subprocess.PIPE, check=True).stdout


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("size", [700, 50_000, 10_000_000])
def test_another_container_is_decoded_whole(name, size):
    data, errors = remuxed(*FORMATS[name]), []
    decoder = Decoder(on_error=errors.append)
    frames = [frame for start in range(0, len(data), size) for frame in decoder.feed(data[start : start + size])]
    assert decoder.kinds in ({"video", "audio"}, set()), "known as soon as the stream is recognised"
    frames += decoder.flush()
    pictures = [frame for frame in frames if hasattr(frame, "array")]
    assert [number_of(frame) for frame in pictures] == list(range(90))
    steps = [b.timestamp - a.timestamp for a, b in itertools.pairwise(pictures[1:])]  # AAC moves the first
    assert all(abs(step - 3000) <= 90 for step in steps), "to the container's own precision"
    sound = sum(frame.nb_samples for frame in frames if not hasattr(frame, "array"))
    assert abs(sound / 48_000 - 3.0) < 0.1
    assert not errors


def test_frames_come_while_the_stream_goes_on():
    data = remuxed("-f", "matroska", "-live", "1", "-cluster_time_limit", "200")
    data += bytes(max(0, 120_000 - len(data)))
    decoder = Decoder()
    assert [*decoder.feed(data[:-100])], "recognised without the end"
    assert decoder.kinds == {"video", "audio"}
    list(decoder.flush())


def test_limits_and_size_hold_there_too():
    pictures, _ = decode(remuxed("-f", "matroska"), size=(64, 64), max_framerate=15)
    assert len(pictures) == 45
    assert {(frame.width, frame.height) for frame in pictures} == {(64, 64)}


def test_damage_costs_frames_not_the_stream():
    data = bytearray(remuxed("-f", "nut"))
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    pictures, _ = decode(bytes(data))
    assert 30 < len(pictures) < 91


def test_a_playlist_opens_nothing():
    """What comes over the network must not make this machine read files or call addresses."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/a.ts"
        for text in (
            f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{address}\n#EXT-X-ENDLIST\n",
            f"ffconcat version 1.0\nfile {address}\n",
            "ffconcat version 1.0\nfile /etc/hostname\n",
        ):
            errors = []
            assert decode(text.encode(), on_error=errors.append) == ([], [])
            assert len(errors) == 1
    finally:
        server.shutdown()
        server.server_close()
    assert asked == []


def test_threads_end_with_their_stream():
    before = threading.active_count()
    for _ in range(5):
        decode(remuxed("-f", "nut"))
        decode(b"nothing that anybody knows" * 10_000)
    assert threading.active_count() == before


def test_a_short_stream_whose_frames_nobody_takes_leaves_no_thread():
    before = threading.active_count()
    for _ in range(3):
        decoder = Decoder()
        list(decoder.feed(remuxed("-f", "nut")[:6000]))
        next(decoder.flush(), None)
    assert threading.active_count() == before
