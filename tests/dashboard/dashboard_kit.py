"""A viewer for tests: what a page does, over a real WebSocket."""

from __future__ import annotations

import asyncio
import io
import json
import struct
from collections.abc import Callable
from typing import Any

import aiohttp
from kit import WAIT
from PIL import Image

from byoc_nb.dashboard.hub import PATH


class Page:
    """A connected dashboard; `pictures` holds what came, `messages` the JSON."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.pictures: list[bytes] = []
        self.messages: list[dict[str, Any]] = []
        self.draws = True  # acknowledges pictures
        self._came = asyncio.Condition()
        self.reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self.socket:
            if message.type is aiohttp.WSMsgType.BINARY:
                self.pictures.append(message.data)
                if self.draws:
                    await self.say(type="drawn")
            else:
                self.messages.append(json.loads(message.data))
            async with self._came:
                self._came.notify_all()
        async with self._came:
            self._came.notify_all()

    async def say(self, **message: Any) -> None:
        await self.socket.send_json(message)

    async def look(self, visible: bool = True, wide: bool = False) -> None:
        await self.say(type="view", visible=visible, wide=wide)

    async def until(self, condition: Callable[[], Any]) -> Any:
        """Wait for something to come; gives what the condition gives."""
        async with asyncio.timeout(WAIT), self._came:
            await self._came.wait_for(condition)
        return condition()

    async def message(self, type: str, **having: Any) -> dict[str, Any]:
        """The next message of a type that has these values; those before it are forgotten."""

        def found() -> int | None:
            for number, message in enumerate(self.messages):
                if message["type"] == type and having.items() <= message.items():
                    return number + 1
            return None

        number = await self.until(found)
        taken, self.messages = self.messages[number - 1], self.messages[number:]
        return taken

    async def change(self, number: int = 1, **changes: Any) -> dict[str, Any]:
        """Change parameters; the answer."""
        await self.say(type="change", number=number, changes=changes)
        return await self.message("changed", number=number)

    async def close(self) -> None:
        await self.socket.close()
        await self.reading


async def connect(http: aiohttp.ClientSession, port: int, token: str, **options: Any) -> Page:
    socket = await http.ws_connect(f"http://127.0.0.1:{port}{PATH}", **options)
    await socket.send_json({"token": token})
    return Page(socket)


def unpacked(message: bytes) -> tuple[dict[str, Any], list[Image.Image]]:
    """The header and both pictures of a message."""
    (length,) = struct.unpack(">I", message[:4])
    header = json.loads(message[4 : 4 + length])
    at, pictures = 4 + length, []
    for size in header["lengths"]:
        pictures.append(Image.open(io.BytesIO(message[at : at + size])))
        at += size
    assert at == len(message)
    return header, pictures
