"""An exported folder to an image, and the image to a registry: with docker, podman or buildah, whichever works here.

The tools' output is passed on line by line, and their errors are told as they are.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from byoc_nb.errors import ByocError
from byoc_nb.export import manifest
from byoc_nb.export.weights import VOLUME

HELP = {
    "build": "build the image of an exported folder",
    "push": "push the image of an exported folder to a registry",
    "run": "run the image of an exported folder",
}
Say = Callable[[str], None]
_DIGEST = re.compile(r"(?:digest: |^)(sha256:[0-9a-f]{64})", re.MULTILINE)  # docker's line, or a file of its own
_LOCAL = re.compile(r"(localhost|127\.0\.0\.1)(:\d+)?/")  # registries without TLS, as docker has it


class ImageError(ByocError, RuntimeError):
    """No image was built, pushed or run. `commands`: what to type where a builder works, if none does here."""

    def __init__(self, message: str, *, hint: str = "", commands: Sequence[str] = ()) -> None:
        super().__init__(message, hint=hint)
        self.commands = tuple(commands)


@dataclass(frozen=True)
class Builder:
    """One of the programs; each method gives the command lines, the last of which does the work."""

    name: str

    def build(self, folder: Path, tag: str, platform: str, secrets: Sequence[str] = ()) -> list[list[str]]:
        """Build the folder as `tag`; podman and buildah keep a HEALTHCHECK only in docker's format."""
        chosen = ["--platform", platform] if platform else []
        chosen += [word for secret in secrets for word in ("--secret", secret)]
        if self.name == "docker":
            return [["docker", "buildx", "build", "--load", "--tag", tag, *chosen, str(folder)]]
        layers = ["--layers"] if self.name == "buildah" else []  # the others keep a layer a step anyway
        return [[self.name, "build", *layers, "--format", "docker", "--tag", tag, *chosen, str(folder)]]

    def push(self, tag: str, target: str, digest_file: str) -> list[list[str]]:
        """Push the image `tag` as `target`; its digest is in the file, or in docker's last line."""
        if self.name == "docker":
            return [["docker", "tag", tag, target], ["docker", "push", target]]
        plain = ["--tls-verify=false"] if _LOCAL.match(target) else []
        return [[self.name, "push", *plain, "--digestfile", digest_file, tag, f"docker://{target}"]]

    def run(self, tag: str, port: int, *, gpu: bool, volume: str = "") -> list[list[str]]:
        """Run the image in the foreground, on a port of this machine alone; `volume` as SOURCE:TARGET:ro.

        It shares the machine's network, so that it reaches channels on 127.0.0.1.
        """
        devices = ["--device", "nvidia.com/gpu=all"] if self.name == "podman" else ["--gpus", "all"]
        options = [*(devices if gpu else []), *(["--volume", volume] if volume else [])]
        where = ["--network", "host", "--env", "HOST=127.0.0.1", "--env", f"PORT={port}"]
        return [[self.name, "run", "--rm", *options, *where, tag]]


BUILDERS = (Builder("docker"), Builder("podman"), Builder("buildah"))


def build(folder: Path, *, say: Say, tag: str = "", platform: str = "", secrets: Sequence[str] = ()) -> str:
    """Build the exported folder; its image's name. Raises ImageError.

    `secrets` as the builders take them: `id=weights_token,env=VARIABLE` or `id=weights_token,src=FILE`.
    """
    tag = tag or _tag(folder)
    builder = _builder(lambda one: one.build(folder, tag, platform, secrets))
    _run(builder.build(folder, tag, platform, secrets), say)
    return tag


def push(folder: Path, target: str, *, say: Say, tag: str = "") -> str:
    """Push the folder's image as `target` (REGISTRY/NAME:TAG), and write its digest into byoc.json. Raises ImageError.

    `tag` is what it is called here.
    """
    tag = tag or _tag(folder)
    with tempfile.TemporaryDirectory(prefix="byoc-push-") as temporary:
        file = Path(temporary) / "digest"
        builder = _builder(lambda one: one.push(tag, target, "digest"))
        said = _run(builder.push(tag, target, str(file)), say)
        found = _DIGEST.findall(file.read_text() if file.is_file() else said)
    if not found:
        raise ImageError(f"{builder.name} told no digest of {target}", hint="was it pushed?")
    manifest.write(folder, {**manifest.read(folder), "pushed": {"image": target, "digest": found[-1]}})
    return str(found[-1])


def run(folder: Path, *, say: Say, tag: str = "", port: int = 8000) -> None:
    """Run the folder's image until it ends or this is interrupted. Raises ImageError."""
    _run([_running(folder, tag, port)], say)


def start(folder: Path, *, say: Say, tag: str = "", port: int = 8000) -> subprocess.Popen[str]:
    """Begin to run the folder's image; SIGTERM to the process ends it. Raises ImageError."""
    command = _running(folder, tag, port)
    say(f"$ {shlex.join(command)}")
    return _popen(command)


def _running(folder: Path, tag: str, port: int) -> list[str]:
    """The command line that runs the folder's image."""
    tag = tag or _tag(folder)
    gpu = bool(_manifest(folder).get("image", {}).get("cuda")) and shutil.which("nvidia-smi") is not None
    mounted = any(one.get("how") == "mount" for one in _manifest(folder).get("weights", ()))
    volume = f"{(folder / 'models').resolve()}:{VOLUME}:ro" if mounted else ""
    able = [builder for builder in BUILDERS if builder.name != "buildah"]  # which runs no images
    builder = _builder(lambda one: one.run(tag, port, gpu=gpu, volume=volume), able)
    return builder.run(tag, port, gpu=gpu, volume=volume)[-1]


def _tag(folder: Path) -> str:
    return f"{_manifest(folder)['name']}:latest"


def _manifest(folder: Path) -> dict[str, Any]:
    found = manifest.read(folder)
    if not _is_whole(found):
        raise ImageError(f"{folder} holds no export", hint="%byoc export DIR or byoc-nb export FILE.py DIR makes one")
    return found


def _is_whole(found: dict[str, Any]) -> bool:
    """Whether a manifest has what is asked of it here, in its form."""
    weights = found.get("weights", [])
    known = isinstance(found.get("name"), str) and isinstance(found.get("image", {}), dict)
    return known and isinstance(weights, list) and all(isinstance(one, dict) for one in weights)


def _builder(commands: Callable[[Builder], list[list[str]]], able: Sequence[Builder] = BUILDERS) -> Builder:
    """The first that works here; raises ImageError with what to type elsewhere."""
    reasons: list[str] = []
    for builder in able:
        if shutil.which(builder.name) is None:
            reasons.append(f"{builder.name} is not installed")
        elif why := _why_not(builder):
            reasons.append(f"{builder.name}: {why}")
        else:
            return builder
    elsewhere = [shlex.join(command) for command in commands(able[0])]
    raise ImageError(
        f"nothing here can do that ({'; '.join(reasons)})",
        hint=f"where docker works: {' && '.join(elsewhere)}",
        commands=elsewhere,
    )


def _why_not(builder: Builder) -> str:
    """Why an installed builder can't be used; docker's client may have no daemon."""
    try:
        done = subprocess.run(
            [builder.name, "info"], capture_output=True, text=True, errors="replace", timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    lines = [line for line in (done.stderr or done.stdout).strip().splitlines() if line.strip()]
    return (lines[-1] if lines else f"exit {done.returncode}") if done.returncode else ""


def _run(commands: list[list[str]], say: Say) -> str:
    """Run the commands in order, with what they say passed on; the last one's output. Raises ImageError."""
    said: list[str] = []
    for command in commands:
        said = []
        say(f"$ {shlex.join(command)}")
        with _popen(command) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    said.append(line.rstrip("\n"))
                    say(said[-1])
            except BaseException:  # an interrupted cell or program
                process.terminate()
                raise
        if process.returncode:
            last = next((line.strip() for line in reversed(said) if line.strip()), "no message")
            raise ImageError(f"{' '.join(command[:2])} failed with exit status {process.returncode}: {last}")
    return "\n".join(said)


def _popen(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
