"""Queues that cross threads and loops, and a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys
import threading
import time
from collections import deque
from concurrent.futures import CancelledError, ThreadPoolExecutor

import pytest
from kit import WAIT, ours, until

from byoc_nb.runtime.threads import Closed, CrossQueue, LoopThread


@pytest.fixture
def loop_thread(no_thread_left):
    thread = LoopThread("byoc-test")
    yield thread
    thread.stop()


# ---- the queue


def test_first_in_first_out_between_two_threads():
    queue = CrossQueue(3)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: [queue.get() for _ in range(1000)])
        for number in range(1000):
            queue.put(number)
        assert reading.result(WAIT) == list(range(1000))


@pytest.mark.parametrize("reader", ["thread", "loop"])
@pytest.mark.parametrize("writer", ["thread", "loop"])
def test_nothing_is_lost_or_doubled_between_many_of_both_kinds(reader, writer):
    queue, found, lock, count = CrossQueue(5), [], threading.Lock(), 500

    def read():
        try:
            while True:
                item = queue.get()
                with lock:
                    found.append(item)
        except Closed:
            pass

    async def aread():
        try:
            while True:
                found.append(await queue.aget())
        except Closed:
            pass

    def write(base):
        for number in range(count):
            queue.put(base + number)

    async def awrite(base):
        for number in range(count):
            await queue.aput(base + number)

    with ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(read if reader == "thread" else lambda: asyncio.run(aread())) for _ in range(3)]
        writers = [
            pool.submit(write, n * count)
            if writer == "thread"
            else pool.submit(lambda n=n: asyncio.run(awrite(n * count)))
            for n in range(4)
        ]
        for future in writers:
            future.result(WAIT)
        queue.close()
        for future in readers:
            future.result(WAIT)
    assert sorted(found) == list(range(4 * count))


def test_a_writer_waits_for_room_by_weight():
    queue, put = CrossQueue(10, weigh=len), threading.Event()
    queue.put(b"123456")
    queue.put(b"123456")  # the bound is passed by one item at most
    writer = threading.Thread(target=lambda: (queue.put(b"x"), put.set()))
    writer.start()
    assert not put.wait(0.05)
    queue.get()
    assert put.wait(WAIT)
    writer.join()
    assert len(queue) == 2


def test_an_item_heavier_than_the_bound_goes_through_an_empty_queue():
    queue = CrossQueue(10, weigh=len)
    queue.put(b"x" * 100)
    assert queue.get() == b"x" * 100
    queue.put(b"y" * 100)
    assert len(queue) == 1


def test_items_without_weight_never_wait():
    queue = CrossQueue(1, weigh=len)
    queue.put(b"full")
    queue.put(b"")
    assert [queue.get(), queue.get()] == [b"full", b""]


def test_make_room_drops_instead_of_waiting():
    queue = CrossQueue(3, make_room=deque.popleft)
    for number in range(10):
        queue.put(number)
    assert [queue.get() for _ in range(3)] == [7, 8, 9]


def test_weights_are_right_after_make_room_and_discard():
    queue = CrossQueue(6, weigh=len, make_room=deque.clear)
    for _ in range(50):
        queue.put(b"123")
    assert len(queue) <= 2
    queue.close(discard=True)
    assert len(queue) == 0


def test_many_small_items_cost_no_more_than_few():
    queue = CrossQueue(4 << 20, weigh=len)
    began = time.perf_counter()
    for _ in range(20_000):
        queue.put(b"x" * 188)
    assert time.perf_counter() - began < 2.0


def test_closing_lets_readers_finish_what_is_there():
    queue = CrossQueue(5)
    queue.put(1)
    queue.close()
    assert queue.get() == 1
    with pytest.raises(Closed):
        queue.get()
    with pytest.raises(Closed):
        queue.put(2)


async def test_closing_wakes_everyone_who_waits():
    full, empty = CrossQueue(1), CrossQueue(1)
    full.put(0)
    with ThreadPoolExecutor(2) as pool:
        blocked = [pool.submit(full.put, 1), pool.submit(empty.get)]
        waiting = [asyncio.create_task(full.aput(1)), asyncio.create_task(empty.aget())]
        await asyncio.sleep(0)
        full.close()
        empty.close()
        for task in waiting:
            with pytest.raises(Closed):
                await asyncio.wait_for(task, WAIT)
        for future in blocked:
            with pytest.raises(Closed):
                future.result(WAIT)


async def test_closing_with_discard_drops_what_waits():
    queue = CrossQueue(5)
    await queue.aput(1)
    queue.close(discard=True)
    with pytest.raises(Closed):
        await queue.aget()


async def test_wake_makes_a_reader_ask_its_stop_condition_again():
    queue, stop = CrossQueue(5), threading.Event()
    reader = asyncio.create_task(queue.aget(stop=stop.is_set))
    await asyncio.sleep(0)
    queue.wake()
    await asyncio.sleep(0.01)
    assert not reader.done()
    stop.set()
    queue.wake()
    assert await asyncio.wait_for(reader, WAIT) is None


async def test_stop_goes_before_an_item_which_stays():
    queue = CrossQueue(5)
    queue.put(1)
    assert await queue.aget(stop=lambda: True) is None
    assert await queue.aget() == 1


async def test_a_cancelled_reader_loses_nothing():
    queue, found = CrossQueue(2), []
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [queue.put(n) for n in range(300)])
        while len(found) < 300:
            reader = asyncio.create_task(queue.aget())
            await asyncio.sleep(0)
            reader.cancel()
            try:
                found.append(await reader)
            except asyncio.CancelledError:
                await asyncio.sleep(0.0001)
        writing.result(WAIT)
    assert found == list(range(300))


async def test_a_cancelled_writer_leaves_nothing_behind():
    queue = CrossQueue(1)
    queue.put(0)
    writer = asyncio.create_task(queue.aput(1))
    await asyncio.sleep(0)
    writer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writer
    assert queue.get() == 0
    assert len(queue) == 0


async def test_cancelled_waits_on_a_silent_queue_do_not_pile_up():
    queue = CrossQueue(1)
    for _ in range(100):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(queue.aget(), 0)
        reader = asyncio.create_task(queue.aget())
        await asyncio.sleep(0)
        reader.cancel()
        await asyncio.wait([reader])
    assert len(queue._async_waiters) == 0


def test_a_reader_whose_loop_is_gone_does_not_disturb_the_writer():
    queue = CrossQueue(5)
    loop = asyncio.new_event_loop()
    reader = loop.create_task(queue.aget())
    loop.run_until_complete(asyncio.sleep(0))
    loop.call_soon(reader.cancel)
    queue._async_waiters.append((loop, loop.create_future()))  # as if it had not been told
    loop.run_until_complete(asyncio.gather(reader, return_exceptions=True))
    loop.close()
    queue.put(1)
    assert queue.get() == 1


def test_without_a_bound_no_writer_waits():
    queue = CrossQueue(1)
    queue.put(0)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(lambda: [queue.put(n) for n in range(1, 100)])
        queue.unbound()
        writing.result(WAIT)
    assert len(queue) == 100


# ---- the thread


def test_coroutines_run_on_the_thread(loop_thread):
    async def where():
        return threading.current_thread().name

    assert loop_thread.run(where()) == "byoc-test"


def test_an_exception_comes_to_the_caller_and_the_thread_goes_on(loop_thread):
    async def fail():
        raise ValueError("no")

    async def work():
        return 1

    with pytest.raises(ValueError, match="no"):
        loop_thread.run(fail())
    assert loop_thread.run(work()) == 1


def test_a_timeout_cancels_the_coroutine(loop_thread):
    ended = threading.Event()

    async def forever():
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(TimeoutError):
        loop_thread.run(forever(), 0.01)
    assert ended.wait(WAIT)


@pytest.mark.parametrize("where", ["awaited", "task of its own"])
def test_an_exit_in_a_coroutine_does_not_end_the_thread(loop_thread, where, caplog):
    tasks = []

    async def leave():
        sys.exit(3)

    async def spawn():
        tasks.append(asyncio.ensure_future(leave()))

    async def work():
        return 1

    if where == "awaited":
        with pytest.raises(SystemExit):
            loop_thread.run(leave())
    else:
        loop_thread.run(spawn())
        until(tasks[0].done)
        assert isinstance(tasks.pop().exception(), SystemExit)
    assert loop_thread.run(work(), WAIT) == 1
    assert "SystemExit" in caplog.text


def test_stop_cancels_what_runs_and_ends_the_thread(no_thread_left):
    thread, ended = LoopThread("byoc-test"), threading.Event()

    async def forever():
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    future = thread.submit(forever())
    assert thread.stop()
    assert ended.is_set() and not thread.alive
    with pytest.raises(CancelledError):
        future.result(WAIT)
    assert thread.stop(), "twice is fine"


def test_what_is_submitted_while_the_thread_ends_runs_or_is_refused_but_never_hangs(no_thread_left, recwarn):
    async def work():
        await asyncio.sleep(0)

    for _ in range(100):
        thread = LoopThread("byoc-test")
        stopping = threading.Thread(target=thread.stop)
        stopping.start()
        with contextlib.suppress(RuntimeError):
            while True:
                with contextlib.suppress(CancelledError):
                    thread.submit(work()).result(WAIT)
        stopping.join()
    gc.collect()
    assert not recwarn.list


def test_stop_right_after_the_start(no_thread_left):
    for _ in range(20):
        assert LoopThread("byoc-test").stop()


def test_stop_from_the_thread_itself_does_not_wait_for_itself(no_thread_left):
    thread = LoopThread("byoc-test")

    async def leave():
        thread.stop()

    thread.submit(leave())
    until(lambda: not thread.alive)


def test_stop_gives_up_on_a_thread_that_blocks(no_thread_left):
    thread, release, begun = LoopThread("byoc-test"), threading.Event(), threading.Event()

    async def block():
        begun.set()
        release.wait(WAIT)

    thread.submit(block())
    assert begun.wait(WAIT)
    assert not thread.stop(0.05)
    release.set()
    assert thread.stop()


def test_the_end_of_a_thread_leaves_no_warning(no_thread_left, recwarn):
    gc.collect()
    recwarn.clear()  # of what came before
    thread = LoopThread("byoc-test")
    thread.run(asyncio.sleep(0))
    thread.stop()
    del thread
    gc.collect()
    assert not recwarn.list
    assert "byoc-test" not in ours()


def test_what_waits_for_ever_is_not_lost(loop_thread):
    begun, ended = threading.Event(), threading.Event()

    async def wait() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()  # which nobody else knows
        finally:
            ended.set()

    loop_thread.submit(wait())
    assert begun.wait(WAIT)
    loop_thread.run(asyncio.sleep(0))  # by now it waits
    gc.collect()
    assert not ended.is_set()
    loop_thread.stop()
    assert ended.is_set()


async def interrupt() -> None:
    """Interrupt the main thread, once it waits."""
    while sys._current_frames()[threading.main_thread().ident].f_code.co_name != "wait":
        await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGINT)


def test_what_an_interrupt_breaks_off_has_undone_its_work(loop_thread):
    undone = threading.Event()

    async def work():
        try:
            await interrupt()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.05)
            undone.set()

    with pytest.raises(KeyboardInterrupt):
        loop_thread.run(work())
    assert undone.is_set()


def test_what_has_to_come_to_its_end_does_so_under_an_interrupt(loop_thread):
    ended = threading.Event()

    async def work():
        os.kill(os.getpid(), signal.SIGINT)  # whether the caller already waits or not
        await asyncio.sleep(0.05)
        ended.set()

    with pytest.raises(KeyboardInterrupt):
        loop_thread.finish(work(), WAIT)
    assert ended.is_set()
