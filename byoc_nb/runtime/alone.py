"""A processor apart from every stream that is served: loaded, started and put through frames one after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from byoc_nb.runtime.host import Host, release_memory
from byoc_nb.runtime.stream import Stream


def load_alone(target: Any, values: Mapping[str, Any]) -> Host:
    """Build and load a new processor with these parameters on its own thread, and begin a stream without a network.

    Blocks; raises what its code raises.
    """
    host = Host(target, values)
    try:
        host.submit(host.build()).result()
        host.submit(host.adopt(dict(values), None)).result()
        host.submit(host.start_stream(cast("Stream", _NoStream()))).result()
    except BaseException:
        host.close()
        del host
        release_memory()
        raise
    return host


class _NoStream:
    """What a processor is told of its stream; what it publishes goes nowhere."""

    params: ClassVar[Mapping[str, Any]] = {}

    def publish_data(self, value: Any) -> bool:
        return False
