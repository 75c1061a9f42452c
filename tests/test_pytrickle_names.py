"""`import pytrickle` finds byoc_nb where pytrickle is missing, and nowhere else."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import byoc_nb
from byoc_nb import pytrickle_names

SOURCE = Path(pytrickle_names.__file__)


@pytest.fixture(autouse=True)
def bare() -> Iterator[None]:
    """Without the finder that an installed wheel's .pth file brings: it may be of another version."""
    before = list(sys.meta_path)
    pytrickle_names.uninstall()
    yield
    pytrickle_names.uninstall()
    sys.meta_path[:] = before


@pytest.fixture
def installed() -> None:
    pytrickle_names.install()


def python(code: str, folder: Path) -> str:
    bare = "from byoc_nb import pytrickle_names; pytrickle_names.uninstall()\n"
    code = (bare if "byoc_nb_pytrickle" not in code else "") + code
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.usefixtures("installed")
def test_names_are_those_of_byoc_nb() -> None:
    from pytrickle import FrameProcessor, StreamServer, run_processor
    from pytrickle.decorators import video_handler
    from pytrickle.frame_processor import FrameProcessor as SameProcessor
    from pytrickle.frames import AudioFrame, VideoFrame
    from pytrickle.server import RouteConfig

    assert FrameProcessor is SameProcessor is byoc_nb.FrameProcessor
    assert (StreamServer, run_processor) == (byoc_nb.StreamServer, byoc_nb.run_processor)
    assert (VideoFrame, AudioFrame) == (byoc_nb.VideoFrame, byoc_nb.AudioFrame)
    assert callable(video_handler)
    assert RouteConfig.__module__ == "byoc_nb.runtime.server"


@pytest.mark.usefixtures("installed")
def test_names_from_several_of_our_modules_are_in_one_of_pytrickles() -> None:
    import pytrickle
    from pytrickle.frame_overlay import OverlayConfig, OverlayMode
    from pytrickle.frame_skipper import FrameSkipConfig
    from pytrickle.frames import AudioOutput, VideoOutput
    from pytrickle.stream_processor import StreamProcessor, VideoProcessingResult

    assert (pytrickle.StreamProcessor, pytrickle.FrameSkipConfig) == (StreamProcessor, FrameSkipConfig)
    assert (pytrickle.OverlayConfig, pytrickle.OverlayMode) == (OverlayConfig, OverlayMode)
    assert (pytrickle.VideoOutput, pytrickle.AudioOutput) == (VideoOutput, AudioOutput)
    assert pytrickle.VideoProcessingResult is VideoProcessingResult is byoc_nb.VideoProcessingResult
    assert {"StreamProcessor", "VideoFrame", "VideoOutput"} <= set(pytrickle.__all__)
    assert len(pytrickle.__all__) == len(set(pytrickle.__all__))


@pytest.mark.usefixtures("installed")
def test_importing_the_package_alone_and_everything_in_it_works() -> None:
    pytrickle = importlib.import_module("pytrickle")
    assert pytrickle.VideoFrame is byoc_nb.VideoFrame
    space: dict[str, object] = {}
    exec("from pytrickle import *\nfrom pytrickle.decorators import *", space)
    assert space["FrameProcessor"] is byoc_nb.FrameProcessor
    assert "video_handler" in space


@pytest.mark.usefixtures("installed")
def test_a_name_without_a_stand_in_says_where_the_original_is() -> None:
    pytrickle = importlib.import_module("pytrickle")
    with pytest.raises(AttributeError, match=r"no stand-in for pytrickle\.TrickleClient; pip install pytrickle"):
        pytrickle.TrickleClient  # noqa: B018
    with pytest.raises(ImportError, match="TrickleClient"):
        exec("from pytrickle import TrickleClient")
    with pytest.raises(ModuleNotFoundError, match=r"pytrickle\.client"):
        importlib.import_module("pytrickle.client")


def test_install_tells_whether_it_did_and_uninstall_takes_it_back() -> None:
    assert pytrickle_names.install()
    assert not pytrickle_names.install()
    importlib.import_module("pytrickle.frames")
    pytrickle_names.uninstall()
    assert not [name for name in sys.modules if name.partition(".")[0] == "pytrickle"]
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("pytrickle")


def test_a_pytrickle_that_is_there_wins(tmp_path: Path) -> None:
    package = tmp_path / "pytrickle"
    package.mkdir()
    (package / "__init__.py").write_text("original = True\n")
    (package / "frames.py").write_text("original = True\n")
    code = """
from byoc_nb import pytrickle_names
pytrickle_names.install()
import pytrickle, pytrickle.frames
print(pytrickle.original, pytrickle.frames.original)
"""
    assert python(code, tmp_path) == "True True\n"


def test_a_folder_of_that_name_is_no_pytrickle(tmp_path: Path) -> None:
    (tmp_path / "pytrickle" / "docs").mkdir(parents=True)  # such as a checkout of its repository
    code = """
from byoc_nb import pytrickle_names
pytrickle_names.install()
import pytrickle
print(pytrickle.FrameProcessor.__module__)
"""
    assert python(code, tmp_path) == "byoc_nb.processor\n"


def test_the_second_copy_that_a_wheel_installs_imports_nothing_of_ours_until_it_is_asked(tmp_path: Path) -> None:
    (tmp_path / "byoc_nb_pytrickle.py").write_text(SOURCE.read_text())
    line = SOURCE.with_name("pytrickle.pth").read_text()
    code = f"""
import sys
{line}
assert "byoc_nb" not in sys.modules
from pytrickle.frames import VideoFrame
import byoc_nb
from byoc_nb import pytrickle_names
assert VideoFrame is byoc_nb.VideoFrame
assert not pytrickle_names.install()  # one finder is enough, whoever brought it
pytrickle_names.uninstall()
assert "pytrickle" not in sys.modules
"""
    python(code, tmp_path)
