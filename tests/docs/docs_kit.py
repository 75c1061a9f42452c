"""The documentation as data: its pages, their headings, links and code blocks."""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
OTHERS = [path for path in sorted([*ROOT.glob("*.md"), ROOT / "benchmarks" / "README.md"]) if path not in PAGES]
WITH_COMMANDS = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md"]
CLIPS = ("clip.mp4", "bigbuckbunny.mp4")  # what the pages call the clip of the quickstart

_MARK = re.compile(r"<!-- ([\w ]+?)(?:: (.+?))? -->")
_FENCE = re.compile(r"^( *)```(\w*)\s*$")


@dataclass(frozen=True)
class Block:
    """A fenced block. `marks` are the comments right above it: what it is checked as, or why it isn't run."""

    page: Path
    line: int
    language: str
    text: str
    marks: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


@lru_cache
def blocks(page: Path) -> tuple[Block, ...]:
    """The fenced blocks of a page, in order."""
    found: list[Block] = []
    marks: dict[str, str] = {}
    lines: list[str] = []
    opened: tuple[int, str, int] | None = None  # its line, language and indent
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if opened is not None:
            begin, language, indent = opened
            if fence and not fence[2]:
                found.append(Block(page, begin, language, "\n".join(lines) + "\n", marks))
                opened, marks, lines = None, {}, []
            else:
                lines.append(line[indent:])
        elif fence:
            opened = number, fence[2], len(fence[1])
        elif mark := _MARK.fullmatch(line.strip()):
            marks[mark[1]] = mark[2] or ""
        else:
            marks = {}
    assert opened is None, f"{page}: the block at {opened} is never closed"
    return tuple(found)


def all_blocks(*languages: str) -> list[Block]:
    """The blocks in these languages of all pages with commands."""
    return [block for page in WITH_COMMANDS for block in blocks(page) if block.language in languages]


def prose(page: Path) -> str:
    """A page without its blocks."""
    return re.sub(r"^( *)```.*?^\1```\s*$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """What a link's `#` may name: the headings, also of what is generated or included, and the documented names."""
    text = generator().filled(page.read_text(encoding="utf-8"))
    text = re.sub(r'^--8<-- "([^"]+\.md)"$', lambda found: (ROOT / found[1]).read_text(), text, flags=re.MULTILINE)
    text = re.sub(r"^( *)```.*?^\1```\s*$", "", text, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+?)(?: \{[^}]*\})?$", text, re.MULTILINE)
    return {slug(heading) for heading in headings} | set(re.findall(r"^::: (\S+)", text, re.MULTILINE))


def slug(heading: str) -> str:
    """A heading's anchor, as mkdocs and GitHub both make it of plain words."""
    plain = re.sub(r"\[([^]]*)\]\([^)]*\)|[`*]", r"\1", heading)
    plain = unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


def shell_commands(text: str) -> Iterator[str]:
    """The commands of a block: lines, joined where one goes on, without comments, and apart at pipes and `&&`."""
    for line in text.replace("\\\n", " ").splitlines():
        bare = re.sub(r"(^|\s)#\s.*$", "", line).strip()
        yield from (part.strip(" &") for part in re.split(r"\s\|\s|&&", bare) if part.strip(" &"))


@lru_cache
def generator() -> ModuleType:
    """The hook of mkdocs, `docs/generate.py`."""
    spec = spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
