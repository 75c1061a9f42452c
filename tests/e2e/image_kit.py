"""What an image test needs without any registry outside: a base image of this machine's Python, storage, a registry."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

BASE = "localhost/byoc-test-base:1"
PROGRAMS = ("sh", "env", "groupadd", "useradd")
LIBRARIES = (
    "libstdc++.so.6",
    "libgcc_s.so.1",
    "libresolv.so.2",
    "librt.so.1",
    "libutil.so.1",
    "libdl.so.2",
    "libpthread.so.0",
    "libmvec.so.1",
    "libnss_dns.so.2",
)
FILES = ("passwd", "group", "shadow", "gshadow", "login.defs", "nsswitch.conf", "ssl/certs/ca-certificates.crt")


@contextlib.contextmanager
def storage() -> Iterator[dict[str, str]]:
    """Environment variables for buildah that keep everything in a folder, without any privilege but root's chroot."""
    with tempfile.TemporaryDirectory(prefix="byoc-images-") as name:
        folder = Path(name)
        for driver in ("overlay", "vfs"):  # the second copies every layer as a whole, but works everywhere
            config = folder / f"{driver}.conf"
            where = f'graphroot = "{folder}/{driver}"\nrunroot = "{folder}/run"'
            config.write_text(f'[storage]\ndriver = "{driver}"\n{where}\n')
            found = {"CONTAINERS_STORAGE_CONF": str(config), "BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": driver}
            tried = "container=$(buildah from scratch) && buildah mount $container && buildah rm $container"
            if subprocess.run(["sh", "-c", tried], env=os.environ | found, capture_output=True, check=False).returncode:
                continue
            break
        try:
            yield found
        finally:
            subprocess.run(["buildah", "rm", "--all"], env=os.environ | found, capture_output=True, check=False)
            mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
            for mount in sorted((one for one in mounts if one.startswith(f"{folder}/")), reverse=True):
                subprocess.run(["umount", "--lazy", mount], check=True)


def make_base(folder: Path) -> None:
    """This machine's Python, a shell, and what they need, as the image `BASE`; its storage is in the environment."""
    root = folder / "root"
    skipped = shutil.ignore_patterns("test", "tests", "__pycache__", "*.a", "idlelib", "tkinter", "config-*")
    prefix = Path(sys.base_prefix)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    shutil.copytree(prefix / "lib" / version, root / "usr/local/lib" / version, ignore=skipped, symlinks=True)
    shutil.rmtree(root / "usr/local/lib" / version / "site-packages")
    (root / "usr/local/bin").mkdir()
    for name in ("python3", version):
        shutil.copy2((prefix / "bin" / version).resolve(), root / "usr/local/bin" / name)
    programs = [Path(found) for name in PROGRAMS if (found := shutil.which(name, path="/usr/sbin:/usr/bin:/bin"))]
    for program in programs:
        _copy(program.resolve(), root / "usr/bin" / program.name)
    for name in FILES:
        if (Path("/etc") / name).is_file():
            _copy(Path("/etc") / name, root / "etc" / name)
    cache = dict(re.findall(r"^\s*(\S+) \(libc6,x86-64.*?\) => (\S+)", _out("/sbin/ldconfig", "-p"), re.MULTILINE))
    wanted = {Path(cache[name]) for name in LIBRARIES if name in cache}
    modules = (root / "usr/local/lib" / version / "lib-dynload").glob("*.so")
    for file in [*programs, prefix / "bin" / version, *modules]:
        wanted |= {Path(path) for path in re.findall(r"(?:=> |^\s*)(/\S+)", _out("ldd", str(file)), re.MULTILINE)}
    for library in wanted:
        inside = library if library.parts[1] in ("lib", "lib64", "usr") else Path("/usr/lib") / library.name
        _copy(library.resolve(), root / str(inside).lstrip("/"))
    (root / "tmp").mkdir(mode=0o1777)
    (root / "bin").symlink_to("usr/bin")
    container = _out("buildah", "from", "scratch").strip()
    _out("buildah", "copy", "--quiet", container, str(root), "/")
    settings = ["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/bin", "LD_LIBRARY_PATH=/usr/lib"]
    settings += ["PIP_CERT=/etc/ssl/certs/ca-certificates.crt", "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_NO_COMPILE=1"]
    _out("buildah", "config", *(word for one in settings for word in ("--env", one)), container)
    _out("buildah", "commit", "--quiet", "--rm", container, BASE)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)


def _out(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and command[0] != "ldd":
        raise AssertionError(f"{command}: {done.stderr}")
    return done.stdout
