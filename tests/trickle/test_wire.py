"""Sequence numbers, URLs and waiting times as both ends read them."""

import pytest

from byoc_nb.trickle import wire


@pytest.mark.parametrize(("text", "seq"), [("0", 0), ("+7", 7), ("-2", -2), ("007", 7), (str(2**63 - 1), 2**63 - 1)])
def test_reads_what_go_reads(text: str, seq: int) -> None:
    assert wire.parse_seq(text) == seq


@pytest.mark.parametrize("text", ["", "-", "1_0", " 1", "1.0", "0x1", "٣", "²", str(2**63), "9" * 5000, "next"])
def test_refuses_what_go_refuses(text: str) -> None:
    assert wire.parse_seq(text) is None


def test_a_missing_header_is_no_number() -> None:
    assert wire.number({}, wire.SEQ) is None
    assert wire.number({wire.SEQ: "4"}, wire.SEQ) == 4


@pytest.mark.parametrize("given", ["http://h:1/a/ch", "http://h:1/a/ch/", "http://h:1//a//ch//"])
def test_channel_urls_lose_the_slashes_that_go_would_redirect(given: str) -> None:
    assert wire.channel_url(given) == "http://h:1/a/ch"


def test_only_http_urls_are_channels() -> None:
    with pytest.raises(ValueError, match="rtmp"):
        wire.channel_url("rtmp://h/ch")


def test_waits_double_up_to_a_bound() -> None:
    assert [wire.backoff(n) for n in range(6)] == [0.25, 0.5, 1.0, 2.0, 4.0, 4.0]
