"""The set of channels: creation, bounds, the idle sweep, the changefeed."""

from __future__ import annotations

import pytest

from byoc_nb.trickle.channels import CHANGEFEED, Channels, Refused, valid_name


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def feed_of(channels: Channels) -> list[bytes]:
    return [b"".join(segment.chunks) for segment in channels.find(CHANGEFEED).segments]


def test_creating_twice_gives_the_same_channel_and_keeps_its_mime() -> None:
    channels = Channels(Clock())
    made = channels.create("a", "application/json")
    assert channels.create("a", "video/MP2T") is made
    assert made.mime == "application/json"
    assert channels.names() == ["a"]


def test_an_empty_mime_means_mpeg_ts() -> None:
    assert Channels(Clock()).create("a", "").mime == "video/MP2T"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\nb", "x" * 256])
def test_a_name_is_one_path_element(name: str) -> None:
    assert not valid_name(name)
    with pytest.raises(Refused) as caught:
        Channels(Clock()).create(name)
    assert caught.value.status == 400


def test_too_many_channels_are_refused_and_a_removed_one_makes_room() -> None:
    channels = Channels(Clock(), max_channels=2, changefeed=True)
    channels.create("a")
    channels.create("b")
    with pytest.raises(Refused) as caught:
        channels.create("c")
    assert caught.value.status == 429
    channels.create("a")  # exists
    channels.remove("a")
    channels.create("c")


def test_unknown_channels_are_made_by_a_post_only_with_autocreate() -> None:
    with pytest.raises(Refused) as caught:
        Channels(Clock()).find_or_autocreate("a", "text/plain")
    assert caught.value.status == 404
    channels = Channels(Clock(), autocreate=True)
    with pytest.raises(Refused):
        channels.find("a")
    assert channels.find_or_autocreate("a", "text/plain").mime == "text/plain"
    assert channels.find("a").name == "a"


def test_removing_closes() -> None:
    channels = Channels(Clock())
    channel = channels.create("a")
    assert channels.remove("a")
    assert channel.closed
    assert not channels.remove("a")


def test_channels_without_a_new_segment_for_five_minutes_are_swept() -> None:
    clock = Clock()
    channels = Channels(clock)
    for name in ("idle", "long", "live", "_exempt"):
        channels.create(name)
    long = channels.find("long").write(0)
    long.feed(b"first", clock.now)
    clock.now += 299
    channels.find("live").write(0).feed(b"x", clock.now)
    long.feed(b"later bytes of the same segment", clock.now)
    assert channels.sweep() == []
    clock.now += 2
    assert channels.sweep() == ["idle", "long"]
    assert channels.names() == ["live", "_exempt"]
    assert long.over


def test_the_changefeed_announces_itself_first_and_then_every_change() -> None:
    channels = Channels(Clock(), changefeed=True)
    channels.create("x")
    channels.remove("x")
    assert feed_of(channels) == [b'{"added":["_changes"]}', b'{"added":["x"]}', b'{"removed":["x"]}']
    assert channels.find(CHANGEFEED).mime == "application/json"


def test_the_changefeed_reports_the_sweep_and_survives_it() -> None:
    clock = Clock()
    channels = Channels(clock, changefeed=True)
    channels.create("x")
    clock.now += 301
    assert channels.sweep() == ["x"]
    assert feed_of(channels)[-1] == b'{"removed":["x"]}'


def test_without_changefeed_there_is_none() -> None:
    channels = Channels(Clock())
    channels.create("x")
    assert channels.names() == ["x"]


def test_clearing_ends_the_changefeed_last() -> None:
    channels = Channels(Clock(), changefeed=True)
    feed = channels.find(CHANGEFEED)
    channels.create("x")
    channels.clear()
    assert len(channels) == 0
    assert feed.closed
    assert b"".join(feed.segments[-1].chunks) == b'{"removed":["x"]}'


def test_a_channel_that_ended_is_readable_while_it_lingers() -> None:
    clock = Clock()
    channels = Channels(clock, linger_seconds=10.0, max_channels=2)
    for name in "abc":
        writing = channels.create(name).write(-1)
        writing.feed(name.encode(), clock())
        writing.finish()
        assert channels.remove(name)
    assert channels.names() == []
    with pytest.raises(Refused):
        channels.find_to_read("a", 0)  # no more of them than channels
    assert channels.find_to_read("b", 0).segments[0].chunks == [b"b"]
    for seq in (-2, -1, 1):  # it has ended
        with pytest.raises(Refused) as caught:
            channels.find_to_read("b", seq)
        assert caught.value.status == 404
    with pytest.raises(Refused):
        channels.find("b")  # nor can it be written
    anew = channels.create("b")
    assert channels.find_to_read("b", 0) is anew
    clock.now += 10.0
    with pytest.raises(Refused):
        channels.find_to_read("c", 0)


def test_without_lingering_a_channel_that_ended_is_gone() -> None:
    channels = Channels(Clock())
    channels.create("a").write(-1).feed(b"zero", 0.0)
    channels.remove("a")
    with pytest.raises(Refused):
        channels.find_to_read("a", 0)
