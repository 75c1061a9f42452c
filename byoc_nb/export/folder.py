"""An export folder: written as a whole, never over files that somebody edited."""

from __future__ import annotations

import ast
import errno
import json
import os
import pprint
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path, PurePath
from typing import Any

import byoc_nb
from byoc_nb.dialects import default_name
from byoc_nb.errors import ByocError
from byoc_nb.export import constants, edits, lock, manifest, proof, upstream
from byoc_nb.export import weights as weights_
from byoc_nb.export.cuda import Platform, platform
from byoc_nb.export.findings import Finding
from byoc_nb.export.freeze import MAX_CONSTANT, Frozen, freeze
from byoc_nb.export.manifest import MANIFEST
from byoc_nb.export.opened import OpenedFile
from byoc_nb.export.render import dns_label, label_value, render
from byoc_nb.export.report import Export
from byoc_nb.export.requirements import RUNTIME, requirements
from byoc_nb.export.wheel import write_wheel
from byoc_nb.source import Notebook

CLIP = "clip.ts"
_NAME = re.compile(r"[a-z0-9]+(?:[._-][a-z0-9]+)*")  # what an image may be called


class ExportError(ByocError, RuntimeError):
    """The folder can't be written as asked. `diff`: what the export would have changed of files edited by hand."""

    def __init__(self, message: str, *, hint: str = "", diff: str = "") -> None:
        super().__init__(message, hint=hint)
        self.diff = diff


def export(
    folder: Path,
    notebook: Notebook,
    target_name: str,
    namespace: Mapping[str, Any],
    *,
    name: str = "",
    cpu: bool = False,
    cuda: str = "",
    base: str = "",
    force: bool = False,
    params: Mapping[str, Any] | None = None,
    max_constant: int = MAX_CONSTANT,
    prove: proof.Proof | None = None,
    hashes: bool = False,
    weights: Sequence[str] = (),
    runtime: str = "byoc_nb",
) -> Export:
    """Freeze the processor `target_name` of the notebook into `folder`.

    `namespace` is the notebook's, `name` the capability's. `cpu` writes an image without CUDA, `cuda` ("12.8") and
    `base` choose it. `params` are what the processor starts with, `max_constant` is how many bytes of an array may go
    along as they are. `prove`: how to prove that the export gives the notebook's pictures; None skips it, and byoc.json
    says so. `hashes` locks the requirements with uv. `weights`: how the files that loading opens get into the
    container, see `byoc_nb.export.weights`. `runtime`: byoc_nb, or pytrickle. Raises FreezeError, RequirementsError,
    CudaError, WeightsError, ProofError, or ExportError when files there were edited since they were exported (unless
    `force`) or when the disk does not take them; the folder is then as it was.
    """
    if target_name not in namespace:
        raise ExportError(f"{target_name} is gone from the notebook", hint="run its cell again")
    capability = name or default_name(namespace[target_name])
    if not _NAME.fullmatch(capability):
        raise ExportError(
            f"{capability!r} can't name a capability and its image",
            hint="use small letters, digits and -: --name my-name",
        )
    frozen = freeze(notebook, target_name, namespace, params=params, max_constant=max_constant, runtime=runtime)
    opened = weights_.plan(frozen.opened, weights)
    on_pytrickle = frozen.upstream is not None
    pins = requirements(
        frozen.modules - {"av"} if on_pytrickle else frozen.modules,
        torch=frozen.uses_torch or on_pytrickle,
        runtime=upstream.PINS if on_pytrickle else RUNTIME,
    )
    torch = next((pin.partition("==")[2] for pin in pins if pin.startswith("torch==")), "")
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    built_on = platform(torch, python=python, cuda=cuda, cpu=cpu, base=base)
    subject = proof.Subject(target_name, namespace[target_name], frozen.params)
    described = manifest.described(subject.target, frozen.params)
    locked = lock.lock(pins, python=python, index=built_on.index, hashes=hashes)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _staging(folder, frozen.opened) as stage:
            wheel = write_wheel(stage)
            beside = _write_beside(stage, frozen)
            shutil.copyfile(proof.BUNDLED, stage / CLIP)
            texts = render(
                stage,
                beside=beside,
                capability=capability,
                frozen=frozen,
                has_model=described["schema"] is not None,
                label=dns_label(capability),
                lock=locked,
                params=_as_text(frozen.params),
                platform=built_on,
                python=python,
                requirements=pins,
                schema_label=label_value(described["schema"]),
                version=byoc_nb.__version__,
                weights=opened,
                wheel=wheel.name,
                wheel_hash=lock.of_file(wheel),
            )
            baked = weights_.copy(opened, stage)
            files = [*texts, CLIP, wheel.name, *beside, *baked]
            if not force:
                _refuse_edited(folder, stage, [*texts, CLIP, *baked])
            proven: dict[str, Any] = {"skipped": "--no-prove"}
            if prove is not None:
                keep = folder.resolve().with_name(f"{folder.resolve().name}-proof")
                with _lent(stage, frozen.opened):
                    proven = proof.prove(stage, subject, prove, keep=keep, runtime=runtime)
            manifest.write(
                stage,
                {
                    "name": capability,
                    "processor": target_name,
                    "runtime": f"pytrickle {upstream.VERSION}" if on_pytrickle else f"byoc_nb {byoc_nb.__version__}",
                    "versions": {"byoc_nb": byoc_nb.__version__, "python": python, "torch": torch or None},
                    "image": {"base": built_on.base, "cuda": built_on.cuda or None, "driver": built_on.driver or None},
                    **described,
                    "requirements": pins,
                    "weights": [one.described() for one in opened],
                    "proof": proven,
                    "files": {file: edits.digest(stage / file) for file in files},
                },
            )
            changed = edits.changes(folder, stage, [file for file in texts if file != "requirements.txt"])
            _install(stage, folder, [*files, MANIFEST])
    except metadata.PackageNotFoundError:
        raise ExportError(
            "byoc_nb runs from a folder that was never installed, so there is no package to carry along",
            hint="pip install byoc_nb, or pip install -e in its checkout",
        ) from None
    except ImportError as error:
        raise ExportError(f"export needs {error.name}", hint="pip install 'byoc_nb[lab]'") from None
    except FileExistsError as error:
        raise ExportError(f"{error.filename or folder} is a file, not a folder", hint="export elsewhere") from None
    except OSError as error:
        raise ExportError(f"{folder} can't be written: {error.strerror or error}") from None
    warnings = [*frozen.warnings, *_of_the_image(built_on, locked if hashes else None)]
    told = tuple(one for one in warnings if not (one.id == "missing-file" and weights_.settles(opened, one)))
    return Export(folder, capability, (*files, MANIFEST), told, proven, changed, weights_.report(opened))


def _of_the_image(built_on: Platform, locked: lock.Lock | None) -> Iterator[Finding]:
    """What isn't as sure as it should be."""
    if built_on.warning:
        yield Finding("cuda", "warning", built_on.warning, "--cuda or --base choose, --cpu goes without")
    if locked is not None and locked.why_not:
        message = f"requirements.txt has versions without hashes: {locked.why_not}"
        yield Finding("lock", "warning", message, "export again where the package index can be reached")


def _as_text(params: Mapping[str, Any]) -> str:
    """The parameters as Python; raises ExportError for a value that neither that nor JSON gives."""
    for name, value in params.items():
        try:
            same = ast.literal_eval(pprint.pformat(value)) == value
            json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
        except (ValueError, TypeError, SyntaxError):
            same = False
        if not same:
            raise ExportError(
                f"the parameter {name} can't be written as text: {value!r:.60}",
                hint="set it to a number, a text, a list or a dict",
            )
    return pprint.pformat(params, width=110, sort_dicts=False)


def _write_beside(stage: Path, frozen: Frozen) -> list[str]:
    """Put what `processor.py` needs beside it there: modules, and arrays that are kept as values."""
    for file, source in frozen.local_modules.items():
        (stage / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, stage / file)
    if frozen.constants:
        constants.write(frozen.constants, stage)
    return [*frozen.local_modules, *([constants.FILE] if frozen.constants else [])]


@contextmanager
def _staging(folder: Path, opened: Iterable[OpenedFile]) -> Iterator[Path]:
    """A folder beside the one that is written; deep enough for `..` in the paths that its program opens."""
    deep = max((PurePath(file.path).parts.count("..") for file in opened), default=0)
    with tempfile.TemporaryDirectory(prefix=".byoc-", dir=folder.resolve().parent) as staging:
        stage = Path(staging, *["app"] * deep)
        stage.mkdir(parents=True, exist_ok=True)
        yield stage


@contextmanager
def _lent(stage: Path, opened: Iterable[OpenedFile]) -> Iterator[None]:
    """For the time of a proof, the files that the processor opens by relative paths lie beside its program, too."""
    links: list[Path] = []
    for file in opened:
        target = stage / file.path
        if file.found is None or PurePath(file.path).is_absolute() or file.path.startswith("~") or target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(file.found.resolve())
        links.append(target)
    try:
        yield
    finally:
        for link in links:
            link.unlink()


def _refuse_edited(folder: Path, stage: Path, files: Iterable[str]) -> None:
    """Raise ExportError for files in the folder that are not as an export left them."""
    if found := edits.edited(folder, files):
        raise ExportError(
            f"{', '.join(found)} in {folder} {'was' if len(found) == 1 else 'were'} edited or made by somebody else",
            hint="--force overwrites, another folder keeps both",
            diff=edits.changes(folder, stage, found),
        )


def _install(stage: Path, folder: Path, files: list[str]) -> None:
    """Move the staged files in; on the same file system, so that none is ever half there."""
    folder.mkdir(exist_ok=True)
    for file in files:
        if (folder / file).is_dir():  # found before the first one is replaced
            raise IsADirectoryError(errno.EISDIR, f"{file} is a folder there")
    before = edits.untouched(folder)
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        os.replace(stage / file, folder / file)
    for file in before - set(files):  # such as weights that are mounted now
        (folder / file).unlink()
    for old in folder.glob("byoc_nb-*.whl"):
        if old.name not in files:
            old.unlink()
