"""The options of an export, the same in a notebook and on the command line."""

from __future__ import annotations

import argparse
import re

from byoc_nb.export.freeze import MAX_CONSTANT
from byoc_nb.export.upstream import RUNTIMES
from byoc_nb.export.weights import DOWNLOAD
from byoc_nb.runtime.ports import port_number

CONSTANT_HELP = "how big an array may be that no text makes again and goes along as it is (50MB)"

WEIGHTS_HELP = (
    "files that loading opens: bake (into the image), mount (at /models) or download=URL#sha256=… (while it is built; "
    "once for each file); baked up to 500 MB and mounted above"
)


def add_export_options(parser: argparse.ArgumentParser) -> None:
    """`DIR` and all that says how it is written."""
    parser.add_argument("directory", help="the folder to write")
    parser.add_argument("--name", default="", help="the capability's name (from the class's name)")
    parser.add_argument("--cpu", action="store_true", help="an image without CUDA")
    parser.add_argument("--cuda", default="", metavar="VERSION", help="of the image, such as 12.8 (that of torch)")
    parser.add_argument("--base", default="", metavar="IMAGE", help="build on this image")
    parser.add_argument("--max-constant", type=size_in_bytes, default=MAX_CONSTANT, metavar="SIZE", help=CONSTANT_HELP)
    parser.add_argument("--weights", action="append", type=_weights, default=[], metavar="HOW", help=WEIGHTS_HELP)
    _add_runtime(parser)
    parser.add_argument("--force", action="store_true", help="overwrite files that were edited by hand")
    parser.add_argument(
        "--no-prove", dest="prove", action="store_false", help="don't compare its pictures with the notebook's"
    )
    parser.add_argument(
        "--tolerance", type=_level, default=0, metavar="N", help="how far pixels of the two may be apart, of 255 (0)"
    )


def add_check_options(parser: argparse.ArgumentParser) -> None:
    """What a check goes by."""
    parser.add_argument("--max-constant", type=size_in_bytes, default=MAX_CONSTANT, metavar="SIZE", help=CONSTANT_HELP)
    _add_runtime(parser)


def _add_runtime(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runtime", choices=RUNTIMES, default=RUNTIMES[0], help="what serves it in the container")


def add_image_options(parser: argparse.ArgumentParser, command: str, directory: str = ".") -> None:
    """`[DIR]` and the options of `build`, `push` or `run`; `directory` stands in for the folder."""
    shown = "this one" if directory else "the one that was exported last"
    parser.add_argument("directory", nargs="?", default=directory, help=f"the exported folder ({shown})")
    if command == "push":
        parser.add_argument("--tag", required=True, metavar="R/N:T", help="registry, name and tag to push it as")
        return
    parser.add_argument("--tag", default="", help="the image's name (the capability's name, :latest)")
    if command == "build":
        parser.add_argument(
            "--secret", action="append", dest="secrets", default=[], metavar="id=…,env=…", help="a build secret"
        )
        parser.add_argument("--platform", default="", help="such as linux/amd64 (this machine's)")
    else:
        parser.add_argument("--port", type=port_number, default=8000, help="of this machine (8000)")


def _weights(text: str) -> str:
    if text not in ("bake", "mount") and not text.startswith(DOWNLOAD):
        raise argparse.ArgumentTypeError(f"{text!r} isn't bake, mount or {DOWNLOAD}URL")
    return text


def size_in_bytes(text: str) -> int:
    """`50MB` as a number of bytes."""
    found = re.fullmatch(r"(\d+)\s*([kMG]?)B?", text.strip(), re.IGNORECASE)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} isn't a size such as 50MB")
    return int(found[1]) * {"": 1, "K": 1_000, "M": 1_000_000, "G": 1_000_000_000}[found[2].upper()]


def _level(text: str) -> int:
    if not text.isdecimal() or int(text) > 255:
        raise argparse.ArgumentTypeError(f"{text!r} isn't a difference of 0 to 255")
    return int(text)
