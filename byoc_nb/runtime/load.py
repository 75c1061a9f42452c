"""A processor from a Python file, for `byoc-nb serve`."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any, NamedTuple

from byoc_nb.errors import ByocError
from byoc_nb.find import FindError, find_processor
from byoc_nb.runtime.stats import describe

MODULE = "byoc_processor"  # not "__main__": the file's own main block must not run


class LoadError(ByocError, ImportError):
    """The file can't be read, raises, or holds no processor."""


class Loaded(NamedTuple):
    """A file's processor: its name and the object, the file's text and the module's names."""

    name: str
    target: Any
    code: str
    namespace: dict[str, Any]


def load_processor(spec: str) -> Any:
    """The class or function that `FILE.py` or `FILE.py:NAME` holds; the file's folder can be imported from."""
    return load_file(spec).target


def load_file(spec: str) -> Loaded:
    """Run the file, again if it was before, and find its processor. Raises LoadError or FindError."""
    file, colon, wanted = spec.rpartition(":")
    if not colon or Path(spec).is_file():
        file, wanted = spec, ""
    path = Path(file).resolve()
    if not path.is_file():
        raise LoadError(f"no such file: {file}", hint="give the path of a .py file")
    found = importlib.util.spec_from_file_location(MODULE, path)
    if found is None or found.loader is None:
        raise LoadError(f"{file} isn't a Python file", hint="give the path of a .py file")
    module, before = importlib.util.module_from_spec(found), sys.modules.get(MODULE)
    sys.modules[MODULE] = module  # dataclasses and pickle look classes up by their module's name
    added = str(path.parent) not in sys.path
    if added:
        sys.path.insert(0, str(path.parent))
    try:
        found.loader.exec_module(module)
        code = importlib.util.decode_source(path.read_bytes())
        return Loaded(*find_processor(code, vars(module), wanted, place=file, choose=file + ":{}"), code, vars(module))
    except BaseException as error:
        if before is None:
            del sys.modules[MODULE]
        else:
            sys.modules[MODULE] = before
        if added:
            sys.path.remove(str(path.parent))
        if isinstance(error, FindError | KeyboardInterrupt):
            raise
        if isinstance(error, SyntaxError):  # its traceback ends in the import machinery
            raise LoadError(f"{file} isn't Python: {error.msg} in line {error.lineno}") from error
        raise LoadError(f"{file} raised {describe(error)}") from error
