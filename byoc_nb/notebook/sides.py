"""The processors that a comparison is asked for: versions of the session, files, names of the notebook."""

from __future__ import annotations

import linecache
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from byoc_nb.dialects import NEEDED, is_processor
from byoc_nb.find import FindError, find_processor
from byoc_nb.notebook.cells import runnable
from byoc_nb.notebook.history import History, Version
from byoc_nb.replay.comparing import Side
from byoc_nb.replay.player import ReplayError
from byoc_nb.runtime.load import load_file
from byoc_nb.runtime.stats import describe


def side(spec: str, history: History, namespace: Mapping[str, Any], transform: Callable[[str], str]) -> Side:
    """What `spec` names: a number of `%byoc history`, `FILE.py[:NAME]`, or a class or function of the `namespace`.

    A version's text is run again in a copy of the namespace, so it uses helpers of other cells as they are now.
    `transform` turns IPython's own syntax into Python. Raises NoVersion, LoadError, FindError or ReplayError.
    """
    if spec.isdecimal():
        return _version(history.find(int(spec)), namespace, transform)
    if ".py" in spec:
        found = load_file(spec)
        return Side(f"{Path(spec.partition('.py')[0]).name}.py:{found.name}", found.target)
    if spec not in namespace:
        raise FindError(f"there is no {spec}", hint="name a class, FILE.py[:NAME] or a number of %byoc history")
    if not is_processor(namespace[spec]):
        raise FindError(f"{spec} can't take frames", hint=f"a processor has {NEEDED}")
    return Side(spec, namespace[spec])


def _version(version: Version, namespace: Mapping[str, Any], transform: Callable[[str], str]) -> Side:
    name = f"{version.name}, version {version.number}"
    code, own = runnable(version.text, transform), dict(namespace)
    place = f"<{name}>"
    linecache.cache[place] = (len(code), None, code.splitlines(keepends=True), place)  # for an error's line
    try:
        exec(compile(code, place, "exec", dont_inherit=True), own)
        return Side(name, find_processor(code, own, version.name)[1])
    except (Exception, SystemExit) as error:
        if isinstance(error, FindError):
            raise
        raise ReplayError(
            f"{name}, could not be run again: {describe(error)}", hint="its cell may need others"
        ) from error
