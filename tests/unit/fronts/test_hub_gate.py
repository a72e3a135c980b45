"""Which hub a request is for."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from accredit.fronts.hub_gate import host_of


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("hub.example", "hub.example"),
        ("hub.example:8443", "hub.example"),
        (" Hub.example. ", "Hub.example"),
        ("127.0.0.9:443", "127.0.0.9"),
        ("[::1]:443", "::1"),
        ("[::1]", "::1"),
        ("::1", "::1"),
        ("hub.example:x", "hub.example:x"),
        ("", ""),
    ],
)
def test_the_host_header_without_its_port(header: str, name: str) -> None:
    request = Request({"type": "http", "headers": [(b"host", header.encode())]})
    assert host_of(request) == name


def test_no_host_header_at_all() -> None:
    assert host_of(Request({"type": "http", "headers": []})) == ""
