"""A service side over a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.service_side import ServiceSide, opened


@pytest.fixture
async def side(tmp_path: Path) -> AsyncIterator[ServiceSide]:
    async with opened(tmp_path) as service:
        yield service
