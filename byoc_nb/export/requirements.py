"""What a frozen processor needs installed, at the versions of the running kernel."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import metadata

from byoc_nb.errors import ByocError

RUNTIME = ("aiohttp", "av", "numpy", "prometheus-client", "pydantic")  # what byoc_nb itself needs
_OURS = frozenset({"byoc_nb", "pytrickle"})  # the wheel that travels along serves both names


class RequirementsError(ByocError, ValueError):
    """Something that the processor imports can't be required from a package index."""


def requirements(modules: Iterable[str], *, torch: bool, runtime: Iterable[str] = RUNTIME) -> list[str]:
    """`name==version` lines for these top-level modules and the runtime, sorted.

    What of `runtime` has a version of its own keeps it: that is another runtime than the notebook's.

    Raises RequirementsError for a module that no installed distribution holds, such as a compiled one that was built
    here (files beside the notebook are copied along and no concern of this), and for a distribution without metadata.
    """
    holders = metadata.packages_distributions()
    given = {pin.partition("==")[0]: pin for pin in runtime}
    needed = set(given) | ({"torch"} if torch else set())
    for module in modules:
        if module in sys.stdlib_module_names or module in _OURS:
            continue
        if module not in holders:
            raise RequirementsError(
                f"import {module}: no installed package holds it",
                hint="pip install the package that has it; a .py file beside the notebook is carried along",
            )
        needed.add(sorted(set(holders[module]))[0])
    own = {_canonical(name): pin for name, pin in given.items() if "==" in pin}
    ours = {_canonical(name) for name in needed} - own.keys()
    return sorted([*own.values(), *(f"{name}=={_public(_version(name))}" for name in ours)])


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        raise RequirementsError(f"the version of {name} is not known", hint=f"pip install {name}") from None


def _canonical(name: str) -> str:
    return name.lower().replace("_", "-")


def _public(version: str) -> str:
    """Without the local part: an index has `2.13.0`, not `2.13.0+cpu`."""
    return version.partition("+")[0]
