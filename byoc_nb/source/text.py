"""Reading a text, and taking statements out of it without moving the lines of the others."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable


def parse(text: str) -> ast.Module:
    """The text's syntax tree. What the compiler warns of was told when the cell ran, and isn't told again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


def without(text: str, nodes: Iterable[ast.stmt]) -> str:
    """The text with these statements left blank, everything else on its line."""
    lines = text.split("\n")  # as the parser counts them; splitlines() knows other line ends too
    for node in sorted(nodes, key=lambda node: (node.lineno, node.col_offset), reverse=True):
        first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
        before = lines[first].encode()[: node.col_offset].decode()
        after = lines[last].encode()[node.end_col_offset :].decode().lstrip("; ")
        lines[first : last + 1] = [before + ("" if after.startswith("#") else after), *[""] * (last - first)]
    return "\n".join(lines)


def without_main_guard(text: str) -> str:
    """The text with its `if __name__ == "__main__":` blocks left blank; one that doesn't parse as it is.

    Such a block is a program's own start, for which the notebook's server or the container's stands.
    """
    try:
        tree = parse(text)
    except (SyntaxError, ValueError):
        return text
    return without(text, [node for node in tree.body if _is_main_guard(node)])


def _is_main_guard(node: ast.stmt) -> bool:
    tests = ("__name__ == '__main__'", "'__main__' == __name__")
    return isinstance(node, ast.If) and not node.orelse and ast.unparse(node.test) in tests
