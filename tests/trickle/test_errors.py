"""Errors name the channel, and the next step where there is one."""

import pytest

from byoc_nb.errors import ByocError
from byoc_nb.trickle import ChannelClosed, ChannelNotFound, TrickleError


@pytest.mark.parametrize("error", [ChannelNotFound("http://x/ch"), ChannelClosed("http://x/ch", status=404)])
def test_carries_url_status_and_hint(error: TrickleError) -> None:
    assert error.url == "http://x/ch"
    assert error.status == 404
    assert "http://x/ch" in str(error)
    assert error.hint


def test_a_missing_channel_is_a_lookup_error_and_all_are_ours() -> None:
    assert issubclass(ChannelNotFound, LookupError)
    assert issubclass(ChannelNotFound, TrickleError)
    assert issubclass(ChannelClosed, TrickleError)
    assert issubclass(TrickleError, ByocError)


def test_without_a_next_step_the_hint_is_empty() -> None:
    assert TrickleError("lost", url="http://x").hint == ""
