"""The rules of one channel, without sockets."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from byoc_nb.trickle.channel import MAX_SEQ, RING_SEGMENTS, Channel, Refused, Segment


def channel(**options: int) -> Channel:
    return Channel("ch", "video/MP2T", 0.0, **options)


def publish(ch: Channel, seq: int, *chunks: bytes, now: float = 0.0) -> Segment:
    writing = ch.write(seq)
    for chunk in chunks:
        writing.feed(chunk, now)
    writing.finish()
    return writing.segment


# -- sequence numbers ----------------------------------------------------------------------------------------------


def test_the_head_moves_at_the_first_byte_and_not_at_the_post() -> None:
    ch = channel()
    writing = ch.write(0)
    assert ch.next_write == 0
    writing.feed(b"x", 1.0)
    assert ch.next_write == 1
    writing.feed(b"y", 2.0)
    writing.finish()
    assert ch.next_write == 1
    assert ch.write_time == 1.0  # the first byte counts, not the later ones


def test_an_empty_body_moves_the_head_when_it_ends() -> None:
    ch = channel()
    writing = ch.write(0)
    writing.feed(b"", 1.0)
    assert ch.next_write == 0
    writing.finish()
    assert ch.next_write == 1
    assert writing.segment.closed
    assert ch.write_time == 0.0


def test_minus_one_is_the_head_for_readers_and_writers() -> None:
    ch = channel()
    publish(ch, 0, b"x")
    assert ch.write(-1).seq == 1
    assert ch.read(-1).seq == 1


def test_minus_two_is_the_newest_that_has_begun_or_the_first() -> None:
    ch = channel()
    assert ch.read(-2).seq == 0
    publish(ch, 0, b"x")
    publish(ch, 1, b"x")
    ch.write(2)  # a preconnect has not begun
    assert ch.read(-2).seq == 1


@pytest.mark.parametrize("seq", [-3, -100, -(2**63), MAX_SEQ + 1])
def test_reading_what_would_crash_go_is_refused(seq: int) -> None:
    with pytest.raises(Refused) as caught:
        channel().read(seq)
    assert caught.value.status == 400


@pytest.mark.parametrize("seq", [-2, -3, -(2**63)])
def test_writing_what_would_crash_go_is_refused(seq: int) -> None:
    with pytest.raises(Refused) as caught:
        channel().write(seq)
    assert caught.value.status == 400


@pytest.mark.parametrize("seq", [-1, -5, 3, MAX_SEQ + 1])
def test_deleting_a_segment_that_is_not_there_is_refused(seq: int) -> None:
    with pytest.raises(Refused) as caught:
        channel().delete_segment(seq)
    assert caught.value.status == 400


@pytest.mark.parametrize(("seq", "waits"), [(0, True), (1, True), (2, False)])
def test_on_a_fresh_channel_readers_of_0_and_1_wait(seq: int, waits: bool) -> None:
    assert (channel().read(seq).segment is not None) is waits


def test_later_only_the_head_waits_and_what_a_publisher_preconnected() -> None:
    ch = channel()
    publish(ch, 0, b"x")
    assert ch.read(1).segment is not None
    missing = ch.read(2)
    assert missing.segment is None
    assert (missing.seq, missing.latest) == (2, 1)
    writing = ch.write(2)
    assert ch.read(2).segment is writing.segment


def test_a_reader_that_came_first_gets_the_writers_segment() -> None:
    ch = channel()
    assert ch.read(0).segment is ch.write(0).segment


def test_latest_is_the_head_when_the_reader_came() -> None:
    ch = channel()
    for seq in range(3):
        publish(ch, seq, b"x")
    assert ch.read(1).latest == 3


# -- the ring ------------------------------------------------------------------------------------------------------


def test_the_ring_keeps_five_and_evicts_by_slot() -> None:
    ch = channel()
    for seq in range(7):
        publish(ch, seq, b"x")
    assert [s.seq for s in ch.segments] == [2, 3, 4, 5, 6]
    assert ch.read(1).segment is None
    assert ch.read(2).segment is not None


def test_an_evicted_open_segment_is_closed_so_that_nobody_hangs_on_it() -> None:
    ch = channel()
    dropped = ch.write(0)
    dropped.feed(b"x", 0.0)
    ch.write(5)
    assert dropped.over
    dropped.feed(b"more", 0.0)
    assert dropped.segment.chunks == [b"x"]


def test_a_far_ahead_preconnect_that_is_evicted_does_not_drag_the_head() -> None:
    ch = channel()
    ahead = ch.write(100)
    publish(ch, 0, b"x")
    ahead.finish()
    assert ch.next_write == 1


def test_a_jump_ahead_moves_the_head_there() -> None:
    ch = channel()
    publish(ch, 9, b"x")
    assert ch.next_write == 10


def test_an_old_segment_never_moves_the_head_back_nor_evicts_a_newer_one() -> None:
    ch = channel()
    for seq in range(9):
        publish(ch, seq, b"x")
    old = ch.write(3)
    assert old.over
    old.feed(b"late", 0.0)
    old.finish()
    assert ch.next_write == 9
    assert [s.seq for s in ch.segments] == [4, 5, 6, 7, 8]


def test_a_skipped_segment_may_still_be_written_without_moving_the_head_back() -> None:
    ch = channel()
    publish(ch, 2, b"x")
    late = publish(ch, 1, b"late")
    assert late.chunks == [b"late"]
    assert ch.next_write == 3


# -- resuming, repeating, resetting --------------------------------------------------------------------------------


def test_a_publisher_that_comes_back_appends() -> None:
    ch = channel()
    ch.write(0).feed(b"one", 0.0)
    segment = publish(ch, 0, b"two")
    assert segment.chunks == [b"one", b"two"]


def test_data_for_a_finished_segment_is_dropped() -> None:
    ch = channel()
    publish(ch, 0, b"x")
    publish(ch, 1, b"x")
    again = ch.write(0)
    assert again.over
    again.feed(b"again", 0.0)
    again.finish()
    assert again.segment.chunks == [b"x"]
    assert ch.next_write == 2


def test_two_publishers_of_one_segment_interleave() -> None:
    ch = channel()
    one, two = ch.write(0), ch.write(0)
    one.feed(b"a", 0.0)
    two.feed(b"b", 0.0)
    one.feed(b"c", 0.0)
    assert one.segment.chunks == [b"a", b"b", b"c"]


def test_reset_closes_older_segments_and_leaves_later_ones() -> None:
    ch = channel()
    for seq in range(3):
        publish(ch, seq, b"x")
    hung, ahead = ch.write(3), ch.write(5)
    hung.feed(b"x", 0.0)
    now = ch.write(4, reset=True)
    assert hung.over
    assert not now.over
    assert not ahead.over


def test_without_reset_a_dropped_segment_stays_open() -> None:
    ch = channel()
    hung = ch.write(0)
    hung.feed(b"x", 0.0)
    ch.write(1)
    assert not hung.over


# -- closing -------------------------------------------------------------------------------------------------------


def test_a_deleted_preconnect_lets_its_readers_go_on_to_the_next() -> None:
    ch = channel()
    writing = ch.write(0)
    ch.delete_segment(0)
    assert writing.over
    writing.finish()
    assert ch.next_write == 1
    assert ch.read(1).segment is not None


def test_closing_the_channel_closes_every_segment_and_is_visible_first() -> None:
    ch = channel()
    seen = []
    writing = ch.write(0)
    with writing.segment.watch(lambda: seen.append(ch.closed)):
        ch.close()
    assert seen == [True]
    assert writing.over
    assert ch.read(1).segment is None
    assert ch.write(1).over


# -- segments ------------------------------------------------------------------------------------------------------


def test_watchers_wake_at_every_append_and_at_the_close_only_while_they_watch() -> None:
    segment = Segment(0)
    calls = []
    with segment.watch(lambda: calls.append((segment.size, segment.closed))):
        segment.append(b"ab")
        segment.append(b"c")
        segment.close()
        segment.close()
    segment.append(b"d")
    assert calls == [(2, False), (3, False), (3, True)]


def test_a_watcher_may_leave_while_it_is_called() -> None:
    segment = Segment(0)
    calls = []
    with segment.watch(lambda: calls.append(1)):
        segment.append(b"x")
    segment.append(b"x")
    assert calls == [1]


def test_readers_share_the_very_same_bytes() -> None:
    ch = channel()
    data = bytes(1000)
    publish(ch, 0, data)
    one, two = ch.read(0).segment, ch.read(0).segment
    assert one is not None
    assert two is not None
    assert one.chunks[0] is data is two.chunks[0]


def test_a_segment_that_grows_too_large_is_refused_and_closed() -> None:
    ch = channel(max_segment_bytes=1000)
    writing = ch.write(0)
    writing.feed(bytes(900), 0.0)
    with pytest.raises(Refused) as caught:
        writing.feed(bytes(100), 0.0)
    assert caught.value.status == 413
    assert writing.over


def test_a_flood_of_tiny_chunks_meets_the_same_bound() -> None:
    writing = channel(max_segment_bytes=1000).write(0)
    with pytest.raises(Refused):
        for _ in range(1000):
            writing.feed(b"x", 0.0)
    assert writing.segment.size < 20


# -- everything at once --------------------------------------------------------------------------------------------

operations = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(-1, 12), st.booleans()),
        st.tuples(st.just("feed"), st.integers(0, 20), st.binary(max_size=3)),
        st.tuples(st.just("finish"), st.integers(0, 20), st.none()),
        st.tuples(st.just("read"), st.integers(-2, 12), st.none()),
        st.tuples(st.just("delete"), st.integers(0, 12), st.none()),
        st.tuples(st.just("close"), st.none(), st.none()),
    ),
    max_size=60,
)


@given(operations)
def test_no_sequence_of_requests_breaks_the_invariants(steps: list[tuple[str, int, object]]) -> None:
    ch = channel()
    writings = []
    known: dict[int, Segment] = {}
    contents: dict[int, list[bytes]] = {}
    for kind, number, extra in steps:
        head = ch.next_write
        try:
            if kind == "write":
                writings.append(ch.write(number, reset=bool(extra)))
                assert number == -1 or writings[-1].seq == number
            elif kind == "feed" and writings:
                writing = writings[number % len(writings)]
                writing.feed(extra, 0.0)  # type: ignore[arg-type]
                assert writing.over or not extra or ch.next_write > writing.seq
            elif kind == "finish" and writings:
                writing = writings[number % len(writings)]
                writing.finish()
                assert writing.over
            elif kind == "read":
                reading = ch.read(number)
                assert reading.seq >= 0
                assert reading.latest == ch.next_write
                if reading.segment is None:
                    assert ch.closed or reading.seq != ch.next_write
                else:
                    assert reading.segment.seq == reading.seq
            elif kind == "delete":
                ch.delete_segment(number)
            elif kind == "close":
                ch.close()
        except Refused as refusal:
            assert kind == "delete"
            assert refusal.status == 400
        assert ch.next_write >= head
        ring = ch.segments
        assert len(ring) <= RING_SEGMENTS
        assert len({s.seq % RING_SEGMENTS for s in ring}) == len(ring)
        assert not ch.closed or all(s.closed for s in ring)
        for segment in ring:
            known[id(segment)] = segment
        for key, segment in known.items():
            before = contents.get(key, [])
            assert segment.chunks[: len(before)] == before  # append only
            assert segment.size == sum(map(len, segment.chunks))
            assert segment.closed or segment in ring  # whatever left the ring was closed
            contents[key] = list(segment.chunks)
