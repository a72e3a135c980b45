"""A world of its own for each test; what was signed in it is accounted for at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from support.logs import capture_logs
from support.provisioning_world import World, opened


@pytest.fixture(autouse=True)
def log_lines() -> Iterator[Sequence[Mapping[str, Any]]]:
    with capture_logs() as lines:
        yield lines


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with opened(tmp_path) as made:
        yield made
        await made.audit()
