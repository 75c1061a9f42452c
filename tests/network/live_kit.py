"""Live streams of ffmpeg's at URLs, and a small RTSP server in front of it, which ffmpeg is none itself."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator

from byoc_nb.network.source import Source, SourceError

PICTURES = ("-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=96x64:rate=25")
SOUND = ("-f", "lavfi", "-i", "sine=sample_rate=48000", "-c:a", "aac")
H264 = ("-c:v", "libx264", "-g", "12", "-pix_fmt", "yuv420p", "-tune", "zerolatency")


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    with socket.socket(type=kind) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.contextmanager
def running(*arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(["ffmpeg", *map(str, arguments)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def live(url: str) -> Iterator[subprocess.Popen[bytes]]:
    """A stream that lets one reader in; it begins when that comes."""
    form = "flv" if url.startswith("rtmp") else "mpegts"
    with running(*PICTURES, *SOUND, *H264, "-f", form, "-listen", 1, url) as process:
        yield process


async def opened(url: str, **options: object) -> Source:
    """A source at a URL where somebody is about to listen."""
    while True:
        try:
            return await asyncio.to_thread(Source, url, **options)
        except SourceError as error:
            if "refused" not in str(error).lower():
                raise


@contextlib.asynccontextmanager
async def rtsp_server() -> AsyncIterator[str]:
    """The URL of a live stream over RTSP, its RTP interleaved in the connection."""
    udp, writers = free_port(socket.SOCK_DGRAM), set()
    sdp = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"
    sdp += "a=fmtp:96 packetization-mode=1\r\na=control:track1\r\n"

    class Forward(asyncio.DatagramProtocol):
        def datagram_received(self, data, address):
            for writer in writers:
                writer.write(b"$\0" + len(data).to_bytes(2, "big") + data)

    async def serve(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = (await reader.readuntil(b"\r\n\r\n")).decode(errors="replace")
                method = re.search(r"(OPTIONS|DESCRIBE|SETUP|PLAY|TEARDOWN|GET_PARAMETER) ", request)
                sequence = re.search(r"CSeq: *(\d+)", request)
                if method is None or sequence is None:
                    continue
                more, body = "Session: 1\r\n", ""
                if method[1] == "OPTIONS":
                    more = "Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
                elif method[1] == "DESCRIBE":
                    body, more = sdp, f"Content-Type: application/sdp\r\nContent-Length: {len(sdp)}\r\n"
                elif method[1] == "SETUP":
                    more += "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
                writer.write(f"RTSP/1.0 200 OK\r\nCSeq: {sequence[1]}\r\n{more}\r\n{body}".encode())
                if method[1] == "PLAY":
                    writers.add(writer)
        writers.discard(writer)
        writer.close()

    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(Forward, local_addr=("127.0.0.1", udp))
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        with running(*PICTURES, *H264, "-f", "rtp", f"rtp://127.0.0.1:{udp}?pkt_size=1300"):
            yield f"rtsp://user:s3cret@127.0.0.1:{server.sockets[0].getsockname()[1]}/stream"
    finally:
        transport.close()
        server.close()
        for writer in writers:
            writer.close()
