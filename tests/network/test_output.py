"""A channel's bytes in a file; standard output is tested with the real program, in tests/test_cli.py."""

from __future__ import annotations

import asyncio

import pytest
from kit import WAIT, auntil, publish

from byoc_nb.network.output import copy
from byoc_nb.trickle import ChannelNotFound

PARTS = [b"first" * 20_000, b"", b"second"]


async def test_the_segments_one_after_the_other_until_the_channel_ends(trickle, tmp_path):
    url = trickle.channel("out")
    copying = asyncio.create_task(copy(url, str(tmp_path / "out.ts")))
    await auntil(lambda: trickle.server.stats.readers)
    await publish(url, PARTS)
    await asyncio.wait_for(copying, WAIT)
    assert (tmp_path / "out.ts").read_bytes() == b"".join(PARTS)


async def test_doubled_and_trailing_slashes(trickle, tmp_path):
    trickle.channel("out")
    copying = asyncio.create_task(copy(f"{trickle.base}//out/", str(tmp_path / "out.ts")))
    await auntil(lambda: trickle.server.stats.readers)
    await publish(f"{trickle.base}//out//", PARTS)
    await asyncio.wait_for(copying, WAIT)
    assert (tmp_path / "out.ts").read_bytes() == b"".join(PARTS)


async def test_a_file_is_not_touched_before_there_is_something_to_write(trickle, tmp_path):
    (tmp_path / "out.ts").write_bytes(b"precious")
    with pytest.raises(ChannelNotFound):
        await copy(f"{trickle.base}/nothing", str(tmp_path / "out.ts"))
    copying = asyncio.create_task(copy(trickle.channel("out"), str(tmp_path / "out.ts")))
    await auntil(lambda: trickle.server.stats.readers)
    copying.cancel()
    await asyncio.wait([copying])
    assert (tmp_path / "out.ts").read_bytes() == b"precious"


async def test_an_output_that_cannot_be_written(trickle, tmp_path):
    url = trickle.channel("out")
    await publish(url, PARTS, end=False)
    with pytest.raises(FileNotFoundError):
        await asyncio.wait_for(copy(url, str(tmp_path / "no" / "out.ts")), WAIT)
