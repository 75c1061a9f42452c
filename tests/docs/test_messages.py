"""The messages on the troubleshooting page are those of the code, word by word."""

from __future__ import annotations

import ast
import re
from functools import lru_cache
from pathlib import Path

import pytest
from docs_kit import DOCS, ROOT

PAGE = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
_HEADINGS = re.findall(r'^### `([^`]+)`(?: \{ data-message="([^"]+)" \})?$', PAGE, re.MULTILINE)
MESSAGES = [exact or shown for shown, exact in _HEADINGS]
GAP = "…"  # a name, a number, a path


@pytest.mark.parametrize("message", MESSAGES)
def test_the_code_says_so(message: str) -> None:
    pattern = re.compile(".*".join(map(re.escape, message.split(GAP))), re.DOTALL)
    assert len(re.sub(r"\W", "", message)) >= 6  # or it would match anything
    assert any(pattern.search(template) for template in templates())


def test_the_page_knows_what_users_meet() -> None:
    assert len(MESSAGES) == len(set(MESSAGES)) == len(re.findall(r"^### ", PAGE, re.MULTILINE))
    assert len(MESSAGES) >= 60


def test_a_message_that_nobody_says_is_found() -> None:
    assert not any("the moon is full" in template for template in templates())


@lru_cache
def templates() -> frozenset[str]:
    """Every text of the package's code, with a gap where a value goes."""
    found: set[str] = set()
    for path in (ROOT / "byoc_nb").rglob("*.py"):
        found |= _texts(path)
    return frozenset(found)


def _texts(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    constants = {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }

    def filled(part: ast.expr) -> str:
        if isinstance(part, ast.Constant):
            return str(part.value)
        assert isinstance(part, ast.FormattedValue)
        return constants.get(part.value.id, GAP) if isinstance(part.value, ast.Name) else GAP

    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    texts = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            texts.add("".join(map(filled, node.values)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            texts.add(node.value)
    return texts
