"""What a reload says of itself, and the trial of a new processor."""

import pytest

from byoc_nb.runtime.reload import TRIAL_FAILURES, TRIAL_FRAMES, Reload, Trial


@pytest.mark.parametrize(
    ("reload", "line"),
    [
        (Reload("a", 0.0029, True, 0), "reloaded in 3 ms · model kept · params kept · 0 frames lost"),
        (
            Reload("a", 2.14, False, 1, "load_model changed", {"strength": "0.9 → 0.4", "speed": "no longer declared"}),
            "reloaded in 2.1 s · model loaded again (load_model changed) · "
            "params: strength 0.9 → 0.4, speed no longer declared · 1 frame lost",
        ),
    ],
)
def test_one_line_says_what_happened(reload, line):
    assert str(reload) == repr(reload) == line
    reload.settle(ValueError("no"))
    assert str(reload) == line + "\nrolled back: ValueError: no"
    assert reload.traceback == "ValueError: no\n"


def test_a_listener_hears_of_a_rollback_whenever_it_comes():
    heard = []
    early, late, good = (Reload("a", 0, True, 0) for _ in range(3))
    early.on_rollback(heard.append)
    early.settle(ValueError("x"))
    late.settle(ValueError("y"))
    late.on_rollback(heard.append)
    good.on_rollback(heard.append)
    good.settle()
    assert heard == [early, late]
    assert all(reload.wait(0) for reload in (early, late, good))


class Verdict:
    def __init__(self):
        self.said = []
        self.trial = Trial(lambda: self.said.append("passed"), lambda error: self.said.append(str(error)))


def test_three_errors_in_ten_frames_are_too_many():
    verdict = Verdict()
    for number in range(TRIAL_FRAMES):
        verdict.trial.frame(ValueError(number) if number in (2, 5, 9) else None)
    assert verdict.said == ["9"]


def test_two_are_not_and_later_ones_do_not_count():
    verdict = Verdict()
    for number in range(50):
        verdict.trial.frame(ValueError(number) if number in (0, 1) or number >= TRIAL_FRAMES else None)
    assert verdict.said == ["passed"]


def test_a_verdict_is_given_once():
    verdict = Verdict()
    verdict.trial.accept()
    for _ in range(TRIAL_FAILURES):
        verdict.trial.frame(ValueError())
    verdict.trial.accept()
    assert verdict.said == ["passed"]
