"""From what a user types to what is played."""

from __future__ import annotations

from pathlib import Path

import pytest
from kit import CLIP

from byoc_nb.network.source import Source, SourceError
from byoc_nb.network.sources.kinds import open_feed


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (str(CLIP), "file"),
        (CLIP, "file"),
        ("testsrc", "testsrc"),
        ("-", "stdin"),
        ("webcam", "webcam"),
        (lambda: iter(()), "generator"),
        ([], "generator"),
    ],
)
def test_the_kind(spec, kind):
    feed = open_feed(spec, size=None, fps=None, loop=True)
    assert feed.kind == kind
    feed.close()


@pytest.mark.parametrize("spec", ["", "nowhere.mp4", "~/no/where", Path("no/where"), "testsrc2", "webcam0"])
def test_a_wrong_one_says_what_is_possible(spec):
    with pytest.raises(SourceError) as caught:
        Source(spec)
    line = caught.value.one_line()
    assert all(word in line for word in ("video file", "folder of images", "rtmp", "trickle+http", "testsrc", "webcam"))
    assert "\n" not in line


@pytest.mark.parametrize("spec", [None, 5, 2.5, object()])
def test_what_is_nothing_to_play(spec):
    with pytest.raises(SourceError, match="gives no frames"):
        Source(spec)


@pytest.mark.parametrize(
    "options",
    [{"size": (0, 0)}, {"size": (-2, 4)}, {"size": (96, 100_000)}, {"fps": -5.0}, {"fps": 0.0}, {"fps": float("nan")}],
)
def test_a_size_or_a_rate_that_no_picture_has_is_refused(options):
    with pytest.raises(SourceError, match="can't") as caught:
        Source("testsrc", **options)
    assert caught.value.hint
