"""What is streamed, and whether the same is asked for again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from byoc_nb.notebook.playing import Playing, named


def grey(level):
    return [np.full((64, 96, 3), level, np.uint8)] * 3


@pytest.mark.parametrize("made", [lambda: "testsrc", lambda: Path("clip.mp4")])
def test_the_same_name_is_the_same(made):
    assert Playing(made()).same(Playing(made()))
    assert not Playing(made()).same(Playing(made(), fps=5))
    assert not Playing(made()).same(Playing("other"))
    assert not Playing(made()).same(None)


@pytest.mark.parametrize("made", [grey, lambda level: np.full((3, 64, 96, 3), level), lambda level: iter(grey(level))])
def test_pictures_are_the_same_where_they_are_the_very_ones(made):
    pictures = made(1)
    assert Playing(pictures).same(Playing(pictures))
    assert not Playing(pictures).same(Playing(made(2)))
    assert not Playing("testsrc").same(Playing(pictures))


def test_a_name_of_the_notebook(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("clip").touch()
    names = {"clip": 1, "testsrc": 2, "made": 3}
    assert [named(name, names) for name in ("clip", "testsrc", "made", "other")] == ["clip", "testsrc", 3, "other"]
