"""FrameProcessor: what the base class gives, and loading once."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pytest
from pydantic import BaseModel, Field

from byoc_nb import FrameProcessor
from byoc_nb.params import ParamsError
from byoc_nb.processor import call, ensure_loaded, method


class Tint(FrameProcessor):
    class Params(BaseModel):
        strength: float = Field(0.3, ge=0, le=1)


def test_params_are_there_before_init_and_without_super() -> None:
    class Early(Tint):
        def __init__(self) -> None:
            self.seen = self.params.strength

    assert Early().seen == 0.3


def test_every_instance_has_params_of_its_own() -> None:
    one, other = Tint(), Tint()
    one.params.strength = 0.9
    assert other.params.strength == 0.3


def test_without_a_model_params_is_an_empty_dict() -> None:
    assert FrameProcessor().params == {}


def test_params_without_a_default_are_refused_when_the_processor_is_made() -> None:
    class Needy(FrameProcessor):
        class Params(BaseModel):
            weights: str

    with pytest.raises(ParamsError, match="weights"):
        Needy()


def test_params_that_are_no_model_are_refused_when_the_class_is_made() -> None:
    with pytest.raises(TypeError, match=r"Plain\.Params must be a pydantic model"):

        class Plain(FrameProcessor):
            class Params:  # type: ignore[assignment]
                strength = 0.3


def test_a_subclass_can_take_its_bases_params_away() -> None:
    class Bare(Tint):
        Params = None

    assert Bare().params == {}


def test_pytrickles_constructor_arguments_are_kept() -> None:
    processor = FrameProcessor(error_callback=print, model_id="x")
    assert (processor.error_callback, processor.init_kwargs) == (print, {"model_id": "x"})


async def test_hooks_of_the_base_do_nothing() -> None:
    processor = FrameProcessor()
    await processor.load_model(model_id="x")
    await processor.on_stream_start({})
    await processor.on_stream_stop()


async def test_a_hook_may_be_sync_or_async() -> None:
    async def later(x: int) -> int:
        return x + 1

    assert await call(later, 1) == 2
    assert await call(lambda x: x + 1, 1) == 2
    assert await call(lambda: later(1)) == 2


# ---- loading


class Loads(FrameProcessor):
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fails = 0

    async def load_model(self, **kwargs: Any) -> None:
        await asyncio.sleep(0)
        if self.fails:
            self.fails -= 1
            raise RuntimeError("no weights")
        self.calls.append("load_model")

    def initialize(self) -> None:
        self.calls.append("initialize")


async def test_loading_runs_both_hooks_once_whoever_asks() -> None:
    processor = Loads()
    await processor.start()
    await processor.ensure_model_loaded()
    await ensure_loaded(processor)
    assert processor.calls == ["load_model", "initialize"]


async def test_loading_from_two_tasks_runs_the_hooks_once() -> None:
    processor = Loads()
    await asyncio.gather(processor.start(), processor.start(), ensure_loaded(processor))
    assert processor.calls == ["load_model", "initialize"]


async def test_a_failed_load_can_be_tried_again() -> None:
    processor = Loads()
    processor.fails = 1
    with pytest.raises(RuntimeError, match="no weights"):
        await processor.start()
    await processor.start()
    assert processor.calls == ["load_model", "initialize"]


def test_loading_in_one_event_loop_counts_in_the_next() -> None:
    processor = Loads()
    asyncio.run(processor.start())
    asyncio.run(processor.start())
    assert processor.calls == ["load_model", "initialize"]


async def test_an_object_without_a_dict_or_hooks_loads() -> None:
    class Slotted:
        __slots__ = ()

    await ensure_loaded(Slotted())


async def test_a_hook_that_is_found_twice_runs_once() -> None:
    processor = Loads()
    await ensure_loaded(processor, also=processor.load_model)
    assert processor.calls == ["load_model", "initialize"]


# ---- looking for methods


class Strange:
    @property
    def process(self) -> Any:
        raise AssertionError("evaluated")

    @functools.cached_property
    def process_video(self) -> Any:
        raise AssertionError("evaluated")

    data = 5

    def plain(self) -> str:
        return "plain"

    @classmethod
    def of_class(cls) -> str:
        return cls.__name__

    @staticmethod
    def static() -> str:
        return "static"


def test_methods_are_found_without_evaluating_properties() -> None:
    strange = Strange()
    for owner in (strange, Strange):
        assert method(owner, "process") is None
        assert method(owner, "process_video") is None
        assert method(owner, "data") is None
        assert method(owner, "missing") is None
    assert [method(strange, name)() for name in ("plain", "of_class", "static")] == ["plain", "Strange", "static"]


def test_methods_that_getattr_gives_are_found() -> None:
    class Proxy:
        def __getattr__(self, name: str) -> Any:
            if name == "process":
                return len
            raise AttributeError(name)

    assert method(Proxy(), "process") is len
    assert method(Proxy(), "other") is None
