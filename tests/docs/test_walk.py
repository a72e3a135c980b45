"""The walk with curl and openssl does what it says, with each of its two authorities."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.digicert_process import DigiCertProcess

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture
def account(tmp_path: Path) -> Iterator[dict[str, str]]:
    """What a reader with an account at DigiCert ONE has in the environment."""
    with DigiCertProcess(tmp_path) as digicert:
        yield {
            "ACCREDIT_DIGICERT_URL": digicert.url,
            "DIGICERT_API_KEY": digicert.api_key,
            "DIGICERT_PROFILE": digicert.profile,
        }


def test_the_walk_works_with_the_built_in_authority(walk: Callable[..., Any], docs: Path) -> None:
    with walk("builtin") as walker:
        assert walker.page((docs / "walk-with-curl.md").read_text()) > 15


def test_the_walk_works_with_an_outside_authority(
    walk: Callable[..., Any], docs: Path, account: dict[str, str]
) -> None:
    with walk("digicert", account) as walker:
        assert walker.page((docs / "walk-with-curl.md").read_text()) > 15
