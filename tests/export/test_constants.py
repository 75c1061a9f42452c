"""Arrays and dicts of them, written beside the program and read back by its own text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from byoc_nb.export import constants


def read_back(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    constants.write(values, folder)
    program: dict[str, Any] = {"__file__": str(folder / "processor.py")}
    exec(constants.lines(values), program)
    return {name: program[name] for name in values}


def test_arrays_and_tensors_come_back_as_they_were(tmp_path: Path) -> None:
    values = {
        "curve": np.arange(6, dtype=np.uint8).reshape(2, 3)[:, ::2],
        "noise": torch.rand(2, 2).half(),
        "learned": torch.ones(2, requires_grad=True),
    }
    found = read_back(values, tmp_path)
    assert found["curve"].dtype == np.uint8 and found["curve"].tolist() == [[0, 2], [3, 5]]
    assert torch.equal(found["noise"], values["noise"]) and found["noise"].dtype == torch.float16
    assert found["learned"].requires_grad


def test_a_state_dict_comes_back_with_its_order_and_fits_the_model(tmp_path: Path) -> None:
    net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    state = net.state_dict()
    found = read_back({"state": state, "other": np.ones(1)}, tmp_path)
    assert list(found["state"]) == list(state)
    again = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    again.load_state_dict(found["state"])
    assert all(torch.equal(one, two) for one, two in zip(net.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"a": np.ones(2)}, True),
        ({"a": torch.ones(2), "b": torch.ones(1)}, True),
        ({"a": torch.ones(2), "b": np.ones(1)}, False),
        ({"a": 1}, False),
        ({1: np.ones(2)}, False),
        ({}, False),
        ({"a": torch.nn.Parameter(torch.ones(1))}, False),
        (np.array(["a"]), False),
        ([np.ones(2)], False),
    ],
)
def test_what_can_be_kept(value: object, kept: bool) -> None:
    assert constants.is_kept(value) is kept


def test_sizes_are_of_all_numbers() -> None:
    assert constants.size_of({"a": np.ones(2), "b": np.ones(3)}) == 40
    assert not constants.is_on_gpu({"a": torch.ones(2)})
