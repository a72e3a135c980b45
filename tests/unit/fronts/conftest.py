"""What carries bytes is tried on both event loops: asyncio's own, and uvloop, which the service runs on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
import uvloop

_ON_BOTH_LOOPS = {
    "test_tls.py",
    "test_listener.py",
    "test_websocket.py",
    "test_https.py",
    "test_http_connection.py",
}


@pytest.hookimpl
def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    if item.path.name in _ON_BOTH_LOOPS:
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
