"""What Python code gives as a source."""

from __future__ import annotations

import itertools
import threading
import time

import numpy as np
import pytest
import torch
from feed_kit import playing
from kit import CLOCK, auntil

from byoc_nb.network.source import Source, SourceError
from byoc_nb.network.sources.generator import GeneratorFeed

pytestmark = pytest.mark.usefixtures("no_thread_left")


def grey(level, shape=(64, 96, 3), dtype=np.uint8):
    return np.full(shape, level, dtype)


def levels(pictures):
    return [round(float(picture.array.mean()) / 10) * 10 for picture in pictures]


async def test_every_layout_and_type(trickle):
    given = [
        grey(60),
        grey(60, (3, 64, 96)),
        grey(60, (1, 64, 96, 4)),
        grey(60, (64, 96)),
        grey(60, (64, 96, 1)),
        grey(60 / 255, dtype=np.float32),
        grey(60 / 255, dtype=np.float64),
        grey(60, dtype=np.int64),
        grey(60, (64, 192, 3))[:, ::2],
        torch.from_numpy(grey(60)),
        torch.full((1, 3, 64, 96), 60 / 255),
        torch.full((64, 96, 3), 60 / 255, requires_grad=True),
    ]
    source = Source(given, loop=False)
    assert source.describe().items() >= {"kind": "generator", "spec": "list", "fps": 30.0, "loop": False}.items()
    async with playing(trickle, source, to_its_end=True) as made:
        pass
    assert made.error is None
    assert levels(made.pictures) == [60] * len(given)
    assert [picture.timestamp for picture in made.pictures] == [3000 * n for n in range(len(given))]


async def test_a_callable_begins_again_and_runs_on_no_thread_of_ours(trickle):
    threads, ended = set(), []

    def waves():
        threads.add(threading.current_thread().name)
        try:
            for level in (40, 120, 200):
                yield grey(level)
        finally:
            ended.append(threading.current_thread().name)

    source = Source(waves, fps=50)
    assert source.spec == "waves"
    async with playing(trickle, source) as made:
        await made.sent(8)
    assert levels(made.pictures)[:6] == [40, 120, 200] * 2
    assert threads == {"byoc-feed"} == set(ended), "also its last lines ran there"
    assert {b.timestamp - a.timestamp for a, b in itertools.pairwise(made.pictures)} == {1800}


async def test_an_iterator_ends(trickle):
    source = Source(grey(level) for level in (50, 100))
    assert not source.describe()["loop"]
    async with playing(trickle, source, to_its_end=True) as made:
        pass
    assert levels(made.pictures) == [50, 100]
    assert trickle.server.names() == []


async def test_one_buffer_may_be_drawn_on_again_and_again(trickle):
    def drawn():
        buffer = grey(0)
        for level in range(20, 220, 20):
            buffer[:] = level
            yield buffer

    async with playing(trickle, Source(drawn, loop=False, fps=100), to_its_end=True) as made:
        pass
    assert levels(made.pictures) == list(range(20, 220, 20))


async def test_other_sizes_later_and_values_that_are_no_numbers(trickle):
    def odd():
        yield grey(100)
        yield grey(100, (31, 301, 3))
        yield grey(100, (480, 640, 3))
        yield np.full((64, 96, 3), np.nan)
        yield np.full((64, 96, 3), np.inf)

    async with playing(trickle, Source(odd, loop=False), to_its_end=True) as made:
        pass
    assert made.error is None
    assert levels(made.pictures) == [100, 100, 100, 0, 260]
    assert {(picture.width, picture.height) for picture in made.pictures} == {(96, 64)}


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (None, "NoneType"),
        ("rubbish", "not str"),
        (np.zeros((5, 5, 2), np.uint8), r"\[5, 5, 2\]"),
        (np.zeros((64, 96, 3), complex), "complex128"),
        (np.zeros((0, 0, 3), np.uint8), "too small"),
        (np.full((64, 96, 3), 200.0), "divide it by 255"),
    ],
)
async def test_what_is_no_picture_ends_it_with_one_error_that_has_the_line(trickle, bad, said):
    def wrong():
        yield grey(100)
        yield bad

    source = Source(wrong)
    async with playing(trickle, source, to_its_end=True) as made:
        pass
    assert isinstance(made.error, SourceError)
    line = wrong.__code__.co_firstlineno + 2
    with pytest.raises(SourceError, match=rf"wrong gave no picture as frame 1: .*{said}.*\(line {line} of wrong\)"):
        raise made.error
    assert len(made.pictures) == 1, "what came before went through"
    assert source.describe()["error"] == made.error.one_line()


async def test_what_it_raises(trickle):
    def broken():
        yield grey(100)
        raise RuntimeError("no more\nfilm")

    async with playing(trickle, Source(broken), to_its_end=True) as made:
        pass
    assert "broken raised RuntimeError: no more film (line" in made.error.one_line()


@pytest.mark.parametrize("given", [b"bytes", {"a": 1}, 5, None, grey(1), [], lambda: 5, lambda: iter(())])
async def test_what_gives_no_frames(trickle, given):
    try:
        source = Source(given)
    except SourceError as error:
        assert "\n" not in error.one_line()
        return
    async with playing(trickle, source, to_its_end=True) as made:
        pass
    assert isinstance(made.error, SourceError)


def test_an_async_generator():
    async def later():
        yield grey(1)

    for given in (later, later()):
        with pytest.raises(SourceError, match="is async"):
            Source(given)


async def test_one_that_is_too_slow_is_shown_when_its_pictures_come(trickle):
    turn = threading.Event()

    def slow():
        while True:
            yield grey(100)
            turn.wait(0.2)

    async with playing(trickle, Source(slow, fps=50)) as made:
        await made.sent(6)
        turn.set()
    steps = [b.timestamp - a.timestamp for a, b in itertools.pairwise(made.pictures[:5])]
    assert min(steps) > 0.15 * CLOCK


async def test_one_that_hangs_holds_nobody_up(trickle):
    hangs, go_on = threading.Event(), threading.Event()

    def stuck():
        yield grey(100)
        hangs.set()
        go_on.wait(20)

    async with playing(trickle, Source(stuck)) as made:
        await auntil(hangs.is_set)
        at = time.monotonic()
    assert time.monotonic() - at < 1.0
    assert made.error is None
    go_on.set()


def test_an_iterator_that_was_used_up_is_told():
    given = iter([])
    with pytest.raises(SourceError, match="gave no picture") as caught:
        list(GeneratorFeed(given, fps=None, loop=True).frames())
    assert "give the function that makes it" in caught.value.hint
