"""The texts of an export folder, from their templates."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

from byoc_nb.export.weights import SECRET, VOLUME

TEMPLATES = Path(__file__).parent / "templates"
RENDERED = {
    "processor.py": "processor.py.j2",
    "Dockerfile": "Dockerfile.j2",
    "requirements.in": "requirements.in.j2",
    "requirements.txt": "requirements.txt.j2",
    ".dockerignore": "dockerignore.j2",
    "smoke_test.py": "smoke_test.py.j2",
    "compose.yaml": "compose.yaml.j2",
    "k8s.yaml": "k8s.yaml.j2",
    "README.md": "README.md.j2",
}
PYTRICKLE = {"processor.py": "processor_pytrickle.py.j2"}
DOWNLOADS = {"fetch_weights.py": "fetch_weights.py.j2"}
LONGEST_LABEL = 60_000  # characters; docker refuses lines of more than 65,535 bytes
# The answer's body, not only its code: 200 comes with LOADING, too.
HEALTH = (
    "import json, os, sys, urllib.request as u; "
    "sys.exit(json.load(u.urlopen('http://127.0.0.1:' + os.environ['PORT'] + '/health', timeout=4))['status'] "
    "not in ('IDLE', 'OK'))"
)


def render(folder: Path, **values: Any) -> list[str]:
    """Write every text of an export into the folder, and give their names; raises ImportError without jinja2."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"quoted": shlex.quote, "plain_json": lambda value: json.dumps(value, ensure_ascii=False)}
    templates = RENDERED | (PYTRICKLE if values["frozen"].upstream else {})
    if any(one.how == "download" for one in values["weights"]):
        templates |= DOWNLOADS
    for file, template in templates.items():
        text = environment.get_template(template).render(health=HEALTH, secret=SECRET, volume=VOLUME, **values)
        (folder / file).write_text(text, encoding="utf-8")
    return list(templates)


def dns_label(name: str) -> str:
    """A capability's name as Kubernetes takes it for its objects; that of a service begins with a letter."""
    label = re.sub(r"[._-]+", "-", name)
    return f"{'' if label[0].isalpha() else 'byoc-'}{label}"[:63].strip("-")


def label_value(value: Any) -> str:
    """A value as JSON for between the double quotes of a Dockerfile's LABEL; empty if no line takes it."""
    text = json.dumps(value, separators=(",", ":"))
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$")
    return text if len(text) <= LONGEST_LABEL else ""
