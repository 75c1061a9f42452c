"""`import pytrickle` where pytrickle is not installed: the same names, served by byoc_nb.

So that a program from Livepeer's documentation runs unchanged. Where pytrickle is installed, it wins. The wheel holds
this file a second time, as the top-level module `byoc_nb_pytrickle`, which a `.pth` file loads when Python starts: it
must import nothing but the standard library, and byoc_nb only when pytrickle is asked for.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

# pytrickle's modules and where their names are here, the first place that has one first
_MODULES = {
    "pytrickle": ("byoc_nb", "byoc_nb.runtime.stream_processor", "byoc_nb.frames"),
    "pytrickle.decorators": ("byoc_nb.decorators",),
    "pytrickle.frame_overlay": ("byoc_nb.runtime.stream_processor",),
    "pytrickle.frame_processor": ("byoc_nb.processor",),
    "pytrickle.frame_skipper": ("byoc_nb.runtime.stream_processor",),
    "pytrickle.frames": ("byoc_nb.frames",),
    "pytrickle.server": ("byoc_nb.runtime.server",),
    "pytrickle.stream_processor": ("byoc_nb.runtime.stream_processor",),
}


class PytrickleFinder:
    """Stands before the path finder, which would load a second copy of byoc_nb's modules under the other name."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name not in _MODULES:
            return None
        if name == "pytrickle":
            if _is_elsewhere(name):
                return None
        elif not isinstance(sys.modules.get("pytrickle"), _Package):
            return None
        return ModuleSpec(name, self, is_package=name == "pytrickle")  # type: ignore[arg-type]  # a loader by duck type

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Package(spec.name) if spec.name == "pytrickle" else _Names(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        names = [name for home in _homes(module.__name__) for name in _public(home)]
        module.__dict__["__all__"] = list(dict.fromkeys(names))


class _Names(ModuleType):
    """A module whose names are those of the modules of byoc_nb that stand in for it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        for home in _homes(self.__name__):
            if hasattr(home, name):
                return getattr(home, name)
        raise AttributeError(
            f"byoc_nb has no stand-in for {self.__name__}.{name}; pip install pytrickle gives the original"
        )


class _Package(_Names):
    """`pytrickle` itself."""


def _homes(name: str) -> list[ModuleType]:
    return [importlib.import_module(home) for home in _MODULES[name]]


def _public(module: ModuleType) -> list[str]:
    public = [name for name in vars(module) if not name.startswith("_")]
    return list(getattr(module, "__all__", public))


def install() -> bool:
    """Make `import pytrickle` resolve to byoc_nb where pytrickle itself is missing; False if that was so already."""
    if _installed():
        return False
    sys.meta_path.insert(0, PytrickleFinder())
    return True


def uninstall() -> None:
    """Undo `install`."""
    for finder in _installed():
        sys.meta_path.remove(finder)
    for name in _MODULES:
        if type(sys.modules.get(name)).__name__ in ("_Names", "_Package"):
            del sys.modules[name]


def _installed() -> list[Any]:
    """By name, because the module may be loaded twice."""
    return [finder for finder in sys.meta_path if type(finder).__name__ == PytrickleFinder.__name__]


def _is_elsewhere(name: str) -> bool:
    """Whether another finder has the package itself; a folder of that name, such as a checkout, is none."""
    ours = _installed()
    for finder in sys.meta_path:
        spec = None if finder in ours else finder.find_spec(name, None)
        if spec is not None and spec.loader is not None and spec.origin is not None:
            return True
    return False
