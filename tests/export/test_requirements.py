"""What an export asks the package index for."""

from __future__ import annotations

from importlib import metadata

import pytest

from byoc_nb.export.requirements import RUNTIME, RequirementsError, requirements


def names(lines: list[str]) -> list[str]:
    return [line.split("==")[0] for line in lines]


def test_the_runtime_is_always_there_pinned_and_in_order() -> None:
    lines = requirements([], torch=False)
    assert names(lines) == sorted(RUNTIME)
    assert f"av=={metadata.version('av')}" in lines


def test_the_standard_library_and_byoc_nb_itself_need_nothing() -> None:
    assert requirements(["os", "asyncio", "byoc_nb", "pytrickle"], torch=False) == requirements([], torch=False)


def test_a_module_is_required_by_its_distributions_name() -> None:
    lines = requirements(["PIL", "yaml", "numpy"], torch=False)
    assert {"pillow", "pyyaml"} <= set(names(lines))
    assert names(lines).count("numpy") == 1


def test_torch_comes_without_the_local_part_of_its_version() -> None:
    (line,) = [line for line in requirements([], torch=True) if line.startswith("torch==")]
    assert "+" not in line
    assert requirements(["torch"], torch=False) == requirements([], torch=True)


def test_a_module_that_no_package_has_is_refused_by_name() -> None:
    with pytest.raises(RequirementsError, match="import my_helpers: no installed package holds it") as caught:
        requirements(["my_helpers"], torch=False)
    assert "beside the notebook is carried along" in caught.value.hint


def test_a_distribution_without_metadata_is_refused_with_what_to_type() -> None:
    with pytest.raises(RequirementsError, match="version of no-such-distribution") as caught:
        requirements([], torch=False, runtime=("aiohttp", "no-such-distribution"))
    assert caught.value.hint == "pip install no-such-distribution"


def test_another_runtime_brings_its_own_versions() -> None:
    lines = requirements(["numpy"], torch=True, runtime=("pytrickle==0.1.6", "av==14.2.0"))
    assert names(lines) == ["av", "numpy", "pytrickle", "torch"]
    assert {"pytrickle==0.1.6", "av==14.2.0"} < set(lines)
