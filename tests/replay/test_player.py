"""A processor of its own, apart from every stream."""

from __future__ import annotations

import threading
import weakref
from typing import ClassVar

import numpy as np
import pytest
from kit import picture
from pydantic import BaseModel, Field
from replay_kit import Paint

from byoc_nb.frames import VideoFrame
from byoc_nb.processor import FrameProcessor
from byoc_nb.replay.player import Player, ReplayError

pytestmark = pytest.mark.usefixtures("no_thread_left")


def level(player: Player) -> int:
    """How bright the next picture becomes."""
    made = player.video(VideoFrame(picture())).made[0]
    return round(float(VideoFrame(made.picture).array.mean()))


def test_it_begins_with_the_parameters_and_takes_others_between_frames():
    with Player(Paint, {"level": 90}) as player:
        assert abs(level(player) - 90) <= 2
        player.set({"level": 180})
        assert abs(level(player) - 180) <= 2
        assert player.busy_seconds > 0


def test_parameters_that_the_processor_does_not_have_are_told():
    with Player(Paint, {"level": 999, "gone": 1}) as player:
        assert player.dropped == {"gone": "no longer declared", "level": "999 → 255"}
        player.set({"level": 20})
        assert player.dropped == {}


class Hooks(FrameProcessor):
    class Params(BaseModel):
        level: int = 1
        size: int = Field(1, json_schema_extra={"load": True})

    said: ClassVar[list[tuple[str, object]]] = []

    def load_model(self):
        self.said.append(("load", self.params.size))
        self.thread = threading.current_thread()

    def update_params(self, params):
        self.said.append(("params", params))

    def on_stream_start(self, params):
        self.said.append(("start", params))

    def on_stream_stop(self):
        self.said.append(("stop", None))

    def process_video(self, frame):
        assert threading.current_thread() is self.thread
        self.said.append(("frame", self.params.level))
        return None


def test_the_hooks_run_as_in_a_stream_and_a_load_time_parameter_loads_anew():
    Hooks.said = said = []
    with Player(Hooks, {"level": 1, "size": 1}) as player:
        player.video(VideoFrame(picture()))
        player.set({"level": 2, "size": 1})
        player.set({"level": 2, "size": 7})
        player.video(VideoFrame(picture()))
    assert said == [
        ("load", 1),
        ("params", {"level": 1, "size": 1}),
        ("start", {}),
        ("frame", 1),
        ("params", {"level": 2}),
        ("stop", None),
        ("load", 7),
        ("params", {"level": 2, "size": 7}),
        ("start", {}),
        ("frame", 2),
        ("stop", None),
    ]


def test_a_processor_that_cannot_be_loaded_is_told_with_its_line():
    class Heavy(Paint):
        def load_model(self):
            raise ValueError("no weights")

    with pytest.raises(ReplayError, match="Heavy could not be loaded once more: ValueError: no weights") as caught:
        Player(Heavy, {}).__enter__()
    assert "raise ValueError" in str(caught.value)


def test_a_function_without_declared_parameters():
    def dark(frame):
        return frame.replace_array(np.zeros_like(frame.array))

    with Player(dark, {"any": 1}) as player:
        assert level(player) <= 1


class Growing(FrameProcessor):
    """Loads up to a size of 7."""

    class Params(BaseModel):
        size: int = Field(1, json_schema_extra={"load": True})

    alive: ClassVar[weakref.WeakSet[Growing]] = weakref.WeakSet()

    def load_model(self):
        self.alive.add(self)
        assert len(self.alive) == 1, "the one before is freed first"
        if self.params.size > 7:
            raise ValueError("too big")

    def process_video(self, frame):
        return frame


def test_one_is_freed_before_another_is_loaded_and_one_that_cannot_be_is_told():
    with Player(Growing, {"size": 1}) as player:
        player.set({"size": 7})
        with pytest.raises(ReplayError, match="could not be loaded once more: ValueError: too big"):
            player.set({"size": 8})
