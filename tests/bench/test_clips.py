"""The clip: whole segments, a slice a picture, every picture numbered, on one clock from lap to lap."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from kit import CLIP, decode

from byoc_nb.bench import stamp
from byoc_nb.bench.clips import CLOCK, FPS, SEGMENT_PICTURES, START, Clip, ClipError
from byoc_nb.bench.pictures import PictureEnds


def test_the_clip_goes_on_with_numbered_pictures_and_sound(clip: Clip) -> None:
    segments = list(itertools.islice(clip.segments(), 3))
    assert [len(segment) for segment in segments] == [SEGMENT_PICTURES] * 3
    pictures, sounds = decode(b"".join(itertools.chain(*segments)))
    assert [frame.timestamp for frame in pictures] == [START + n * CLOCK // FPS for n in range(3 * SEGMENT_PICTURES)]
    shown = [stamp.read(frame.to_av()) for frame in pictures]
    assert shown == [stamp.Stamp(n % clip.pictures, negative=False) for n in range(3 * SEGMENT_PICTURES)]
    assert sum(sound.nb_samples for sound in sounds) == pytest.approx(6 * 48_000, rel=0.01)


def test_each_segment_stands_alone_and_a_clip_may_begin_in_its_middle(clip: Clip) -> None:
    (second,) = itertools.islice(clip.segments(1), 1)
    pictures, _ = decode(b"".join(second))
    assert len(pictures) == SEGMENT_PICTURES
    assert stamp.read(pictures[0].to_av()) == stamp.Stamp(SEGMENT_PICTURES, negative=False)


def test_a_slice_ends_with_the_last_byte_of_its_picture(clip: Clip) -> None:
    (segment,) = itertools.islice(clip.segments(), 1)
    data = b"".join(segment)
    starts = [0, *itertools.accumulate(map(len, segment))]
    ends = [end for _, end in PictureEnds().feed(data, last=True)]
    assert ends[:-1] == starts[1:-1]
    assert starts[-2] < ends[-1] <= len(data)


def test_picture_ends_are_the_same_however_the_bytes_come(clip: Clip) -> None:
    data = b"".join(itertools.chain(*itertools.islice(clip.segments(), 2)))
    whole = list(PictureEnds().feed(data, last=True))
    assert [pts for pts, _ in whole] == [START + n * CLOCK // FPS for n in range(2 * SEGMENT_PICTURES)]
    chance, finder, found, at = random.Random(1), PictureEnds(), [], 0
    while at < len(data):
        step = chance.randrange(1, 3000)
        found += finder.feed(data[at : at + step])
        at += step
    found += finder.feed(b"", last=True)
    assert found == whole


def test_what_is_no_video_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("no video")
    with pytest.raises(ClipError, match=r"note\.txt can't be used"):
        Clip(tmp_path / "note.txt", (640, 480), seconds=2)


def test_a_length_that_is_no_whole_segment_is_refused() -> None:
    with pytest.raises(ValueError, match="whole segments"):
        Clip(CLIP, (640, 480), seconds=3)
