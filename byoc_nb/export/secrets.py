"""Secrets in code and in parameters: found by detect-secrets' detectors, and told without being repeated.

Strings are looked at with the name that they go under (`token = "…"`, `f(token="…")`, `{"token": "…"}`), comments only
for what is a secret by its shape. Nothing is sent anywhere to find out whether a secret is a living one.
"""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from byoc_nb.errors import ByocError
from byoc_nb.export.findings import Finding
from byoc_nb.params import is_secret

_NOT_SECRET = ("IP",)  # detectors of other things
_BY_NAME = ("Keyword",)
_BY_ENTROPY = ("HighEntropy",)
_SHAPES = {
    "Hugging Face token": re.compile(r"\bhf_[A-Za-z0-9]{20,}"),
    "Anthropic key": re.compile(r"\bsk-ant-[\w-]{20,}"),
    "Replicate token": re.compile(r"\br8_[A-Za-z0-9]{20,}"),
    "Google key": re.compile(r"\bAIza[\w-]{30,}"),
    "token in a URL": re.compile(
        r"[?&](token|key|api_?key|access_token|auth|sig|signature|password)=[^&\s\"'{}]{8,}", re.I
    ),
}
_NAMED = re.compile(r"(^|[_\W])(token|auth|bearer|credentials?|access_?key)s?$", re.IGNORECASE)
_VALUE = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[\w.\-+/=]{12,}")
_DIGEST_NAMES = re.compile(r"revision|commit|sha\d*|md5|digest|hash|checksum|etag", re.IGNORECASE)
_DIGEST = re.compile(r"[0-9a-f]{32,64}")


class SecretsError(ByocError, RuntimeError):
    """The package that looks for secrets isn't there."""


def in_code(node: ast.AST, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """Lines of a statement that hold a secret, and the kind of it."""
    for part, name in _strings(node):
        for kind in _kinds(name, part.value):
            yield part.lineno, kind
    for line in range(getattr(node, "lineno", 1), (getattr(node, "end_lineno", 0) or 0) + 1):
        _, hash_sign, comment = lines[line - 1].partition("#") if line <= len(lines) else ("", "", "")
        if hash_sign:
            yield from ((line, kind) for kind in _kinds("", comment))


def in_params(params: Mapping[str, Any], path: str = "") -> Iterator[Finding]:
    """Findings for parameter values, nested ones too."""
    for name, value in params.items():
        here = f"{path}{name}"
        if not path and is_secret(value):
            fix = "give it to the container with the stream's parameters"
            yield Finding("secret-param", "warning", f"the parameter {here} is a secret and isn't exported", fix)
            continue
        if isinstance(value, Mapping):
            yield from in_params(value, f"{here}.")
        for text in value if isinstance(value, list | tuple) else [value]:
            if isinstance(text, str) and (kinds := _kinds(name, text)):
                yield Finding(
                    "secret",
                    "error",
                    f"the parameter {here} looks like a secret ({kinds[0]})",
                    f"reset it before the export: %byoc params {name}=''",
                )


def _strings(node: ast.AST) -> Iterator[tuple[Any, str]]:
    """The string constants and the names that they go under."""
    named: dict[int, str] = {}
    for part in ast.walk(node):
        match part:
            case ast.Assign(targets=[target, *_], value=value):
                named[id(value)] = ast.unparse(target)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                named[id(value)] = ast.unparse(target)
            case ast.keyword(arg=str(name), value=value):
                named[id(value)] = name
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    if isinstance(key, ast.Constant):
                        named[id(value)] = str(key.value)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                arguments = [*part.args.posonlyargs, *part.args.args]
                defaults = part.args.defaults
                for argument, value in zip(arguments[len(arguments) - len(defaults) :], defaults, strict=True):
                    named[id(value)] = argument.arg
                for argument, default in zip(part.args.kwonlyargs, part.args.kw_defaults, strict=True):
                    named[id(default)] = argument.arg
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part, named.get(id(part), "")


def _kinds(name: str, text: str) -> list[str]:
    """The kinds of secrets that a text under a name is, the surest first."""
    if len(text) < 6:
        return []
    found = [kind for kind, shape in _SHAPES.items() if shape.search(text)]
    if _NAMED.search(name) and _VALUE.fullmatch(text):
        found.append("token by its name")
    if _DIGEST.fullmatch(text) and _DIGEST_NAMES.search(name):
        return found
    by_shape, by_name = _detectors()
    found += [detector.secret_type for detector in by_shape if next(iter(detector.analyze_string(text)), None)]
    if name and "\n" not in text:
        line = f"{re.sub(r'[^A-Za-z0-9_]', '_', name)} = {_quoted(text)}"
        for detector in by_name:
            secrets = detector.analyze_line(filename="processor.py", line=line, line_number=1)
            found += [detector.secret_type for one in secrets if not _is_harmless(one.secret_value or "")]
    return found


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "").replace('"', "'") + '"'


def _is_harmless(value: str) -> bool:
    from detect_secrets.filters import heuristic

    return any(
        looks(value)
        for looks in (heuristic.is_potential_uuid, heuristic.is_sequential_string, heuristic.is_templated_secret)
    )


@functools.cache
def _detectors() -> tuple[list[Any], list[Any]]:
    """detect-secrets' detectors: those that know a secret by its shape, and those that need the name beside it."""
    try:
        from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
    except ImportError:
        raise SecretsError("export needs detect-secrets", hint="pip install 'byoc_nb[lab]'") from None
    by_shape, by_name = list[Any](), list[Any]()
    kind: Any
    for kind in get_mapping_from_secret_type_to_class().values():
        if kind.__name__.startswith(_NOT_SECRET):
            continue
        beside = any(part in kind.__name__ for part in (*_BY_NAME, *_BY_ENTROPY))
        (by_name if beside else by_shape).append(kind())
    return by_shape, by_name
