"""Addresses and ports of this machine."""

from __future__ import annotations

import pytest

from byoc_nb.runtime.ports import base_url


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("10.0.0.7", "http://10.0.0.7:80"),
        ("fd00::7", "http://[fd00::7]:80"),
    ],
)
def test_how_what_listens_is_called_from_here(host, url):
    assert base_url(host, 80) == url
