"""A body that is too large is given up at once, however much of it is still to come."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.requests import Request

from accredit.domain.errors import Malformed
from accredit.fronts import bodies


def request(*chunks: bytes) -> tuple[Request, list[dict[str, Any]]]:
    """A request that sends these chunks, and what of it was not taken."""
    waiting: list[dict[str, Any]] = [
        {"type": "http.request", "body": chunk, "more_body": number < len(chunks)}
        for number, chunk in enumerate(chunks, 1)
    ]

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    return Request({"type": "http", "method": "POST", "headers": []}, receive), waiting


async def test_a_body_of_the_limit():
    made, _ = request(b"ab", b"cd")
    assert await bodies.whole(made, 4, "Too large.") == b"abcd"


async def test_no_body():
    made, _ = request(b"")
    assert await bodies.whole(made, 4, "Too large.") == b""


async def test_one_byte_more_is_refused_before_the_rest_is_read():
    made, waiting = request(b"abc", b"de", b"never read")
    with pytest.raises(Malformed, match="Too large.") as raised:
        await bodies.whole(made, 4, "Too large.", "message-too-large")
    assert raised.value.rule == "message-too-large"
    assert len(waiting) == 1
