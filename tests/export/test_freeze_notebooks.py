"""Whole notebooks: frozen, run in a clean process, and compared with what the kernel gave."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from freeze_kit import CLEAN, FIXTURES, Fixture, pictures, run_fixture, text_of, write

from byoc_nb.export.freeze import FreezeError, check

GOOD = [fixture for fixture in FIXTURES if fixture.expected["expect"] == ["ok"]]
BAD = [fixture for fixture in FIXTURES if fixture not in GOOD]


def name_of(fixture: Fixture) -> str:
    return fixture.name


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[object, object]]:
    """For each good notebook what the kernel gave and what the clean process gave."""
    root = tmp_path_factory.mktemp("frozen")
    here: dict[str, object] = {}
    for fixture in GOOD:
        notebook = root / fixture.name / "notebook"
        notebook.mkdir(parents=True)
        with run_fixture(fixture, notebook) as kernel:
            try:
                write(kernel.freeze(), root / fixture.name / "export")
                here[fixture.name] = pictures(kernel.namespace["P"])
            except Exception as error:
                here[fixture.name] = f"{type(error).__name__}: {error}"
    folders = [str(root / name / "export") for name, said in here.items() if not isinstance(said, str)]
    done = subprocess.run(
        [sys.executable, "-c", CLEAN, str(Path(__file__).parent), *folders], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    there = {Path(folder).parent.name: said for folder, said in json.loads(done.stdout.splitlines()[-1]).items()}
    return {name: (said, there.get(name)) for name, said in here.items()}


def test_there_are_notebooks_of_every_kind() -> None:
    assert len(GOOD) >= 25
    assert len(BAD) >= 10


@pytest.mark.parametrize("fixture", GOOD, ids=name_of)
def test_a_frozen_notebook_does_what_the_kernel_did(
    fixture: Fixture, compared: dict[str, tuple[object, object]]
) -> None:
    here, there = compared[fixture.name]
    assert there == here


@pytest.mark.parametrize("fixture", GOOD, ids=name_of)
def test_the_text_has_what_is_needed_and_no_more(fixture: Fixture, tmp_path: Path) -> None:
    with run_fixture(fixture, tmp_path) as kernel:
        frozen = kernel.freeze()
    for text in fixture.expected.get("has", []):
        assert text in text_of(frozen)
    for text in fixture.expected.get("lacks", []):
        assert text not in text_of(frozen)
    assert {finding.id for finding in frozen.warnings} == set(fixture.expected.get("warns", []))


@pytest.mark.parametrize("fixture", BAD, ids=name_of)
def test_a_notebook_that_cant_stand_alone_is_refused_with_its_line(fixture: Fixture, tmp_path: Path) -> None:
    (expected,) = fixture.expected["expect"]
    _, id, place = expected.split(" ", 2)
    with run_fixture(fixture, tmp_path) as kernel:
        with pytest.raises(FreezeError) as caught:
            kernel.freeze()
        found = check(kernel.notebook, "P", kernel.namespace)
    error = caught.value
    assert (error.finding.id, error.finding.place) == (id, place), error.one_line()
    assert error.hint
    assert "\n" not in error.one_line()
    assert error.finding in found
