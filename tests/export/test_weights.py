"""Files that loading opens: baked, mounted or downloaded, and found in the container under the paths in the text."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import freeze_kit
import pytest
import yaml
from test_dockerfile import lint

from byoc_nb.export import Export, export, weights
from byoc_nb.export.opened import OpenedFile
from byoc_nb.export.proof import bundled
from byoc_nb.export.weights import WeightsError, plan

URL = "https://weights.example/models/net.pt"


def opened(path: str, content: bytes | None = b"12345", line: int = 3) -> OpenedFile:
    found = None
    if content is not None:
        found = Path(path).expanduser()
        found.parent.mkdir(parents=True, exist_ok=True)
        found.write_bytes(content)
    return OpenedFile(path, "open", line, 2, found=found)


def told(found: list[weights.Weight]) -> list[tuple[str, str]]:
    return [(one.path, one.how) for one in found]


def refused(*files: OpenedFile, asked: list[str]) -> WeightsError:
    with pytest.raises(WeightsError) as caught:
        plan(files, asked)
    assert caught.value.hint
    assert "\n" not in caught.value.one_line()
    return caught.value


@pytest.fixture(autouse=True)
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the notebook runs in."""
    here = tmp_path / "notebook"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return here


# ---- what is decided


def test_what_is_small_and_there_is_baked_and_what_is_big_is_mounted(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [opened("a.pt"), opened("b/c.pt"), opened("gone.pt", None)]
    assert told(plan(files)) == [("a.pt", "bake"), ("b/c.pt", "bake")]
    monkeypatch.setattr(weights, "BAKED_UP_TO", 9)
    assert told(plan(files)) == [("a.pt", "mount"), ("b/c.pt", "mount")]
    assert told(plan(files[:2], ["bake"])) == [("a.pt", "bake"), ("b/c.pt", "bake")]


def test_a_missing_file_can_be_mounted_and_downloaded_but_not_baked() -> None:
    gone = opened("weights/net.pt", None)
    assert told(plan([gone], ["mount"])) == [("weights/net.pt", "mount")]
    assert told(plan([gone], [f"download={URL}"])) == [("weights/net.pt", "download")]
    error = refused(gone, asked=["bake"])
    assert str(error) == "cell [2] line 3: weights/net.pt isn't there, so it can't be baked"
    assert "--weights download=URL" in error.hint


def test_a_url_belongs_to_the_file_of_its_name_and_the_others_are_baked() -> None:
    found = plan([opened("a.pt"), opened("net.pt")], [f"download={URL}?rev=1"])
    assert told(found) == [("a.pt", "bake"), ("net.pt", "download")]
    assert found[1].url == f"{URL}?rev=1"
    assert found[1].sha256 == hashlib.sha256(b"12345").hexdigest()
    (alone,) = plan([opened("other.pt", None)], [f"download={URL}#sha256={'a' * 64}"])
    assert (alone.url, alone.sha256) == (URL, "a" * 64)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["download="], "isn't a URL"),
        (["download=ftp://x/net.pt"], "isn't a URL"),
        (["download=net.pt"], "isn't a URL"),
        ([f"download={URL}#sha256=12"], "isn't the digest"),
        ([f"download={URL}#net"], "isn't the digest"),
        (["download=https://x.example/other.pt"], "but loading opens a.pt, net.pt"),
        (["download=http://[/net.pt"], "isn't a URL"),
        (["download=https://x.example:99999/net.pt"], "isn't a URL"),
        (["download=https://x.example/a b/net.pt"], "isn't a URL"),
        (["download=https://me:pass@x.example/net.pt"], "holds a secret"),
        (["download=https://:me:pass@x.example/net.pt"], "holds a secret"),
        ([f"download={URL}?token=abcdefgh12345678"], "holds a secret"),
        (["copy"], "are not got by 'copy'"),
    ],
)
def test_what_cannot_be_done_is_told(asked: list[str], said: str) -> None:
    error = refused(opened("a.pt"), opened("net.pt"), asked=asked)
    assert said in str(error)
    assert "abcdefgh" not in error.one_line() and "me:pass" not in error.one_line()


def test_two_files_for_one_place_are_told(tmp_path: Path) -> None:
    error = refused(opened("net.pt"), opened("../net.pt"), asked=["bake"])
    assert str(error) == "net.pt and ../net.pt would lie in one place, net.pt"


def test_what_lies_in_a_folder_that_is_opened_goes_along_with_it() -> None:
    inside = opened("model/config.json")
    folder = OpenedFile("model", "load", 4, 2, found=Path("model"))
    missing = opened("./model/gone.bin", None)
    beside = opened("model.json")
    for asked in ([], ["bake"], ["mount"]):
        assert [one.path for one in plan([inside, folder, missing, beside], asked)] == ["model", "model.json"]
    found = plan([inside, folder], ["download=https://x.example/config.json"])
    assert told(found) == [("model/config.json", "download"), ("model", "bake")]


@pytest.mark.parametrize(
    "name", ["it's.pt", 'a"b.pt', "a$b.pt", "w[1].pt", "w*.pt", "w?.pt", "a\\b.pt", " a.pt", "a\t.pt"]
)
@pytest.mark.parametrize("how", ["bake", "mount"])
def test_a_name_that_is_more_than_a_name_to_docker_is_told(name: str, how: str) -> None:
    assert "can't stand in a Dockerfile" in str(refused(opened(name), asked=[how]))


def test_spaces_and_other_letters_are_no_hindrance() -> None:
    assert told(plan([opened("größe 2/a b.pt")])) == [("größe 2/a b.pt", "bake")]


def test_the_path_in_the_text_leads_to_the_same_file_in_the_container(tmp_path: Path) -> None:
    absolute = str(tmp_path / "data" / "d.pt")
    paths = ["a.pt", "./w/b.pt", "../c.pt", absolute, "~/.cache/e.pt"]
    found = {one.path: (one.inside, one.key) for one in plan(list(map(opened, paths)))}
    assert found["a.pt"] == ("/app/a.pt", "a.pt")
    assert found["./w/b.pt"] == ("/app/w/b.pt", "w/b.pt")
    assert found["../c.pt"] == ("/c.pt", "c.pt")
    assert found[absolute] == (absolute, absolute.lstrip("/"))
    assert found["~/.cache/e.pt"] == ("/home/app/.cache/e.pt", ".cache/e.pt")


def test_a_file_that_is_opened_twice_is_one() -> None:
    assert len(plan([opened("a.pt"), opened("./a.pt"), opened("a.pt", line=9)])) == 1


# ---- what is written

TEXT = """from pathlib import Path
class P(FrameProcessor):
    def load_model(self):
        self.level = int(Path("w/level.txt").read_text())
        with open("more.txt") as file:
            self.level += int(file.read())
    def process_video(self, frame):
        return frame.replace_array(frame.array // 2 + self.level)
"""


def write(folder: Path, *asked: str, text: str = TEXT, **options: Any) -> Export:
    opened("w/level.txt", b"9")
    opened("more.txt", b"30")
    made = freeze_kit.kernel(text)
    options = {"cpu": True, "prove": bundled(), **options}
    return export(folder, made.notebook, "P", made.namespace, weights=asked, **options)


def manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "byoc.json").read_text()))


def test_baked_files_have_a_layer_before_the_code_and_are_proven_with(tmp_path: Path) -> None:
    done = write(tmp_path / "p")
    assert "weights:  w/level.txt, more.txt (3 B) in the image" in str(done)
    dockerfile = (tmp_path / "p" / "Dockerfile").read_text()
    layer = 'COPY --chown=app:app ["w/level.txt", "/app/w/level.txt"]\n'
    assert dockerfile.index(layer) < dockerfile.index("COPY processor.py")
    assert "VOLUME" not in dockerfile and "secret" not in dockerfile
    assert {"!w/level.txt", "!more.txt"} < set((tmp_path / "p" / ".dockerignore").read_text().splitlines())
    said = manifest(tmp_path / "p")
    assert said["proof"]["equal"]
    assert said["weights"][0] == {
        "path": "w/level.txt",
        "how": "bake",
        "inside": "/app/w/level.txt",
        "opened": "cell [1] line 4",
        "bytes": 1,
        "sha256": hashlib.sha256(b"9").hexdigest(),
        "url": None,
    }
    assert said["files"]["w/level.txt"] == said["weights"][0]["sha256"]
    lint(tmp_path / "p")


def test_mounted_files_are_links_into_a_volume_that_every_file_tells_of(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    write(folder, "mount")
    dockerfile = (folder / "Dockerfile").read_text()
    assert 'VOLUME ["/models"]\n' in dockerfile
    assert "ln -s /models/w/level.txt /app/w/level.txt" in dockerfile
    assert not (folder / "more.txt").exists()
    (service,) = yaml.safe_load((folder / "compose.yaml").read_text())["services"].values()
    assert service["volumes"] == ["./models:/models:ro"]
    pod = next(yaml.safe_load_all((folder / "k8s.yaml").read_text()))["spec"]["template"]["spec"]
    assert pod["containers"][0]["volumeMounts"][0]["mountPath"] == "/models"
    assert pod["volumes"] == [{"name": "models", "persistentVolumeClaim": {"claimName": "p-models", "readOnly": True}}]
    assert "put it into `models/w/level.txt` here" in (folder / "README.md").read_text()
    assert manifest(folder)["proof"]["equal"]
    lint(folder)


def test_downloads_are_a_build_step_with_a_secret(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    done = write(folder, "download=https://w.example/level.txt", cpu=False)
    assert "level.txt (1 B) downloaded when the image is built" in str(done)
    dockerfile = (folder / "Dockerfile").read_text()
    assert "RUN --mount=type=secret,id=weights_token python3 /fetch_weights.py /weights\n" in dockerfile
    assert 'COPY --from=weights --chown=app:app ["/weights/w/level.txt", "/app/w/level.txt"]\n' in dockerfile
    assert "!fetch_weights.py" in (folder / ".dockerignore").read_text().splitlines()
    assert "--secret id=weights_token,env=HF_TOKEN" in (folder / "README.md").read_text()
    assert not (folder / "w").exists() and (folder / "more.txt").is_file()
    assert [one["url"] for one in manifest(folder)["weights"]] == ["https://w.example/level.txt", None]
    lint(folder)
    write(folder)
    assert not (folder / "fetch_weights.py").exists(), "what the export before wrote and this one doesn't is taken away"


def test_a_folder_of_files_goes_along_as_a_whole(tmp_path: Path) -> None:
    opened("model/config.json", b"1")
    opened("model/parts/0.bin", b"2")
    text = TEXT.replace("def process_video", "    self.parts = load('model')\n    def process_video")
    text = "def load(path):\n    return sorted(one.name for one in Path(path).rglob('*'))\n" + text
    write(tmp_path / "p", text=text)
    assert (tmp_path / "p" / "model" / "parts" / "0.bin").read_bytes() == b"2"
    assert 'COPY --chown=app:app ["model", "/app/model"]' in (tmp_path / "p" / "Dockerfile").read_text()
    assert "!model" in (tmp_path / "p" / ".dockerignore").read_text().splitlines()


def test_paths_outside_of_the_notebooks_folder_are_proven_with_and_are_no_warning(tmp_path: Path) -> None:
    opened("../above.txt", b"3")
    text = TEXT.replace('"w/level.txt"', f'"{tmp_path}/absolute.txt"').replace('"more.txt"', '"../above.txt"')
    opened(f"{tmp_path}/absolute.txt", b"4")
    done = write(tmp_path / "p", text=text)
    assert not done.warnings
    assert manifest(tmp_path / "p")["proof"]["equal"]
    assert 'COPY --chown=app:app ["above.txt", "/above.txt"]' in (tmp_path / "p" / "Dockerfile").read_text()


def test_a_missing_file_is_a_warning_with_its_line_unless_it_is_mounted(tmp_path: Path) -> None:
    text = TEXT.replace("self.level =", "self.gone = open('gone.bin') if not self else 1; self.level =", 1)
    (warning,) = write(tmp_path / "p", text=text).warnings
    assert str(warning).startswith("warning [missing-file] cell [1] line 4: gone.bin isn't there")
    assert write(tmp_path / "p", "mount", text=text).warnings == ()


def test_a_file_that_would_lie_over_one_of_the_exports_is_told(tmp_path: Path) -> None:
    opened("clip.ts", b"1")
    with pytest.raises(WeightsError, match=r"clip\.ts is also the name of a file of the export"):
        write(tmp_path / "p", text=TEXT.replace("more.txt", "clip.ts"))
    assert not (tmp_path / "p").exists()


def test_a_file_that_is_called_like_the_manifest_is_told(tmp_path: Path) -> None:
    opened("byoc.json", b"1")
    with pytest.raises(WeightsError, match=r"byoc\.json is also the name of a file of the export"):
        write(tmp_path / "p", text=TEXT.replace("more.txt", "byoc.json"))


def test_what_the_processor_writes_is_no_file_that_it_needs(tmp_path: Path) -> None:
    text = TEXT.replace("self.level =", "open('w/log.txt', 'w').close(); self.level =", 1)
    assert [one["path"] for one in (write(tmp_path / "p", text=text), manifest(tmp_path / "p"))[1]["weights"]] == [
        "w/level.txt",
        "more.txt",
    ]


# ---- the download itself


@contextlib.contextmanager
def host(content: bytes, asked: list[tuple[str, str | None]], leads_to: str = "", announced: int = 0) -> Iterator[str]:
    """A server of one file, which breaks off before `announced` bytes; `asked` gets paths and Authorization headers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            if leads_to:
                self.send_response(302)
                self.send_header("Location", leads_to)
                self.end_headers()
            else:
                self.send_response(200)
                if announced:
                    self.send_header("Content-Length", str(announced))
                self.end_headers()
                self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def fetch(folder: Path, target: Path, token: Path) -> subprocess.CompletedProcess[str]:
    """The build step, with the secret where a test can put one."""
    program = (folder / "fetch_weights.py").read_text().replace("/run/secrets/weights_token", str(token))
    command = [sys.executable, "-c", program, str(target)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_build_step_fetches_checks_and_gives_the_token_to_its_host_alone(tmp_path: Path) -> None:
    storage: list[tuple[str, str | None]] = []
    asked: list[tuple[str, str | None]] = []
    (tmp_path / "token").write_text("s3cret\n")
    with host(b"9", storage) as elsewhere, host(b"", asked, leads_to=f"{elsewhere}/blob") as first:
        write(tmp_path / "p", f"download={first}/level.txt")
        done = fetch(tmp_path / "p", tmp_path / "got", tmp_path / "token")
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "got" / "w" / "level.txt").read_bytes() == b"9"
        assert (asked, storage) == ([("/level.txt", "Bearer s3cret")], [("/blob", None)])
        assert fetch(tmp_path / "p", tmp_path / "got", tmp_path / "none").returncode == 0
        assert asked[-1] == ("/level.txt", None)
    with host(b"another", []) as base:
        write(tmp_path / "p", f"download={base}/level.txt")
        done = fetch(tmp_path / "p", tmp_path / "got", tmp_path / "none")
        assert done.returncode == 1
        assert f"{base}/level.txt is another file: sha256 " in done.stderr


def test_a_download_that_breaks_off_is_no_file(tmp_path: Path) -> None:
    gone = TEXT.replace("more.txt", "gone.txt")
    with host(b"12345", [], announced=9) as base:
        write(tmp_path / "p", f"download={base}/gone.txt", text=gone, prove=None)
        done = fetch(tmp_path / "p", tmp_path / "got", tmp_path / "none")
        assert done.returncode == 1
        assert "gone.txt broke off, 4 bytes before its end" in done.stderr


def test_a_download_that_leads_out_of_https_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "p", "download=https://x.example/level.txt", prove=None)
    program = (tmp_path / "p" / "fetch_weights.py").read_text()
    answer = "import io; urllib.request.urlopen = lambda request, timeout: Answer()\n"
    answer += "class Answer(io.BytesIO):\n    url, length = 'http://elsewhere.example/x', 0\n"
    program = program.replace("\nfor url, name", f"\n{answer}\nfor url, name")
    command = [sys.executable, "-c", program, str(tmp_path / "got")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "leads to http://elsewhere.example/x, which anybody on the way may change" in done.stderr
