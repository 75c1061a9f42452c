"""Which values a statement changes."""

from __future__ import annotations

import ast

import pytest
from source_kit import notebook

from byoc_nb.source.changes import alias

BEFORE = """
import logging, random, torch
from torch import nn
table, items, rows, net, store, w = {}, [], [], object(), {}, None
def fill(where, n=1): where["x"] = n
def look(where): return where["x"]
def note(f):
    store[f.__name__] = f
    return f
def noted(name):
    def decorate(f):
        store[name] = f
        return f
    return decorate
def again(x): again(x)
def set_up(): fill(table)
class Base:
    def __init_subclass__(cls): store[cls.__name__] = cls
class Middle(Base): ...
class Effect:
    def __init__(self, name, where): where.append(self)
"""


def changed(statement: str, *, shown: bool = False) -> set[str]:
    made = notebook(BEFORE)
    cell = made.ran(statement, 2, shown=shown)
    assert cell is not None
    return set(cell.statements[-1].changes)


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("table['x'] = 1", "table"),
        ("table['x'][0].y += 1", "table"),
        ("del table['x']", "table"),
        ("net.weight, rows[0] = 1, 2", "net rows"),
        ("setattr(net, 'x', 1)", "net"),
        ("items.append(1)", "items"),
        ("last = items.pop()", "items"),
        ("net.eval().to('cpu')", "net"),
        ("handle = net.register_forward_hook(print)", "net"),
        ("table.unheard_of()", "table"),
        ("print(table.unheard_of())", ""),
        ("print(table)", ""),
        ("table = {}", ""),
        ("copy = table.copy()", ""),
        ("torch.manual_seed(0)", "torch"),
        ("torch.backends.cudnn.benchmark = True", "torch"),
        ("torch.cuda.is_available()", ""),
        ("torch.zeros(1)", ""),
        ("logging.getLogger('x').setLevel(10)", "logging"),
        ("random.shuffle(items)", "items"),
        ("nn.init.zeros_(w)", "w"),
        ("with torch.no_grad(): w.fill_(0)", "w"),
        ("for i in range(9): table[i] = i", "table"),
        ("for row in rows: row.x = 1", "rows"),
        ("for i, row in enumerate(rows): row.x = 1", "rows"),
        ("for row in table.values():\n    for cell in row: cell.x = 1", "table"),
        ("if rows: rows.sort()", "rows"),
        ("[items.append(i) for i in range(3)]", "items"),
        ("fill(table)", "table"),
        ("fill(n=2, where=table)", "table"),
        ("look(table)", ""),
        ("set_up()", "table"),
        ("again(table)", ""),
        ("Effect('x', items)", "items"),
        ("e = Effect('x', where=items)", "items"),
        ("@note\ndef f(): ...", "store"),
        ("@noted('x')\ndef f(): ...", "store"),
        ("@net.route('/x')\ndef f(): ...", "net"),
        ("@torch.no_grad()\ndef f(): ...", ""),
        ("class C(Base): ...", "Base"),
        ("class C(Middle): ...", "Middle"),
        ("class C(Effect): ...", ""),
        ("class C:\n    rows = []\n    rows.append(1)\n    table['x'] = 1", "table"),
        ("def f(): table['x'] = 1", ""),
        ("f = lambda: items.append(1)", ""),
        ("same = table\nsame['x'] = 1", "table"),
        ("part = table['a'].b\nother = part\nother.x = 1", "table"),
        ("same = table\nsame = {}\nsame['x'] = 1", "same"),
    ],
)
def test_what_a_statement_changes(statement: str, expected: str) -> None:
    assert changed(statement) == set(expected.split())


@pytest.mark.parametrize(
    ("statement", "expected"),
    [("table.unheard_of()", ""), ("items.pop()", "items"), ("net.eval()", "net"), ("fill(table)", "table")],
)
def test_a_call_whose_value_was_shown_needs_a_better_reason(statement: str, expected: str) -> None:
    assert changed(statement, shown=True) == set(expected.split())


def test_an_alias_is_a_plain_path_to_a_name() -> None:
    def of(text: str) -> tuple[str, str] | None:
        return alias(ast.parse(text).body[0])

    assert of("a = b.c[0]") == ("a", "b")
    assert of("a = b()") is None
    assert of("a = b.c()[0]") is None
    assert of("a, c = b") is None
