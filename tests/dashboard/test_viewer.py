"""What waits for a viewer that takes nothing."""

from __future__ import annotations

import pytest

from byoc_nb.dashboard.viewer import WAITING, WAITING_BYTES, Viewer


@pytest.mark.parametrize(("size", "least"), [(1, WAITING), (1 << 20, WAITING_BYTES >> 20)])
async def test_a_viewer_that_lets_too_much_come_together_has_gone(size, least):
    viewer, message, count = Viewer(), "x" * size, 0
    for _ in range(2 * WAITING):
        viewer.put(message)
    while await viewer.next() is not None:
        count += 1
    assert least <= count <= least + 1


async def test_one_that_takes_them_may_have_any_number():
    viewer = Viewer()
    for _ in range(3 * WAITING):
        viewer.put(b"x" * (1 << 20))
        assert len(await viewer.next()) == 1 << 20
    viewer.put(b"x" * (2 * WAITING_BYTES))  # such as a snapshot of large pictures
    assert len(await viewer.next()) == 2 * WAITING_BYTES
