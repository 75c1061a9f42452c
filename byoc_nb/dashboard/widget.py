"""What `%byoc serve` shows under its cell: the dashboard's page side, and a still that stays in the saved notebook.

The widget holds no state. It tells a page where the server is, by messages, which unlike traits are never saved: the
token must not get into the notebook's file. A page that can't connect gets the dashboard's own messages this way too,
though only while no cell runs.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
from IPython.display import DisplayHandle, display

from byoc_nb.dashboard.hub import VIEWERS, Hub
from byoc_nb.dashboard.prints import Prints
from byoc_nb.dashboard.viewer import Viewer

logger = logging.getLogger(__name__)

STATIC = Path(__file__).parent / "static"
# Joined, because anywidget takes one module and no address of another one is right behind every proxy
SCRIPTS = [
    "elements",
    "link",
    "pictures",
    "inputs",
    "params",
    "presets",
    "camera",
    "source",
    "stats",
    "log",
    "plot",
    "tabs",
    "dashboard",
]
STILL_SECONDS = 10.0  # between two renewals of the still, which change the notebook's file
FIRST_PICTURE_SECONDS, LOOK_SECONDS = 20.0, 0.1
_TEXT = "the live dashboard, in a running notebook"


class DashboardWidget(anywidget.AnyWidget):
    """The page's side of the dashboard, for one server after the other."""

    _esm = "\n".join((STATIC / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    _css = STATIC / "dashboard.css"

    def __init__(self) -> None:
        super().__init__()
        self._hub: Hub | None = None
        self._over_messages: dict[str, Viewer] = {}
        self.on_msg(self._received)

    def use(self, hub: Hub) -> None:
        """The server is this one now."""
        if hub is not self._hub:
            self._over_messages.clear()
        self._hub = hub
        self._tell_where()

    def _tell_where(self) -> None:
        if self._hub is None or self._hub.ended:
            self.send({"type": "stopped"})
        else:
            self.send({"type": "where", "port": self._hub.port, "token": self._hub.token})

    def _received(self, widget: Any, content: Any, buffers: Any) -> None:
        match content:
            case {"type": "where"}:
                self._tell_where()
            case {"type": "message"} if self._hub is None or self._hub.ended:
                self._tell_where()
            case {"type": "message", "view": str(view), "text": str() | None as text} if self._hub and self._hub.loop:
                said = text if text is not None else bytes(buffers[0]) if buffers else ""
                with contextlib.suppress(RuntimeError):  # the server has stopped
                    self._hub.loop.call_soon_threadsafe(self._pass_on, self._hub, view, said)

    def _pass_on(self, hub: Hub, view: str, said: str | bytes) -> None:
        """On the server's loop: what a view that has no WebSocket says."""
        viewer = self._over_messages.get(view)
        if viewer is None or viewer not in hub.viewers:
            if len(hub.viewers) >= VIEWERS:
                return
            self._over_messages = {name: one for name, one in self._over_messages.items() if one in hub.viewers}
            viewer = self._over_messages[view] = hub.attach(self._sender(view))
        hub.receive(viewer, said)

    def _sender(self, view: str) -> Callable[[str | bytes], Any]:
        async def send(message: str | bytes) -> None:
            is_text = isinstance(message, str)
            self.send(
                {"type": "message", "view": view, "text": message if is_text else None},
                buffers=None if is_text else [message],
            )

        return send


class Dashboard:
    """A notebook's dashboard: `show` it under the cell that serves.

    From its making to `close`, what frames print goes to its log.
    """

    def __init__(self, shell: Any) -> None:
        self._widget = DashboardWidget()
        self._shell = shell
        self._hub: Hub | None = None
        self._still: DisplayHandle | None = None
        self._renewed = 0.0
        shell.events.register("post_run_cell", self._after_cell)
        self._prints = Prints(self._in_frame, self._printed)
        self._prints.start()

    def close(self) -> None:
        """Leave the shell as it was."""
        self._shell.events.unregister("post_run_cell", self._after_cell)
        self._prints.stop()
        self._hub = None

    def _in_frame(self) -> bool:
        return self._hub is not None and not self._hub.ended and self._hub.subject.in_frame()

    def _printed(self, line: str, error: bool) -> None:
        if self._hub is not None:
            self._hub.printed(line, error=error)

    def show(self, hub: Hub) -> None:
        """Display it, in the output of the cell that runs."""
        display(self._widget)  # type: ignore[no-untyped-call]
        self._still = display({"text/plain": _TEXT}, raw=True, display_id=True)  # type: ignore[no-untyped-call]
        self._hub = hub
        hub.before_end = self._renew
        self._widget.use(hub)
        self._soon(self._first(hub))

    def _after_cell(self, result: Any) -> None:
        """A cell that ran changes the notebook anyway; the streams that it captured are back."""
        self._prints.start()
        if self._hub is not None and time.monotonic() - self._renewed > STILL_SECONDS:
            self._soon(self._renew(self._hub))

    def _soon(self, coroutine: Any) -> None:
        """Run it on the server's loop."""
        loop = self._hub.loop if self._hub else None
        if loop is None or loop.is_closed():
            coroutine.close()
        else:
            asyncio.run_coroutine_threadsafe(coroutine, loop)

    async def _first(self, hub: Hub) -> None:
        for _ in range(round(FIRST_PICTURE_SECONDS / LOOK_SECONDS)):
            if hub.subject.newest is not None:
                break
            await asyncio.sleep(LOOK_SECONDS)
        await self._renew(hub)

    async def _renew(self, hub: Hub) -> None:
        """The still is the newest picture now."""
        still = self._still
        if still is None or hub is not self._hub:
            return
        try:
            if (picture := await hub.still()) is None:
                return
            self._renewed = time.monotonic()
            data = {"image/jpeg": base64.b64encode(picture).decode(), "text/plain": _TEXT}
            still.update(data, raw=True)  # type: ignore[no-untyped-call]
        except Exception as error:  # the kernel ends, or a picture can't be shown: neither may keep the server from it
            logger.debug("the still could not be renewed: %s", error)
