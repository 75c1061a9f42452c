"""`byoc-nb trickle-server|publish|subscribe`: what surrounds a container, by hand."""

from __future__ import annotations

import argparse
import asyncio
import errno
import sys

from byoc_nb.commands.arguments import FAREWELL_SECONDS, Command, add_verify_tls, channel, until_signalled
from byoc_nb.network.output import copy
from byoc_nb.network.source import Source
from byoc_nb.runtime.ports import PortInUse, free_port, port_number
from byoc_nb.trickle import TrickleServer


def add_commands(command: Command) -> None:
    """Add them."""
    server = command("trickle-server", _trickle_server, "run a trickle server")
    server.add_argument("--host", default="127.0.0.1", help="the address to listen at (127.0.0.1)")
    server.add_argument("--port", type=port_number, default=3389, help="0 takes a free one (3389)")
    server.add_argument("--base-path", default="/", help="what stands in front of the channel's name (/)")
    server.add_argument(
        "--autocreate", action=argparse.BooleanOptionalAction, default=True, help="publishing makes the channel (yes)"
    )
    server.add_argument("--changefeed", action="store_true", help="tell of new and ended channels on _changes")

    publish = command("publish", _publish, "publish a file to a trickle channel, until its end")
    publish.add_argument("file", help="any file or URL that ffmpeg reads, testsrc, or - for MPEG-TS on standard input")
    publish.add_argument("url", help="of the channel")
    publish.add_argument("--realtime", action="store_true", help="at the video's own pace, not as fast as it goes")
    publish.add_argument("--loop", action="store_true", help="again and again")
    add_verify_tls(publish)

    subscribe = command("subscribe", _subscribe, "write a trickle channel to a file or to standard output")
    subscribe.add_argument("url", help="of the channel")
    subscribe.add_argument("-o", "--output", default="-", help="a file; - is standard output (-)")
    add_verify_tls(subscribe)


async def _trickle_server(options: argparse.Namespace) -> None:
    server = TrickleServer(base_path=options.base_path, autocreate=options.autocreate, changefeed=options.changefeed)
    try:
        url = await server.start(options.host, options.port)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(options.port, free_port(options.host, near=options.port)) from None
        raise
    print(f"trickle server at {url}", file=sys.stderr, flush=True)  # noqa: T201
    try:
        await until_signalled(asyncio.Event().wait())
    finally:
        await server.stop()


async def _publish(options: argparse.Namespace) -> None:
    url = channel(options.url)
    source = Source(options.file, loop=options.loop, realtime=options.realtime)
    try:
        # stopping the source ends the channel, so that whoever reads it learns that this was all
        await until_signalled(source.run(url, verify_tls=options.verify_tls), source.stop)
    finally:
        source.stop()
        await asyncio.to_thread(source.join, FAREWELL_SECONDS)


async def _subscribe(options: argparse.Namespace) -> None:
    await until_signalled(copy(channel(options.url), options.output, verify_tls=options.verify_tls))
