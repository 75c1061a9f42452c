"""A channel's bytes to a file or to standard output, as a player reads them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import sys

from byoc_nb.trickle import TrickleSubscriber

STANDARD_OUTPUT = "-"


async def copy(url: str, output: str, *, verify_tls: bool = False) -> None:
    """Write the channel, from its newest segment on, to a file or to standard output ("-") until the channel ends.

    Raises TrickleError when there is no such channel or it can't be read, and OSError when the output can't be written.
    """
    with contextlib.ExitStack() as files:
        if output == STANDARD_OUTPUT and sys.stdout is None:  # then 1 is the number of something else
            raise OSError("standard output is closed")
        descriptor = 1 if output == STANDARD_OUTPUT else -1
        async with TrickleSubscriber(url, start=-2, verify_tls=verify_tls) as channel:
            async for segment in channel:
                if descriptor < 0:  # not before there is something: a wrong URL must not empty the file
                    descriptor = files.enter_context(open(output, "wb", buffering=0)).fileno()  # noqa: ASYNC230
                async for data in segment:
                    await _write(descriptor, data)


async def _write(descriptor: int, data: bytes) -> None:
    """Write without ever blocking: a player that pauses must not keep us from ending."""
    view = memoryview(data)
    while view:
        with contextlib.suppress(PermissionError):  # a file, which is always ready
            await _ready(descriptor)
        view = view[os.write(descriptor, view[: select.PIPE_BUF]) :]


async def _ready(descriptor: int) -> None:
    loop, ready = asyncio.get_running_loop(), asyncio.Event()
    loop.add_writer(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_writer(descriptor)
