"""Run the quickstart notebook without a browser, for real, and show what came of it: `make demo`.

Leaves in the folder: the executed notebook, `input.mp4` and `output.mp4` (what went in, what came out), a contact sheet
of the frames around the hot reload, and the exported container folder.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

import av
import nbformat
import numpy as np
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from nbclient.util import run_sync
from PIL import Image, ImageDraw, ImageFont

from byoc_nb.network.record import START_TAG
from byoc_nb.runtime.ports import free_port

HERE = Path(__file__).parent
NOTEBOOK, CLIP = "01_quickstart.ipynb", "bigbuckbunny.mp4"
SHEET = "contact-sheet.png"
AROUND = (-6, -1, 0, 1, 6)  # frames before and after the first one of the new code
THUMBNAIL = (320, 180)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("demo-output"))
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for left in ("glowing-edges", "input.mp4", "output.mp4", SHEET):
        shutil.rmtree(folder / left) if (folder / left).is_dir() else (folder / left).unlink(missing_ok=True)
    shutil.copy(HERE / CLIP, folder)
    begin = time.monotonic()
    try:
        notebook, measured = execute(folder)
    except CellExecutionError as error:
        say(f"the notebook stopped: {error.ename}: {error.evalue}")
        return 1
    switch = contact_sheet(folder)
    say("")
    say(f"done in {time.monotonic() - begin:.0f} s: {len(notebook.cells)} cells run, a cell became a live stream,")
    say("  was changed while the video ran, and was frozen into a container folder")
    say("measured:")
    say(f"  {measured['fps_in']:.1f} frames per second in, {measured['fps_out']:.1f} out")
    drops = ", ".join(f"{cause}: {count}" for cause, count in measured["drops"].items())
    say(
        f"  {measured['frames_in']} frames in, {measured['frames_out']} out, {measured['frames_dropped']} dropped"
        + (f" ({drops}; on a busy machine)" if drops else "")
    )
    say(f"  latency {measured['latency_ms_p50']} ms (median), {measured['latency_ms_p99']} ms (99 of 100)")
    say(f"  {measured['reload']}")
    say(f"  the picture changed between two frames, {switch:.2f} s into output.mp4")
    say("to open:")
    for file, what in (
        (SHEET, "the frames around the reload, before above and after below"),
        ("output.mp4", "what came out"),
        ("input.mp4", "what went in"),
        (NOTEBOOK, "the notebook, as it was run"),
        ("glowing-edges/README.md", "how to run, build and register the exported container"),
    ):
        say(f"  {folder / file}: {what}")
    return 0


def execute(folder: Path) -> tuple[nbformat.NotebookNode, dict[str, object]]:
    """Run the notebook in a kernel of its own, a line a cell; returns it and what the stream measured."""
    notebook = nbformat.read(HERE / NOTEBOOK, as_version=4)
    try:
        KernelSpecManager().get_kernel_spec(notebook.metadata.kernelspec.name)
    except NoSuchKernel:
        notebook.metadata.kernelspec.name = "python3"
    port = 8000 if free_port("127.0.0.1", near=7999) == 8000 else free_port("127.0.0.1")
    os.environ.setdefault("BYOC_PORT", str(port))
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}})
    reload, measured = "", {}
    with client.setup_kernel():
        code = [(i, cell) for i, cell in enumerate(notebook.cells) if cell.cell_type == "code"]
        try:
            for number, (index, cell) in enumerate(code, 1):
                say(f"[{number:2}/{len(code)}] {cell.source.splitlines()[-1 if 'byoc' not in cell.source else 0]}")
                client.execute_cell(cell, index)
                for output in cell.outputs:
                    text = output.get("data", {}).get("text/plain", "")
                    reload = text if text.startswith("reloaded") else reload
                if cell.source == "%byoc status":
                    measured = expression(client, "dict(_)")
        finally:
            nbformat.write(notebook, folder / NOTEBOOK)
    return notebook, {**measured, "reload": reload}


def expression(client: NotebookClient, text: str) -> dict[str, object]:
    """The value of an expression in the notebook's kernel."""
    reply = run_sync(client.kc.execute_interactive)(
        "", user_expressions={"value": f"__import__('json').dumps({text})"}, silent=True, output_hook=lambda _: None
    )
    return dict(json.loads(eval(reply["content"]["user_expressions"]["value"]["data"]["text/plain"])))


def frames(path: Path) -> dict[int, np.ndarray]:
    """The pictures of a recording as small RGB arrays, by their time on the stream's clock in milliseconds."""
    with av.open(str(path)) as container:
        start = float(container.metadata[START_TAG])
        return {
            round((start + frame.time) * 1000): frame.to_ndarray(
                format="rgb24", width=THUMBNAIL[0], height=THUMBNAIL[1]
            )
            for frame in container.decode(video=0)
        }


def contact_sheet(folder: Path) -> float:
    """Write the sheet; returns where in output.mp4 the new code's first frame is, in seconds.

    That frame is found in the pixels: where the difference between input and output changes most.
    """
    before, after = frames(folder / "input.mp4"), frames(folder / "output.mp4")
    times = sorted(before.keys() & after.keys())
    change = np.array([float(np.mean(after[t].astype(np.int16) - before[t])) for t in times])
    first = int(np.argmax(np.abs(np.diff(change)))) + 1
    shown = [times[first + offset] for offset in AROUND if 0 <= first + offset < len(times)]
    width, height = THUMBNAIL
    sheet = Image.new("RGB", (len(shown) * (width + 8) - 8, 2 * height + 3 * 18 + 8), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for column, at in enumerate(shown):
        left = column * (width + 8)
        label = f"frame {times.index(at) - first:+d}" if at != times[first] else "the new code's first frame"
        draw.text((left + 2, 0), f"{label} · {(at - min(after)) / 1000:.2f} s", fill="black", font=font)
        sheet.paste(Image.fromarray(before[at]), (left, 18))
        sheet.paste(Image.fromarray(after[at]), (left, 18 + height + 8))
    draw.text((2, 2 * height + 30), "above: what went in · below: what came out", fill="black", font=font)
    sheet.save(folder / SHEET)
    return (times[first] - min(after)) / 1000


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
