"""The options of an export, as a command line has them."""

from __future__ import annotations

import argparse

import pytest

from byoc_nb.export.options import add_check_options, add_export_options, add_image_options


def parsed(add: str, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(exit_on_error=False)
    if add == "export":
        add_export_options(parser)
    elif add == "check":
        add_check_options(parser)
    else:
        add_image_options(parser, add)
    return parser.parse_args(words)


def test_weights_are_asked_for_once_a_file() -> None:
    assert parsed("export", "out").weights == []
    words = ["out", "--weights", "mount", "--weights", "download=https://x.example/net.pt"]
    assert parsed("export", *words).weights == ["mount", "download=https://x.example/net.pt"]
    assert parsed("export", "out").weights == [], "nothing is left of the call before"


@pytest.mark.parametrize("words", [("--weights", "copy"), ("--weights", "download"), ("--runtime", "other")])
def test_another_way_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(argparse.ArgumentError):
        parsed("export", "out", *words)


def test_the_runtime_is_ours_unless_it_is_named() -> None:
    assert parsed("export", "out").runtime == parsed("check").runtime == "byoc_nb"
    assert parsed("check", "--runtime", "pytrickle").runtime == "pytrickle"


def test_a_build_takes_secrets() -> None:
    assert parsed("build", ".", "--secret", "id=weights_token,env=HF_TOKEN").secrets == [
        "id=weights_token,env=HF_TOKEN"
    ]
    assert parsed("build", ".").secrets == []
