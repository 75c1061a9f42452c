"""An export folder: complete, repeatable, and never written over somebody's edits."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import freeze_kit
import numpy as np
import pytest
from pydantic import SecretStr

import byoc_nb
from byoc_nb.export import Export, ExportError, FreezeError, edits, export, proof
from byoc_nb.source import Notebook

TEXT = '''
class GreenTint(FrameProcessor):
    """Costs $5 {and} {{ jinja }} {% raw %}."""

    class Params(BaseModel):
        strength: float = Field(0.3, ge=0, le=1)

    def process_video(self, frame):
        out = frame.array.copy()
        out[..., 1] = 255
        return frame.replace_array(out)
'''
WITH_TENSOR = "class Tint(FrameProcessor):\n    def process_video(self, frame):\n        return frame.tensor\n"
WHEEL = f"byoc_nb-{byoc_nb.__version__}-py3-none-any.whl"
TEXTS = {
    "processor.py",
    "Dockerfile",
    "requirements.in",
    "requirements.txt",
    ".dockerignore",
    "smoke_test.py",
    "compose.yaml",
    "k8s.yaml",
    "README.md",
}
FILES = TEXTS | {"clip.ts", "byoc.json", WHEEL}


def namespace(text: str = TEXT) -> dict[str, Any]:
    space = {name: getattr(byoc_nb, name) for name in ("FrameProcessor", "BaseModel", "Field")}
    exec(text, space)
    return space


def notebook(text: str = TEXT) -> Notebook:
    made = Notebook()
    made.ran(text, 1)
    return made


def write(folder: Path, text: str = TEXT, name: str = "GreenTint", **options: Any) -> Export:
    return export(folder, notebook(text), name, namespace(text), **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refused(folder: Path, **options: Any) -> ExportError:
    before = contents(folder) if folder.is_dir() else None
    with pytest.raises(ExportError) as caught:
        write(folder, **options)
    assert "\n" not in caught.value.one_line()
    assert (contents(folder) if folder.is_dir() else None) == before
    return caught.value


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "green-tint"


# ---- what is written


def test_the_folder_is_complete_and_nothing_else_is_left(folder: Path) -> None:
    done = write(folder)
    assert set(contents(folder)) == set(done.files) == FILES
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert "exported green-tint to" in str(done)
    assert f"docker build -t green-tint {folder}" in repr(done)


def test_files_can_be_read_by_everybody_and_run_by_nobody(folder: Path) -> None:
    write(folder)
    umask = os.umask(0)
    os.umask(umask)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o666 & ~umask}


def test_the_program_holds_the_cell_to_the_letter_and_the_means_to_serve_it(folder: Path) -> None:
    write(folder)
    text = (folder / "processor.py").read_text()
    assert TEXT.strip() in text
    assert "from byoc_nb import BaseModel, Field, FrameProcessor\n" in text
    assert 'os.environ.get("CAPABILITY_NAME", "green-tint")' in text
    assert ast.get_docstring(ast.parse(text)).startswith("green-tint: a Livepeer BYOC processor")  # type: ignore[union-attr]
    assert max(map(len, text.splitlines())) <= 120


def test_the_program_runs_in_a_clean_process_without_torch_or_a_notebook(folder: Path) -> None:
    write(folder)
    code = """
import sys, numpy as np, processor
from byoc_nb.dialects import Processor
from byoc_nb.frames import VideoFrame
import asyncio
made = asyncio.run(Processor(processor.GreenTint).video(VideoFrame(np.zeros((2, 2, 3), np.uint8))))
print(made.array[0, 0].tolist(), sorted({"torch", "IPython", "jinja2"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[0, 255, 0] []"


def test_names_of_the_cell_are_not_disturbed_by_the_program_around_it(folder: Path) -> None:
    text = "os = 'mine'\nlogging = asyncio = 5\n" + TEXT
    write(folder, text)
    code = "import processor; print(processor.os, processor.logging, processor.asyncio)"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["mine", "5", "5"]


def test_future_imports_come_first(folder: Path) -> None:
    write(folder, "from __future__ import annotations\n" + TEXT)
    tree = ast.parse((folder / "processor.py").read_text())
    first = tree.body[1]
    assert isinstance(first, ast.ImportFrom)
    assert first.module == "__future__"
    compile(tree, "processor.py", "exec")


def test_the_requirements_are_pinned_and_bring_the_wheel(folder: Path) -> None:
    write(folder)
    lines = [line for line in (folder / "requirements.txt").read_text().splitlines() if not line.startswith("#")]
    assert (folder / "requirements.in").read_text().splitlines()[1:] == lines[:-1]
    assert lines[-1] == f"./{WHEEL}"
    assert [line.split("==")[0] for line in lines[:-1]] == ["aiohttp", "av", "numpy", "prometheus-client", "pydantic"]


def test_the_image_has_cuda_unless_it_is_for_the_cpu(folder: Path, tmp_path: Path) -> None:
    write(folder)
    write(tmp_path / "cpu", cpu=True)
    cuda, cpu = (folder / "Dockerfile").read_text(), (tmp_path / "cpu" / "Dockerfile").read_text()
    assert "FROM nvidia/cuda" in cuda.replace("ARG BASE_IMAGE=", "FROM ")
    assert "NVIDIA_VISIBLE_DEVICES" in cuda
    assert "nvidia" not in cpu.lower()
    assert f"python:{sys.version_info.major}.{sys.version_info.minor}-slim" in cpu
    for text in (cuda, cpu):
        assert f"COPY requirements.txt {WHEEL} ./" in text
        assert "USER 10001:10001" in text
        assert "EXPOSE 8000" in text
        assert 'ENTRYPOINT ["python", "processor.py"]' in text
        assert "{{" not in text
        assert not [line for line in text.splitlines() if line.rstrip() != line]
    assert "--gpus all" in (folder / "README.md").read_text()
    assert "--gpus" not in (tmp_path / "cpu" / "README.md").read_text()


def test_torch_for_the_cpu_comes_from_its_own_index(folder: Path) -> None:
    write(folder, WITH_TENSOR, "Tint", cpu=True)
    text = (folder / "requirements.txt").read_text()
    assert "--extra-index-url https://download.pytorch.org/whl/cpu\n" in text
    assert "\ntorch==" in text
    write(folder, WITH_TENSOR, "Tint")
    assert "index" not in (folder / "requirements.txt").read_text()


def test_only_what_the_image_needs_goes_to_the_builder(folder: Path) -> None:
    write(folder)
    rules = [line for line in (folder / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert rules == ["*", "!processor.py", "!requirements.txt", f"!{WHEEL}"]


def test_the_readme_has_the_name_the_class_and_the_steps(folder: Path) -> None:
    write(folder)
    text = (folder / "README.md").read_text()
    for needed in (
        "# green-tint",
        "`GreenTint`",
        "python processor.py",
        "docker build -t green-tint:latest",
        "/stream/start",
    ):
        assert needed in text
    assert "{{" not in text


def test_the_manifest_names_every_file_with_its_digest(folder: Path) -> None:
    write(folder)
    manifest = json.loads((folder / "byoc.json").read_text())
    assert (manifest["name"], manifest["processor"]) == ("green-tint", "GreenTint")
    assert set(manifest["files"]) == FILES - {"byoc.json"}


def test_equal_inputs_give_equal_bytes(folder: Path, tmp_path: Path) -> None:
    write(folder)
    write(tmp_path / "again")
    assert contents(folder) == contents(tmp_path / "again")


# ---- what lies beside it


def test_modules_and_arrays_lie_beside_the_program_and_go_into_the_image(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "byoc_e.py").write_text("from byoc_f import more\n")
    (tmp_path / "byoc_f").mkdir()
    (tmp_path / "byoc_f" / "__init__.py").write_text("more = 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    text = "import byoc_e\nimport numpy as np\n" + TEXT.replace("255", "byoc_e.more + curve[0]")
    made = Notebook()
    made.ran("import numpy as np\ncurve = np.random.default_rng().integers(9, 99, 5)", 1)
    made.ran(text, 2)
    curve = np.arange(5) + 40
    export(folder, made, "GreenTint", {**namespace(), "curve": curve})
    beside = {"byoc_e.py", "byoc_f/__init__.py", "constants.safetensors"}
    assert set(json.loads((folder / "byoc.json").read_text())["files"]) == FILES - {"byoc.json"} | beside
    for file in beside:
        assert f'COPY ["{file}", "./{file}"]' in (folder / "Dockerfile").read_text()
        assert f"!{file}" in (folder / ".dockerignore").read_text().splitlines()
    assert "safetensors==" in (folder / "requirements.txt").read_text()
    assert ran_on_black(folder) == [0, 42, 0]
    export(folder, made, "GreenTint", {**namespace(), "curve": curve})  # over its own files


def test_the_program_starts_with_the_parameters_that_were_set(folder: Path) -> None:
    text = TEXT.replace("255", "int(self.params.strength * 100)")
    write(folder, text, params={"strength": 0.75})
    assert ran_on_black(folder) == [0, 75, 0]
    write(folder, text)
    assert ran_on_black(folder) == [0, 30, 0]


WITHOUT_MODEL = """
class Gain(FrameProcessor):
    gain = 0

    def update_params(self, params):
        self.gain = params["gain"]

    def process_video(self, frame):
        return frame.replace_array(frame.array // 2 + self.gain + self.params["offset"])
"""


def test_a_secret_parameter_is_not_written_and_told(folder: Path) -> None:
    text = "from pydantic import SecretStr\n" + TEXT.replace("le=1)", "le=1)\n        key: SecretStr = SecretStr('')")
    made = freeze_kit.kernel(text)
    params = {"strength": 0.5, "key": SecretStr("one-of-ours")}
    done = export(folder, made.notebook, "GreenTint", made.namespace, params=params)
    assert [str(one) for one in done.warnings if "key is a secret and isn't exported" in str(one)]
    program = (folder / "processor.py").read_text()
    assert "{'strength': 0.5}" in program and "***" not in program
    assert not any("one-of-ours" in path.read_text("utf-8", "replace") for path in folder.iterdir())


def test_parameters_without_a_model_are_the_programs_too_and_reach_its_hook(folder: Path) -> None:
    write(folder, WITHOUT_MODEL, "Gain", params={"gain": 7, "offset": 2}, prove=proof.bundled())
    text = (folder / "processor.py").read_text()
    assert "_BYOC_PARAMS = {'gain': 7, 'offset': 2}\n" in text
    assert "        params=_BYOC_PARAMS,\n" in text
    manifest = json.loads((folder / "byoc.json").read_text())
    assert (manifest["params"], manifest["schema"]) == ({"gain": 7, "offset": 2}, None)
    assert manifest["proof"]["equal"]


@pytest.mark.parametrize("value", [np.ones(2), object(), float("nan"), {1, 2}, b"x", "\ud800"])
def test_a_parameter_that_no_text_gives_is_told(folder: Path, value: object) -> None:
    with pytest.raises(ExportError, match="the parameter gain can't be written as text: ") as caught:
        write(folder, WITHOUT_MODEL, "Gain", params={"offset": 1, "gain": value})
    assert "\n" not in caught.value.one_line()
    assert not folder.exists()


def test_what_an_export_before_wrote_and_this_one_does_not_is_taken_away(folder: Path) -> None:
    write(folder)
    manifest = json.loads((folder / "byoc.json").read_text())
    (folder / "old.txt").write_text("5")
    digest = edits.digest(folder / "old.txt")
    (folder / "byoc.json").write_text(json.dumps(manifest | {"files": {**manifest["files"], "old.txt": digest}}))
    write(folder)
    assert {path.name for path in folder.iterdir()} == FILES


def test_warnings_are_told_with_what_was_written(folder: Path) -> None:
    done = write(folder, TEXT + "    device = 'cuda:0'\n")
    assert str(done).startswith('warning [cuda-index] cell [1] line 12: "cuda:0" is one certain GPU')
    assert "exported green-tint to" in str(done)


def ran_on_black(folder: Path) -> list[int]:
    """What the exported processor makes of a black pixel, in a process of its own."""
    code = """
import asyncio, numpy as np, processor
from byoc_nb.dialects import Processor
from byoc_nb.frames import VideoFrame
made = asyncio.run(Processor(processor.GreenTint).video(VideoFrame(np.zeros((2, 2, 3), np.uint8))))
print(made.array[0, 0].tolist())
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


# ---- names


@pytest.mark.parametrize("name", ["my-tint", "tint2", "a.b_c-d", "x"])
def test_a_name_that_an_image_can_have_is_taken(folder: Path, name: str) -> None:
    assert export(folder, notebook(), "GreenTint", namespace(), name=name).name == name
    assert f"CAPABILITY_NAME={name} " in (folder / "Dockerfile").read_text()


@pytest.mark.parametrize("name", ["My-Tint", "a b", "-a", "a-", "a--", "../a", 'a"b', "a\n", "ä", "a/b", "$(x)"])
def test_another_name_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(ExportError, match="can't name a capability") as caught:
        export(folder, notebook(), "GreenTint", namespace(), name=name)
    assert "--name" in caught.value.hint
    assert "\n" not in caught.value.one_line()
    assert not folder.exists()


# ---- once more


def test_exporting_again_replaces_what_an_export_left(folder: Path) -> None:
    write(folder)
    write(folder, TEXT.replace("255", "254"))
    assert "= 254" in (folder / "processor.py").read_text()
    write(folder)


@pytest.mark.parametrize("file", [*sorted(TEXTS), "clip.ts", WHEEL])
def test_an_edited_file_is_named_and_kept_unless_forced(folder: Path, file: str) -> None:
    write(folder)
    with open(folder / file, "ab") as edited:
        edited.write(b"# mine\n")
    error = refused(folder)
    assert f"{file} in {folder} was edited" in str(error)
    assert "--force" in error.hint
    write(folder, force=True)
    assert b"# mine" not in (folder / file).read_bytes()
    write(folder)


def test_several_edited_files_are_all_named(folder: Path) -> None:
    write(folder)
    for file in ("Dockerfile", "README.md"):
        (folder / file).write_text("mine")
    assert f"Dockerfile, README.md in {folder} were edited" in str(refused(folder))


def test_a_file_of_somebody_elses_in_a_strange_folder_is_kept(folder: Path) -> None:
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\n")
    assert "made by somebody else" in str(refused(folder))


def test_other_files_in_the_folder_stay(folder: Path) -> None:
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    write(folder)
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    "manifest", ["", "[]", "{}", '{"files": 5}', '{"files": ["a"]}', "\x00", "[" * 100_000], ids=str.__len__
)
def test_a_broken_manifest_makes_every_file_somebody_elses(folder: Path, manifest: str) -> None:
    write(folder)
    (folder / "byoc.json").write_text(manifest)
    assert "processor.py" in str(refused(folder))
    write(folder, force=True)


def test_a_manifest_speaks_for_its_own_folder_alone(folder: Path, tmp_path: Path) -> None:
    """Whoever wrote it: what an export takes away never lies elsewhere."""
    outside = tmp_path / "outside.txt"
    outside.touch()
    write(folder)
    said = json.loads((folder / "byoc.json").read_text())
    said["files"] |= dict.fromkeys(["../outside.txt", str(outside), "a\0b"], edits.digest(outside))
    (folder / "byoc.json").write_text(json.dumps(said))
    write(folder)
    assert outside.exists()


def test_a_schema_that_no_line_of_a_dockerfile_takes_is_left_out(folder: Path) -> None:
    text = TEXT.replace("le=1)", "le=1, description='x' * 70_000)")
    write(folder, text=text)
    dockerfile = (folder / "Dockerfile").read_text()
    assert max(map(len, dockerfile.splitlines())) < 65_535 and "io.byoc.params.schema" not in dockerfile
    assert "exported by byoc_nb" in dockerfile and "\nENV PATH" in dockerfile


def test_the_wheel_of_an_older_version_is_taken_away(folder: Path) -> None:
    write(folder)
    old = folder / "byoc_nb-0.0.1-py3-none-any.whl"
    old.write_bytes(b"old")
    write(folder)
    assert not old.exists()


# ---- what can go wrong


def test_a_path_under_a_file_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert f"{tmp_path / 'file'} is a file, not a folder" in str(refused(tmp_path / "file" / "export"))


def test_a_file_in_the_folders_place_is_told_and_kept(folder: Path) -> None:
    folder.write_text("mine")
    assert f"{folder} is a file" in str(refused(folder))
    assert folder.read_text() == "mine"


def test_a_folder_in_a_files_place_leaves_the_old_export_whole(folder: Path) -> None:
    write(folder)
    (folder / "README.md").unlink()
    (folder / "README.md").mkdir()
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(ExportError, match=r"README\.md is a folder there"):
        write(folder, TEXT.replace("255", "254"))
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a small file system")
def test_a_full_disk_leaves_the_old_export_whole(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2500k", "tmpfs", disk], check=False, capture_output=True
    ).returncode:
        pytest.skip("mount is not allowed here")
    try:
        write(disk / "export")
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        (disk / "filler").write_bytes(b"\0" * (free - 8192))
        error = refused(disk / "export")
        assert "No space left" in str(error)
        assert sorted(path.name for path in disk.iterdir()) == ["export", "filler"]
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_cell_that_cant_be_frozen_writes_nothing(folder: Path) -> None:
    with pytest.raises(FreezeError):
        export(folder, notebook(TEXT + "x = unheard_of\n"), "GreenTint", namespace())
    assert not folder.exists()


def test_a_processor_that_was_deleted_in_the_notebook_is_told(folder: Path) -> None:
    with pytest.raises(ExportError, match="GreenTint is gone") as caught:
        export(folder, notebook(), "GreenTint", {})
    assert "again" in caught.value.hint


def test_a_package_that_was_never_installed_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = metadata.distribution

    def distribution(name: str) -> metadata.Distribution:
        if name == "byoc_nb":
            raise metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(metadata, "distribution", distribution)
    error = refused(folder)
    assert "never installed" in str(error)
    assert "pip install" in error.hint


def test_without_the_lab_extra_the_missing_package_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    error = refused(folder)
    assert error.one_line() == "export needs jinja2: pip install 'byoc_nb[lab]'"


def test_a_relative_folder_and_the_current_one_will_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir()
    monkeypatch.chdir(folder)
    write(Path("sub/deep"))
    assert set(contents(folder / "sub" / "deep")) == FILES
    write(Path())
    assert {path.name for path in folder.iterdir()} == FILES | {"sub"}


def test_a_linked_folder_is_written_where_it_leads(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    write(folder)
    assert set(contents(tmp_path / "elsewhere")) == FILES
    assert folder.is_symlink()
