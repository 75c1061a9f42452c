"""One frame by HTTP, as the quickstart's first job sends it."""

from __future__ import annotations

import asyncio
import contextlib
import io
import threading

import aiohttp
import numpy as np
import pytest
from kit import WAIT, auntil

from byoc_nb.processor import FrameProcessor
from byoc_nb.runtime import batch
from byoc_nb.runtime.server import StreamServer

pytestmark = pytest.mark.usefixtures("no_thread_left")
PATHS = ("/live/video-to-video", "/process/frame")
SIZE = {"X-Width": "4", "X-Height": "2"}


class GreenTint(FrameProcessor):
    """The quickstart's, in NumPy."""

    async def process(self, frame: bytes) -> bytes:
        data = np.frombuffer(frame, np.uint8).reshape(-1, 3).copy()
        data[:, 1] = np.minimum(data[:, 1].astype(int) + 80, 255)
        return data.tobytes()


class Client:
    def __init__(self, server, http):
        self.server, self._http = server, http

    async def send(self, data, path=PATHS[0], **headers):
        """Status, headers, and the body: bytes, or an error's object."""
        headers = {"Content-Type": "application/octet-stream", "X-Model-Id": "green-tint-cpu", **headers}
        async with self._http.post(path, data=io.BytesIO(data), headers=headers) as answer:
            is_json = answer.content_type == "application/json"
            return answer.status, answer.headers, await (answer.json() if is_json else answer.read())

    async def post(self, path, **body):
        async with self._http.post(path, json=body) as answer:
            return answer.status


@pytest.fixture
async def serve():
    async with contextlib.AsyncExitStack() as stack:

        async def make(target, **options):
            server = StreamServer(target, port=0, host="127.0.0.1", **options)
            await server.start_server()
            stack.push_async_callback(server.stop)
            session = aiohttp.ClientSession(f"http://127.0.0.1:{server.port}")
            return Client(server, await stack.enter_async_context(session))

        yield make


# ---- what comes back


@pytest.mark.parametrize("path", PATHS)
async def test_the_quickstarts_first_job(serve, path):
    client = await serve(GreenTint)
    status, headers, body = await client.send(bytes(640 * 480 * 3), path)
    assert (status, len(body), sum(body[1::3])) == (200, 921_600, 24_576_000)
    assert headers["Content-Type"] == "application/octet-stream"
    assert (headers["X-Width"], headers["X-Height"]) == ("640", "480")


@pytest.mark.parametrize("width, height", [(4, 2), (1, 1), (3, 1), (1, 4), (3, 3), (101, 57), (1920, 1080)])
async def test_every_size(serve, width, height):
    class Invert(FrameProcessor):
        def process_video_async(self, frame):
            assert frame.array.shape == (height, width, 3)
            return frame.replace_array(255 - frame.array)

    client = await serve(Invert)
    sent = np.arange(height * width * 3, dtype=np.uint32).astype(np.uint8)
    status, headers, body = await client.send(sent.tobytes(), **{"X-Width": str(width), "X-Height": str(height)})
    assert (status, headers["X-Width"], headers["X-Height"]) == (200, str(width), str(height))
    np.testing.assert_array_equal(np.frombuffer(body, np.uint8), 255 - sent)


async def test_an_output_of_another_size_says_its_size(serve):
    class Crop(FrameProcessor):
        def process_video_async(self, frame):
            return frame.replace_array(frame.array[:1, :3])

    status, headers, body = await (await serve(Crop)).send(bytes(range(24)), **SIZE)
    assert (status, headers["X-Width"], headers["X-Height"]) == (200, "3", "1")
    assert body == bytes(range(9))


async def test_a_tensor_changed_in_place(serve):
    torch = pytest.importorskip("torch")

    class Tint(FrameProcessor):
        def process_video_async(self, frame):
            assert frame.tensor.dtype == torch.float32 and frame.tensor.shape == (1, 2, 4, 3)
            frame.tensor[..., 1] += 0.5
            return frame

    status, _, body = await (await serve(Tint)).send(bytes(24), **SIZE)
    assert (status, set(body[0::3]), set(body[1::3])) == (200, {0}, {128})


async def test_a_withheld_frame_is_204(serve):
    def process_video(frame):
        return None

    status, _, body = await (await serve(process_video)).send(bytes(24), **SIZE)
    assert (status, body) == (204, b"")


async def test_concurrent_requests_go_through_one_at_a_time_and_get_their_own_frame(serve):
    inside = []

    class One(FrameProcessor):
        async def process(self, frame: bytes) -> bytes:
            inside.append(1)
            await asyncio.sleep(0.001)
            assert inside == [1]
            inside.clear()
            return frame

    client = await serve(One)
    answers = await asyncio.gather(*(client.send(bytes([n] * 24), **SIZE) for n in range(30)))
    assert [(status, body) for status, _, body in answers] == [(200, bytes([n] * 24)) for n in range(30)]


async def test_a_frame_waits_for_the_model(serve):
    release = threading.Event()

    class Slow(GreenTint):
        def load_model(self):
            release.wait(WAIT)

    client = await serve(Slow)
    sending = asyncio.create_task(client.send(bytes(24), **SIZE))
    await asyncio.sleep(0.05)
    assert not sending.done()
    release.set()
    assert (await sending)[0] == 200


# ---- what is refused


@pytest.mark.parametrize("size", [0, 1, 640 * 480 * 3 - 1, 640 * 480 * 3 + 1, 640 * 480])
async def test_a_wrong_length_is_400_and_states_the_right_one(serve, size):
    status, _, body = await (await serve(GreenTint)).send(bytes(size))
    assert status == 400
    assert f"has {size} bytes; a 640x480 RGB24 frame has 921600" in body["errors"]["body"]


async def test_one_side_alone_leaves_the_other_at_its_default(serve):
    status, _, body = await (await serve(GreenTint)).send(b"", **{"X-Width": "320"})
    assert (status, "320x480" in body["message"], "460800" in body["message"]) == (400, True, True)


@pytest.mark.parametrize(
    "value", ["0", "-4", "4.5", "8193", "4x", "", "٤", "9" * 4000, "0" * 5000 + "4", "0000000000004"]
)
async def test_a_side_that_is_none_is_400(serve, value):
    status, _, body = await (await serve(GreenTint)).send(bytes(24), **{"X-Width": value, "X-Height": "2"})
    assert status == 400
    assert "must be 1 to 8192 pixels" in body["errors"]["X-Width"]
    assert len(body["message"]) < 200


async def test_what_the_processor_raises_is_422_in_one_line(serve, caplog):
    class Fails(FrameProcessor):
        def process_video_async(self, frame):
            raise KeyError("no\nsuch\nkey")

    client = await serve(Fails)
    status, _, body = await client.send(bytes(24), **SIZE)
    assert (status, body["status"]) == (422, "error")
    assert "KeyError" in body["message"] and "raise KeyError" in body["message"] and "\n" not in body["message"]
    assert "Traceback" in caplog.text, "the developer sees all of it"
    assert (await client.send(bytes(24), **SIZE))[0] == 422, "and it goes on"


@pytest.mark.parametrize("result", [b"short", 7, "text"])
async def test_what_is_no_frame_is_422(serve, result):
    class Wrong(FrameProcessor):
        def process(self, frame: bytes) -> bytes:
            return result

    status, _, body = await (await serve(Wrong)).send(bytes(24), **SIZE)
    assert (status, "process returned" in body["message"]) == (422, True)


async def test_a_processor_that_exits_is_422(serve):
    def process_video(frame):
        raise SystemExit(3)

    status, _, body = await (await serve(process_video)).send(bytes(24), **SIZE)
    assert (status, "SystemExit" in body["message"]) == (422, True)


async def test_a_processor_that_never_answers_does_not_keep_streams_out(serve, monkeypatch):
    monkeypatch.setattr(batch, "PROCESS_SECONDS", 0.1)

    class Waits(FrameProcessor):
        async def process_video_async(self, frame):
            await asyncio.Event().wait()

    client = await serve(Waits)
    status, _, body = await client.send(bytes(24), **SIZE)
    assert (status, "took more than" in body["message"]) == (422, True)
    assert await client.post("/stream/start", gateway_request_id="x") == 200


async def test_a_processor_that_cannot_be_loaded_is_503(serve):
    class Broken(GreenTint):
        def load_model(self):
            raise OSError("no weights")

    status, _, body = await (await serve(Broken)).send(bytes(24), **SIZE)
    assert (status, "no weights" in body["message"]) == (503, True)


async def test_503_while_a_stream_runs_and_not_after_it(serve):
    client = await serve(GreenTint)
    assert await client.post("/stream/start", gateway_request_id="x") == 200
    status, _, body = await client.send(bytes(24), **SIZE)
    assert (status, "a stream is running" in body["message"]) == (503, True)
    assert await client.post("/stream/stop") == 200
    assert (await client.send(bytes(24), **SIZE))[0] == 200


async def test_a_stream_that_starts_meanwhile_waits_for_the_frame(serve):
    begun, release, seen = threading.Event(), threading.Event(), []

    class Slow(FrameProcessor):
        async def on_stream_start(self, params):
            seen.append("stream")

        async def process(self, frame: bytes) -> bytes:
            begun.set()
            await asyncio.to_thread(release.wait, WAIT)
            seen.append("frame")
            return frame

    client = await serve(Slow)
    sending = asyncio.create_task(client.send(bytes(24), **SIZE))
    await auntil(begun.is_set)
    starting = asyncio.create_task(client.post("/stream/start", gateway_request_id="x"))
    await asyncio.sleep(0.05)
    release.set()
    assert (await sending)[0] == 200
    assert await starting == 200
    assert seen == ["frame", "stream"]


@pytest.mark.parametrize("path", PATHS)
async def test_more_than_10_mb_is_413(serve, path):
    client = await serve(GreenTint)
    sides = {"X-Width": "2000", "X-Height": "2000"}
    status, _, body = await client.send(bytes(2000 * 2000 * 3), path, **sides)
    assert (status, "10 MB" in body["message"]) == (413, True)
    assert (await client.send(bytes(24), path, **SIZE))[0] == 200


@pytest.mark.parametrize("path", [*PATHS, "/live-video-to-video"])
async def test_the_bearer_token_guards_it_as_it_guards_the_streams(serve, path):
    client = await serve(GreenTint, token="c0ffee")
    assert (await client.send(bytes(24), path, **SIZE))[0] == 401
    assert (await client.send(bytes(24), path, **SIZE, Authorization="Bearer wrong"))[0] == 401
    assert (await client.send(bytes(24), path, **SIZE, Authorization="Bearer c0ffee"))[0] in (200, 400)
