"""What a JPEG says of itself."""

from __future__ import annotations

import random

import pytest
from test_source_webcam import announced, jpeg

from byoc_nb.network.sources.jpeg import size_of


def test_the_size():
    assert size_of(jpeg(size=(96, 64))) == (96, 64)
    assert size_of(announced(65535, 1)) == (65535, 1)


@pytest.mark.parametrize("marker", [0xC2, 0xC3, 0xC5, 0xC9, 0xCF])
def test_what_is_not_baseline(marker):
    with pytest.raises(ValueError, match="isn't baseline"):
        size_of(announced(96, 64, marker))


def test_whatever_comes_ends_in_a_size_or_a_value_error():
    whole, dice = jpeg(), random.Random(5)
    for _ in range(3000):
        data = bytearray(whole[: dice.randrange(len(whole))])
        for _ in range(dice.randrange(4)):
            if data:
                data[dice.randrange(len(data))] = dice.randrange(256)
        try:
            assert all(0 <= side < 65536 for side in size_of(bytes(data)))
        except ValueError as error:
            assert "JPEG" in str(error)
