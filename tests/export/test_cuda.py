"""Which image a version of torch asks for."""

from __future__ import annotations

import pytest

from byoc_nb.export.cuda import CUDA, TORCH, CudaError, platform


def test_torch_from_the_index_brings_its_own_cuda() -> None:
    found = platform("2.13.0", python="3.11")
    assert (found.cuda, found.index, found.warning) == ("13.0", "", "")
    assert found.base.startswith("nvidia/cuda:13.0.")
    assert found.driver == "580.65.06"


def test_another_cuda_comes_from_its_own_index() -> None:
    found = platform("2.8.0", python="3.11", cuda="12.6")
    assert found.index == "https://download.pytorch.org/whl/cu126"
    assert found.base.startswith("nvidia/cuda:12.6.")
    assert not found.warning


def test_the_cpu_needs_no_cuda() -> None:
    assert platform("", python="3.12", cpu=True).base == "python:3.12-slim"
    assert platform("2.8.0", python="3.12", cpu=True).index == "https://download.pytorch.org/whl/cpu"


def test_a_torch_that_is_not_in_the_table_gives_a_warning_and_an_image() -> None:
    found = platform("9.1.0", python="3.11")
    assert "torch 9.1.0 isn't in the table of" in found.warning
    assert found.base.startswith("nvidia/cuda:")


def test_a_build_that_is_not_in_the_table_gives_a_warning() -> None:
    assert "only for 12.6, 12.8, 12.9" in platform("2.8.0", python="3.11", cuda="13.0").warning


def test_a_base_image_is_taken_as_it_is() -> None:
    assert platform("2.8.0", python="3.11", base="mine:1").base == "mine:1"


def test_what_cannot_be_is_told() -> None:
    with pytest.raises(CudaError, match=r"CUDA 7\.5") as caught:
        platform("", python="3.11", cuda="7.5")
    assert "12.8" in caught.value.hint
    with pytest.raises(CudaError, match="with CUDA or for the CPU"):
        platform("", python="3.11", cuda="12.8", cpu=True)


@pytest.mark.parametrize("torch", TORCH)
def test_every_torch_of_the_table_has_an_image(torch: str) -> None:
    own, builds = TORCH[torch]
    assert own in builds
    assert platform(f"{torch}.1", python="3.11").base.removeprefix("nvidia/cuda:") in {tag for tag, _ in CUDA.values()}
