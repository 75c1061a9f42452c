"""What opens too late, or for nobody any more, is freed."""

from __future__ import annotations

import asyncio
import signal
import threading

import pytest
from kit import auntil, until

from byoc_nb.network.sources.feed import awaited, within

pytestmark = pytest.mark.usefixtures("no_thread_left")


@pytest.fixture
def slow():
    """A maker that is done when it is let go, and what was freed."""
    go_on, freed = threading.Event(), []

    def make():
        go_on.wait(10)
        return "made"

    yield make, freed, go_on
    go_on.set()


def test_what_is_made_and_what_it_raises():
    assert within(5, lambda: "made", pytest.fail) == "made"
    with pytest.raises(ZeroDivisionError):
        within(5, lambda: 1 // 0, pytest.fail)


def test_too_late(slow):
    make, freed, go_on = slow
    with pytest.raises(TimeoutError):
        within(0.05, make, freed.append)
    assert not freed
    go_on.set()
    until(lambda: freed == ["made"])


@pytest.mark.timeout(30)
def test_an_interrupt_is_prompt(slow):
    make, freed, go_on = slow
    timer = threading.Timer(0.1, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        within(60, make, freed.append)
    go_on.set()
    until(lambda: freed == ["made"])
    timer.join()


async def test_what_comes_after_a_coroutine_was_cancelled_is_freed(slow):
    make, freed, go_on = slow
    waiting = asyncio.create_task(awaited(make, freed.append))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not freed
    go_on.set()
    await auntil(lambda: freed == ["made"])
    assert await awaited(lambda: "made", pytest.fail) == "made"
