"""A store with an embedded hub for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.hub_world import HubWorld, hub_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[HubWorld]:
    world = await hub_world(tmp_path)
    yield world
    await world.store.close()
