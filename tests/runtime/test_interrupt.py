"""Interrupts that wait."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from byoc_nb.runtime.interrupt import interrupted_afterwards


def test_an_interrupt_is_raised_at_the_end_of_the_outermost_block_and_once():
    done = []
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interrupted_afterwards():
        with interrupted_afterwards():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("inner")
        done.append("outer")
    assert done == ["inner", "outer"]
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_one_breaks_it_off():
    done = []
    with pytest.raises(KeyboardInterrupt), interrupted_afterwards():
        os.kill(os.getpid(), signal.SIGINT)
        done.append("after the first")
        os.kill(os.getpid(), signal.SIGINT)
        done.append("never")
    assert done == ["after the first"]


def test_what_the_block_raises_is_the_interrupts_context():
    with pytest.raises(KeyboardInterrupt) as caught, interrupted_afterwards():
        os.kill(os.getpid(), signal.SIGINT)
        raise ValueError("broken")
    assert isinstance(caught.value.__context__, ValueError)


def test_another_thread_leaves_the_handler_alone():
    seen = []

    def work():
        with interrupted_afterwards():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGINT)]


def test_a_program_that_ignores_interrupts_goes_on_doing_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupted_afterwards():
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
