"""What frames print."""

from __future__ import annotations

import copy
import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from byoc_nb.dashboard.prints import LONGEST, Prints


class Stream(io.StringIO):
    """As a kernel's stream, it takes another `write`."""


@pytest.fixture
def streams():
    return Stream(), Stream()


@contextmanager
def printing(monkeypatch, streams) -> Iterator[list[tuple[str, bool]]]:
    """What is taken from frames; in the test itself, since pytest sets its own streams before it."""
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    taken: list[tuple[str, bool]] = []
    prints = Prints(
        lambda: threading.current_thread().name == "frames", lambda line, error: taken.append((line, error))
    )
    prints.start()
    yield taken
    prints.stop()


def on_frames(work) -> None:
    thread = threading.Thread(target=work, name="frames")
    thread.start()
    thread.join()


def test_only_what_the_frames_thread_prints_is_taken(monkeypatch, streams):
    with printing(monkeypatch, streams) as lines:
        on_frames(lambda: print("of a", "frame"))
        on_frames(lambda: print("wrong", file=sys.stderr))
        print("of a cell")
        assert lines == [("of a frame", False), ("wrong", True)]
        assert [stream.getvalue() for stream in streams] == ["of a cell\n", ""]


def test_lines_are_taken_whole(monkeypatch, streams):
    with printing(monkeypatch, streams) as lines:

        def work():
            print("one", end=" ")
            assert lines == []
            print("line\nand", "\n", sep="", end="")
            print("10 %\r50 %\r100 %")
            print("x" * (2 * LONGEST), end="")
            print()

        on_frames(work)
        assert [line for line, _ in lines] == ["one line", "and", "100 %", "x" * LONGEST]


def test_the_stream_is_taken_for_the_one_behind_it(monkeypatch, streams):
    with printing(monkeypatch, streams) as lines:
        assert isinstance(sys.stdout, io.StringIO) and sys.stdout is not streams[0]
        assert not sys.stdout.closed
        sys.stdout.writelines(["of ", "a cell"])
        on_frames(lambda: sys.stdout.writelines(["of a ", "frame\n"]))
        assert sys.stdout.getvalue() == "of a cell" and lines == [("of a frame", False)]


def test_a_copy_is_refused_as_one_of_the_stream_is(monkeypatch, streams):
    with printing(monkeypatch, (io.TextIOWrapper(io.BytesIO()), streams[1])):
        copy.copy(sys.stdout)  # no endless recursion
        with pytest.raises(TypeError):
            copy.deepcopy(sys.stdout)


def test_a_shell_that_sets_the_streams_write_around_each_cell_is_no_hindrance(monkeypatch, streams):
    own = streams[0].write
    streams[0].write = lambda text: own(text.upper())
    with printing(monkeypatch, streams) as lines:
        print("in the cell that starts it")
        streams[0].write = own
        on_frames(lambda: print("of a frame"))
        print("later")
        assert lines == [("of a frame", False)]
        assert streams[0].getvalue() == "IN THE CELL THAT STARTS IT\nlater\n"


def test_after_the_stop_everything_is_as_before(monkeypatch, streams):
    monkeypatch.setattr(sys, "stdout", streams[0])
    monkeypatch.setattr(sys, "stderr", streams[1])
    taken = []
    prints = Prints(lambda: True, lambda line, error: taken.append(line))
    prints.start()
    prints.start()
    print("taken")
    prints.stop()
    prints.stop()
    print("not taken")
    assert taken == ["taken"] and streams[0].getvalue() == "not taken\n"
    assert sys.stdout is streams[0] and sys.stderr is streams[1]


def test_after_a_capture_it_stands_before_the_kernels_own_streams(monkeypatch, streams):
    captured, lines = Stream(), []
    monkeypatch.setattr(sys, "stderr", streams[1])
    monkeypatch.setattr(sys, "stdout", captured)  # as in a cell under %%capture
    prints = Prints(lambda: True, lambda line, error: lines.append(line))
    prints.start()
    left = sys.stdout
    sys.stdout = streams[0]
    prints.start()
    print("of a frame")
    sys.stdout = left  # as a cell that runs within a captured one leaves it
    prints.start()
    print("of another")
    assert lines == ["of a frame", "of another"]
    prints.stop()
    assert sys.stdout is captured and sys.stderr is streams[1]
