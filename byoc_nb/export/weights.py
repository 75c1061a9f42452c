"""Weights and other files that a processor opens while it loads: how each of them gets into its container.

`bake` copies a file into the folder and the image, `mount` expects it in the volume `/models`, `download` fetches it
while the image is built. Either way it is found there under the path that the program opens: a relative one begins at
`/app`, and `~` is `/home/app`.
"""

from __future__ import annotations

import posixpath
import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import unquote, urldefrag, urlsplit

from byoc_nb.errors import ByocError
from byoc_nb.export.edits import digest
from byoc_nb.export.findings import Finding
from byoc_nb.export.manifest import MANIFEST
from byoc_nb.export.opened import OpenedFile
from byoc_nb.export.secrets import in_params

BAKED_UP_TO = 500_000_000  # bytes of all files together; an image with more of them is slow to push and to pull
VOLUME, APP, HOME = "/models", "/app", "/home/app"
SECRET = "weights_token"  # the name of a build secret
DOWNLOAD = "download="
_PATTERN = re.compile(r"""[$*?\[\]\\'"]""")
How = Literal["bake", "mount", "download"]
_SAYS = {
    "bake": "in the image",
    "mount": f"to be mounted at {VOLUME}",
    "download": "downloaded when the image is built",
}


class WeightsError(ByocError, ValueError):
    """A file can't get into the container the way that was asked for."""


@dataclass(frozen=True)
class Weight:
    """A file or folder. `path` is the program's, `inside` where that is in the container.

    `key` is its place in the exported folder (baked) and in the volume (mounted). `source` is the file here; without
    it, size and digest are not known.
    """

    path: str
    place: str
    how: How
    key: str
    inside: str
    source: Path | None
    size: int = 0
    sha256: str = ""
    url: str = ""

    @property
    def above(self) -> str:
        """The folder around it in the container."""
        return posixpath.dirname(self.inside)

    def files(self) -> Iterator[tuple[str, Path]]:
        """Its files here: where they lie in the exported folder, and where they are."""
        if self.source is not None and self.source.is_dir():
            for path in sorted(self.source.rglob("*")):
                if path.is_file():
                    yield f"{self.key}/{path.relative_to(self.source).as_posix()}", path
        elif self.source is not None:
            yield self.key, self.source

    def described(self) -> dict[str, Any]:
        """What byoc.json says of it."""
        known = {"bytes": self.size or None, "sha256": self.sha256 or None, "url": self.url or None}
        return {"path": self.path, "how": self.how, "inside": self.inside, "opened": self.place, **known}


def plan(opened: Iterable[OpenedFile], asked: Sequence[str] = ()) -> list[Weight]:
    """How each file gets in; those that aren't there and that nobody spoke of are left out.

    `asked`: `bake` or `mount`, and `download=URL` for each file that a URL gives: the one of the URL's file name, or
    the only one there is; `#sha256=…` behind it is checked. Without `bake` or `mount`, files that are there are baked
    up to 500 MB, else mounted. Raises WeightsError.
    """
    files = list({_inside(one.path): one for one in opened}.values())
    urls = [_url(one.removeprefix(DOWNLOAD)) for one in asked if one.startswith(DOWNLOAD)]
    modes = [one for one in asked if not one.startswith(DOWNLOAD)]
    if wrong := [one for one in modes if one not in ("bake", "mount")]:
        raise WeightsError(f"weights are not got by {wrong[0]!r}", hint="bake, mount or download=URL")
    fetched = _by_name(files, urls)
    files = [one for one in files if one.path in fetched or not _goes_along(one, files)]
    others = [one for one in files if one.path not in fetched]
    there = sum(_size(one.found) for one in others if one.found)
    rest = modes[-1] if modes else "bake" if there <= BAKED_UP_TO else "mount"
    found: list[Weight] = []
    for one in files:
        if one.path in fetched:
            found.append(_weight(one, "download", *fetched[one.path]))
        elif one.found is not None or modes[-1:] == ["mount"]:
            found.append(_weight(one, "mount" if rest == "mount" else "bake"))
        elif modes:
            raise WeightsError(
                f"{one.place}: {one.path} isn't there, so it can't be baked",
                hint=f"put it there, or --weights {DOWNLOAD}URL or --weights mount",
            )
    _refuse_two_in_one_place(found)
    _refuse_unwritable(found)
    return found


def settles(weights: Iterable[Weight], finding: Finding) -> bool:
    """Whether the missing file that a finding is about gets into the container all the same."""
    return any(one.place == finding.place and finding.message.startswith(f"{one.path} ") for one in weights)


def report(weights: Sequence[Weight]) -> str:
    """What was decided, in a line; empty without any."""
    parts = []
    for how, says in _SAYS.items():
        some = [one for one in weights if one.how == how]
        if some:
            size = sum(one.size for one in some)
            much = f" ({_human(size)})" if size else ""
            parts.append(f"{', '.join(one.path for one in some)}{much} {says}")
    return "; ".join(parts)


def copy(weights: Iterable[Weight], stage: Path) -> list[str]:
    """Put the baked ones into the folder; the paths of their files in it. Everybody may read them there."""
    copied = []
    for key, source in (pair for one in weights if one.how == "bake" for pair in one.files()):
        if key == MANIFEST or (stage / key).exists():
            raise WeightsError(f"{key} is also the name of a file of the export", hint="call the weights otherwise")
        (stage / key).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, stage / key)
        copied.append(key)
    return copied


def _weight(one: OpenedFile, how: How, url: str = "", sha256: str = "") -> Weight:
    inside, source = _inside(one.path), one.found.resolve() if one.found else None
    key = "/".join(part for part in PurePosixPath(one.path).parts if part not in ("/", "..", "~"))
    own = digest(source) if source is not None and source.is_file() else ""
    return Weight(one.path, one.place, how, key, inside, source, _size(source), sha256 or own, url)


def _goes_along(one: OpenedFile, files: Iterable[OpenedFile]) -> bool:
    """Whether it lies in a folder that is opened, too."""
    folders = [_inside(other.path) for other in files if other.found is not None and other.found.is_dir()]
    return any(_inside(one.path).startswith(f"{folder}/") for folder in folders)


def _inside(path: str) -> str:
    home = f"{HOME}/{path.removeprefix('~/')}" if path.startswith("~/") else path
    return posixpath.normpath(posixpath.join(APP, home))


def _by_name(files: Sequence[OpenedFile], urls: Sequence[tuple[str, str]]) -> dict[str, tuple[str, str]]:
    """Which file each URL gives."""
    found: dict[str, tuple[str, str]] = {}
    for url, sha256 in urls:
        name = unquote(PurePosixPath(urlsplit(url).path).name)
        named = [one.path for one in files if PurePosixPath(one.path).name == name]
        if not named and len(files) == len(urls) == 1:
            named = [files[0].path]
        if len(named) != 1:
            opens = ", ".join(one.path for one in files) or "no file that is named in its text"
            raise WeightsError(
                f"{url} gives {name or 'no file'}, but loading opens {opens}",
                hint="the URL's file name says which of them it is",
            )
        found[named[0]] = url, sha256
    return found


def _url(text: str) -> tuple[str, str]:
    """A URL and the digest behind it."""
    try:
        url, fragment = urldefrag(text)
        parts = urlsplit(url)
        is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # such as of a port that is none
        url, fragment, is_url = text, "", False
    name, _, sha256 = fragment.partition("=")
    if not is_url or not url.isprintable() or " " in url:
        raise WeightsError(f"{url!r} isn't a URL to download from", hint="give one that begins with https://")
    if fragment and (name != "sha256" or len(sha256) != 64 or not set(sha256) <= set("0123456789abcdef")):
        raise WeightsError(f"#{fragment} isn't the digest of a file", hint="#sha256= and 64 digits of 0 to f")
    if "@" in parts.netloc or next(in_params({"url": url}), None):
        raise WeightsError("the URL of the weights holds a secret", hint=f"give it as the build secret {SECRET}")
    return url, sha256


def _refuse_two_in_one_place(weights: Sequence[Weight]) -> None:
    places: dict[str, Weight] = {}
    for one in weights:
        if (other := places.setdefault(one.key, one)) is not one:
            raise WeightsError(
                f"{other.path} and {one.path} would lie in one place, {one.key}", hint="call one of them otherwise"
            )


def _refuse_unwritable(weights: Iterable[Weight]) -> None:
    """Names that are more than names to a Dockerfile or a .dockerignore."""
    for one in weights:
        if _PATTERN.search(one.key + one.inside) or not one.path.isprintable() or one.key != one.key.strip():
            raise WeightsError(
                f"{one.place}: {one.path!r} can't stand in a Dockerfile",
                hint="call the file otherwise: without quotes and any of $ * ? [ ] \\",
            )


def _size(path: Path | None) -> int:
    if path is None:
        return 0
    return sum(one.stat().st_size for one in ([path] if path.is_file() else path.rglob("*")) if one.is_file())


def _human(size: int) -> str:
    for unit, bytes_ in (("GB", 1_000_000_000), ("MB", 1_000_000), ("kB", 1_000)):
        if size >= bytes_:
            return f"{size / bytes_:.1f} {unit}"
    return f"{size} B"
