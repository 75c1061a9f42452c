"""What a call calls, by its name in full: `sleep` is `time.sleep` after `from time import sleep`."""

from __future__ import annotations

import ast
import re

from byoc_nb.source import Notebook, definition_in

_STATE = "seed|default_rng|Random|RandomState|SeedSequence|Generator|PCG64|[gs]et_?state"  # nothing is drawn by these
_DRAWS = re.compile(
    rf"(?P<random>random\.(?!{_STATE})\w+)|(?P<numpy>(np|numpy)\.random\.(?!{_STATE})\w+)|"
    r"(?P<torch>torch\.(rand|randn|randint|randperm|normal|bernoulli|multinomial|rand_like|randn_like|randint_like))"
)
_SEEDS = re.compile(
    r"(?P<random>random\.seed)|(?P<numpy>(np|numpy)\.random\.seed)|"
    r"(?P<torch>torch(\.random|\.cuda)?\.(seed|manual_seed|manual_seed_all))"
)


def full_name(notebook: Notebook, call: ast.Call) -> str:
    """The dotted name of what is called, with the notebook's top-level imports spelled out."""
    text = ast.unparse(call.func)
    head, dot, rest = text.partition(".")
    statement = notebook.definition(head)
    match definition_in(statement.node, head) if statement else None:
        case ast.Import(names=aliases):
            real = next((alias.name for alias in aliases if alias.asname == head), head)
        case ast.ImportFrom(module=str(module), names=aliases):
            name = next((alias.name for alias in aliases if (alias.asname or alias.name) == head), head)
            real = f"{module}.{name}"
        case _:
            real = head
    return real + dot + rest


def drawn_from(name: str, call: ast.Call) -> str:
    """The generator that a call draws from, unless it was seeded on the spot: random, numpy or torch."""
    if name.endswith("random.default_rng"):
        return "numpy, made anew" if not call.args and not call.keywords else ""
    found = _DRAWS.fullmatch(name)
    return (found.lastgroup or "") if found and not any(one.arg == "generator" for one in call.keywords) else ""


def seeded_by(name: str) -> str:
    """The generator that a call seeds."""
    found = _SEEDS.fullmatch(name)
    return (found.lastgroup or "") if found else ""
