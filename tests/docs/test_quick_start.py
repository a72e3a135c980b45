"""The quick start does what it says, command by command."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_quick_start_prints_what_it_shows(walk: Callable[..., Any], docs: Path) -> None:
    with walk() as walker:
        assert walker.page((docs / "quick-start.md").read_text()) > 10
