"""What can go wrong between a trickle client and a channel, each error with the channel's URL as data."""

from __future__ import annotations

from byoc_nb.errors import ByocError


class TrickleError(ByocError):
    """A trickle server could not be reached, or answered what the protocol does not allow.

    `url` is the channel (or the segment) that was asked for; `status` the HTTP status that came back, 0 when none did.
    """

    def __init__(self, message: str, *, url: str = "", status: int = 0, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.url = url
        self.status = status


class ChannelNotFound(TrickleError, LookupError):
    """The server does not know the channel (404): it was never created, or it was deleted or swept before we came."""

    def __init__(self, url: str, *, hint: str = "") -> None:
        super().__init__(
            f"no trickle channel at {url}",
            url=url,
            status=404,
            hint=hint or "publish to it or create it first",
        )


class ChannelClosed(TrickleError):
    """The channel has ended (`Lp-Trickle-Closed`, or 404 while publishing): nothing more can be written to it."""

    def __init__(self, url: str, *, status: int = 0, hint: str = "") -> None:
        super().__init__(
            f"the trickle channel {url} is closed",
            url=url,
            status=status,
            hint=hint or "the other side ended the stream, or the channel does not exist: start a new one",
        )
