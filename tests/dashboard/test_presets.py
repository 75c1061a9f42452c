"""Parameters under a name, in a file."""

from __future__ import annotations

import json
import threading

import pytest

from byoc_nb.dashboard.presets import NAME_LENGTH, PRESETS, PresetError, Presets, load


class Controls:
    """Takes what is within limits."""

    def __init__(self, **limits: float) -> None:
        self.limits, self.values = limits, {}

    async def change(self, number, changes):
        errors = {name: "no such parameter" for name in changes if name not in self.limits}
        errors = errors or {f"{name}.0": "too much" for name, value in changes.items() if value > self.limits[name]}
        if not errors:
            self.values |= changes
        return {"type": "changed", "number": number, "errors": errors, "values": self.values}


def test_presets_outlive_the_object_and_belong_to_a_processor(tmp_path):
    file = tmp_path / ".byoc" / "presets.json"
    presets = Presets(file)
    assert presets.of("Tint") == {}
    presets.save("Tint", "vivid", {"strength": 0.9})
    presets.save("Tint", " pale ", {"strength": 0.1})
    presets.save("Blur", "vivid", {"radius": 3})
    again = Presets(file)
    assert again.of("Tint") == {"vivid": {"strength": 0.9}, "pale": {"strength": 0.1}}
    again.save("Tint", "vivid", {"strength": 1.0})
    assert presets.get("Tint", "vivid") == {"strength": 1.0}  # the other object sees it
    presets.delete("Tint", "pale")
    assert list(again.of("Tint")) == ["vivid"] and list(again.of("Blur")) == ["vivid"]
    assert [path.name for path in file.parent.iterdir()] == ["presets.json"]


def test_what_is_not_there_is_told_with_the_nearest_name(tmp_path):
    presets = Presets(tmp_path / "presets.json")
    presets.save("Tint", "vivid", {})
    with pytest.raises(PresetError, match="no preset 'vivd'") as caught:
        presets.get("Tint", "vivd")
    assert caught.value.hint == "did you mean 'vivid'?"
    with pytest.raises(PresetError, match="no preset 'x'"):
        presets.delete("Tint", "x")


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "x" * (NAME_LENGTH + 1)])
def test_a_name_that_no_list_could_show_is_refused(tmp_path, name):
    with pytest.raises(PresetError, match="a preset's name"):
        Presets(tmp_path / "presets.json").save("Tint", name, {})


def test_their_count_is_bounded(tmp_path):
    file = tmp_path / "presets.json"
    file.write_text(json.dumps({"Tint": {str(number): {} for number in range(PRESETS)}}))
    with pytest.raises(PresetError, match="100 presets already"):
        Presets(file).save("Tint", "one more", {})
    Presets(file).save("Tint", "7", {"a": 1})


@pytest.mark.parametrize("text", ["{", "[]", '{"Tint": []}', '{"Tint": {"vivid": 3}}'])
def test_a_broken_file_is_told_and_left_alone(tmp_path, text):
    file = tmp_path / "presets.json"
    file.write_text(text)
    presets = Presets(file)
    with pytest.raises(PresetError, match="can't be read"):
        presets.save("Tint", "vivid", {})
    assert file.read_text() == text
    file.unlink()
    presets.save("Tint", "vivid", {})


def test_a_file_that_comes_in_the_folders_place_is_told(tmp_path, monkeypatch):
    presets = Presets(tmp_path / ".byoc" / "presets.json")
    monkeypatch.setattr(presets, "_read", lambda: (tmp_path / ".byoc").touch() or {})
    with pytest.raises(PresetError, match="can't be written"):
        presets.save("Tint", "vivid", {})


def test_a_folder_that_can_not_be_written_to_is_told(tmp_path):
    (tmp_path / ".byoc").write_text("a file")
    with pytest.raises(PresetError):
        Presets(tmp_path / ".byoc" / "presets.json").save("Tint", "vivid", {})


async def test_values_that_no_longer_fit_are_named_and_the_others_set():
    controls = Controls(strength=1, size=5)
    refused = await load(controls, {"strength": 0.5, "size": 9, "gone": 1})
    assert refused == {"size": "too much", "gone": "no such parameter"}
    assert controls.values == {"strength": 0.5}
    assert await load(controls, {"strength": 1.0}) == {} and controls.values == {"strength": 1.0}


async def test_values_that_only_together_do_not_fit_are_all_named():
    class Together(Controls):
        async def change(self, number, changes):
            return {"errors": {"params": "min is over max"}, "values": {}}

    assert await load(Together(), {"min": 2, "max": 1}) == dict.fromkeys(("min", "max"), "min is over max")


def test_what_has_no_place_in_the_file_is_told_and_leaves_nothing_behind(tmp_path, monkeypatch):
    presets = Presets(tmp_path / "presets.json")
    presets.save("Tint", "vivid", {"text": "kept"})
    with pytest.raises(PresetError, match="can't be written"):
        presets.save("Tint", "odd", {"text": "\ud800"})
    monkeypatch.setattr("byoc_nb.dashboard.presets.MOST_BYTES", 100)
    with pytest.raises(PresetError, match="too large"):
        presets.save("Tint", "long", {"text": "x" * 100})
    assert presets.of("Tint") == {"vivid": {"text": "kept"}}
    assert [path.name for path in tmp_path.iterdir()] == ["presets.json"]


def test_a_file_that_is_too_large_or_too_deep_is_not_read(tmp_path, monkeypatch):
    file = tmp_path / "presets.json"
    file.write_text("[" * 100_000)
    with pytest.raises(PresetError, match="can't be read"):
        Presets(file).of("Tint")
    monkeypatch.setattr("byoc_nb.dashboard.presets.MOST_BYTES", 100)
    file.write_text(json.dumps({"Tint": {}}) + " " * 100)
    with pytest.raises(PresetError, match="isn't a file of at most"):
        Presets(file).of("Tint")


def test_a_link_stays_one(tmp_path):
    link, file = tmp_path / "presets.json", tmp_path / "shared.json"
    link.symlink_to(file)
    Presets(link).save("Tint", "vivid", {"strength": 1})
    assert link.is_symlink() and Presets(file).get("Tint", "vivid") == {"strength": 1}


def test_two_threads_that_save_at_once_lose_nothing(tmp_path, monkeypatch):
    """As `%byoc preset save` does while a page saves."""
    first, second = Presets(tmp_path / "presets.json"), Presets(tmp_path / "presets.json")
    saving = threading.Thread(target=second.save, args=("Tint", "other", {}))
    write = first._write

    def meanwhile(presets):
        saving.start()
        saving.join(0.2)  # waits for us, else it is through by then
        write(presets)

    monkeypatch.setattr(first, "_write", meanwhile)
    first.save("Tint", "vivid", {})
    saving.join()
    assert set(first.of("Tint")) == {"vivid", "other"}
