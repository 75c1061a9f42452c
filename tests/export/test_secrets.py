"""Secrets stop an export and are never repeated."""

from __future__ import annotations

import ast
import base64
import hashlib
import sys

import pytest
from freeze_kit import kernel

from byoc_nb.export import secrets
from byoc_nb.export.freeze import FreezeError
from byoc_nb.export.secrets import SecretsError, in_code, in_params

RANDOM = base64.urlsafe_b64encode(hashlib.sha384(b"a key").digest()).decode()  # 64 characters
HF = "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"


def lines(text: str) -> list[int]:
    found = [line for node in ast.parse(text).body for line, _ in in_code(node, text.split("\n"))]
    return sorted(set(found))


@pytest.mark.parametrize(
    "text",
    [
        f"x = '{HF}'",
        f"login(token='{HF}')",
        f"headers = {{'Authorization': 'Bearer {HF}'}}",
        "password = 'correct-horse-battery'",
        "def f(api_key='Zm9vYmFyYmF6cXV4MTIzNDU2'): ...",
        "def f(*, secret='q8wh3kfn2m'): ...",
        "class C:\n    client_key: str = 'q8wh3kfn2m'",
        "config['db_password'] = 'q8wh3kfn2m'",
        "url = 'https://me:hunter2@example.com/x.mp4'",
        "url = f'rtsp://me:hunter2@{host}/x'",
        "url = 'https://example.com/x?token=a8f3k2m9d7'",
        "x = 'AKIAQYLPMN5HFIQR7XYA'",
        "x = 'ghp_1234567890abcdefghijklmnopqrstuvwxyz'",
        "x = 'sk-ant-api03-abcdefghijklmnop1234'",
        "x = '''-----BEGIN RSA PRIVATE KEY-----\nabc\n'''",
        f"x = 1  # {HF}",
        f"x = '{RANDOM}'",
        "auth_token = 'a8f3k2m9d7q1'",
    ],
)
def test_a_secret_is_found(text: str) -> None:
    assert lines(text)


@pytest.mark.parametrize(
    "text",
    [
        "token = os.environ['HF_TOKEN']",
        "token = os.environ.get('HF_TOKEN', '')",
        "password = ''",
        "tokenizer = 'bert-base-uncased'",
        "next_token = tokens[0]",
        "x = 'models/stable-diffusion-xl-base-1.0/unet/diffusion_pytorch_model.safetensors'",
        "load('x', revision='c9a24f48e1c025556787b0c58dd67a091ece2e44')",
        "SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'",
        "prompt = 'a secret garden, password protected, with a token of love'",
        "ramp = ' .:-=+*#%@'",
        "url = 'https://example.com/x.mp4?size=1280x720&keyboard=none'",
        "url = f'https://{user}:{password}@example.com'",
        "id = '123e4567-e89b-12d3-a456-426614174000'",
        "'''Takes a password and a token.'''",
        "x = 'hf_'",
    ],
)
def test_what_is_none_is_left_alone(text: str) -> None:
    assert lines(text) == []


def test_the_line_is_that_of_the_string() -> None:
    assert lines(f"x = dict(\n    a=1,\n    token='{HF}',\n)") == [3]


def test_parameters_are_looked_at_by_their_names_however_deep() -> None:
    found = list(
        in_params({"prompt": "a cat", "n": 5, "api": {"password": "q8wh3kfn2m"}, "urls": ["http://a:b3c4d5@c"]})
    )
    assert [(one.id, one.message.split(" looks")[0]) for one in found] == [
        ("secret", "the parameter api.password"),
        ("secret", "the parameter urls"),
    ]


@pytest.mark.parametrize("where", ["text", "params", "file"])
def test_an_export_stops_without_repeating_it(where: str) -> None:
    text = "class P(FrameProcessor):\n    def process_video(self, frame): return frame\n"
    if where == "text":
        text += f"    key = '{HF}'\n"
    made = kernel(text)
    with pytest.raises(FreezeError) as caught:
        if where == "file":
            made.run(f"# {HF}\nhelper = 1; P.key = '{HF}'")
        made.freeze(params={"key": HF} if where == "params" else {})
    assert "looks like a secret" in str(caught.value)
    assert HF not in caught.value.one_line()
    assert all(HF not in str(finding) for finding in caught.value.findings)


def test_a_secret_can_be_declared_harmless() -> None:
    text = "class P(FrameProcessor):\n    def process_video(self, frame): return frame\n"
    assert kernel(text + f"    key = '{HF}'  # byoc: ignore[secret]\n").freeze().warnings == []


def test_without_the_lab_extra_the_missing_package_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets._detectors.cache_clear()
    monkeypatch.setitem(sys.modules, "detect_secrets.core.plugins.util", None)
    with pytest.raises(SecretsError, match="export needs detect-secrets") as caught:
        lines("x = 'some text'")
    assert caught.value.hint == "pip install 'byoc_nb[lab]'"
    secrets._detectors.cache_clear()
