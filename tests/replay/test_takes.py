"""The folder of a take."""

from __future__ import annotations

import json

import pytest
from replay_kit import make_take

from byoc_nb.replay.takes import PARAMS, Take, TakeError, Version, check_folder, since


def test_a_take_comes_back_as_it_was_saved(tmp_path):
    made = make_take(tmp_path / "take", {0: 40, 30: 200})
    assert Take.load(tmp_path / "take") == made
    assert str(made) == f"{tmp_path / 'take'}: 2.0 s · 60 frames · 1 change · the stream ended"


def test_a_version_has_the_hash_of_its_text():
    assert Version.of("A", 1, "text").sha256 == Version.of("B", 2, "text").sha256 != Version.of("A", 1, "other").sha256
    assert Version.of("A").sha256 == ""


def test_times_are_compared_over_the_end_of_their_clock():
    assert since((1 << 33) - 10, 5) == 15
    assert since(5, (1 << 33) - 10) == -15
    assert since(3 << 33, 7) == 7


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: data.update(format=99), "another version"),
        (lambda data: data.update(timeline=[]), "no timeline"),
        (lambda data: data.pop("first"), "damaged"),
        (lambda data: data.update(timeline=[{"pts": 1}]), "damaged"),
    ],
)
def test_a_damaged_take_is_told_in_one_line(tmp_path, damage, said):
    make_take(tmp_path / "take", {0: 40})
    file = tmp_path / "take" / PARAMS
    data = json.loads(file.read_text())
    damage(data)
    file.write_text(json.dumps(data))
    with pytest.raises(TakeError, match=said) as caught:
        Take.load(tmp_path / "take")
    assert caught.value.hint


def test_a_folder_without_a_take(tmp_path):
    with pytest.raises(TakeError, match="holds no take"):
        Take.load(tmp_path)


def test_where_a_take_can_be_written(tmp_path):
    check_folder(tmp_path / "new")
    make_take(tmp_path / "take", {0: 40})
    check_folder(tmp_path / "take")
    (tmp_path / "work").mkdir()
    check_folder(tmp_path / "work")
    (tmp_path / "work" / "thesis.txt").touch()
    for folder, said in [
        (tmp_path / "work", "holds other files"),
        (tmp_path / "work" / "thesis.txt", "is a file"),
        (tmp_path / "no" / "take", "there is no folder"),
    ]:
        with pytest.raises(TakeError, match=said):
            check_folder(folder)


@pytest.mark.parametrize(
    "damage",
    [
        {"first": "a"},
        {"timeline": [{"pts": "soon", "version": 0, "values": {}}]},
        {"timeline": [{"pts": 0, "version": 0, "values": [1]}]},
        {"timeline": [{"pts": 0, "version": 4, "values": {}}]},
        {"timeline": 5},
        {"versions": [{"name": {}}]},
        {"schema": "none"},
    ],
)
def test_a_take_made_by_hand_is_refused_where_it_does_not_fit(tmp_path, damage):
    make_take(tmp_path / "take", {0: 40})
    file = tmp_path / "take" / PARAMS
    file.write_text(json.dumps(json.loads(file.read_text()) | damage))
    with pytest.raises(TakeError, match="is damaged") as caught:
        Take.load(tmp_path / "take")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[" * 100_000, "[]", "nothing", '"text"'])
def test_what_is_no_take_at_all_is_refused(tmp_path, text):
    make_take(tmp_path / "take", {0: 40})
    (tmp_path / "take" / PARAMS).write_text(text)
    with pytest.raises(TakeError, match="is damaged"):
        Take.load(tmp_path / "take")
