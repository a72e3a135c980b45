"""What campaigns share: the seed, printed, and the folder that an interrupted campaign is resumed from."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

DEFAULT_SEED = 20_260_801


Tell = Callable[[str], None]


@pytest.fixture
def tell(request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]) -> Tell:
    """Print a line: seen at once in a long campaign, otherwise when the test fails."""
    if not request.config.getoption("--campaign"):
        return print

    def past_the_capture(text: str) -> None:
        with capsys.disabled():
            print(text, flush=True)

    return past_the_capture


@pytest.fixture
def seed(request: pytest.FixtureRequest, tell: Tell) -> int:
    """The same chances in each run, unless another seed is given by --campaign-seed or ACCREDIT_CAMPAIGN_SEED."""
    given = request.config.getoption("--campaign-seed")
    chosen = int(os.environ.get("ACCREDIT_CAMPAIGN_SEED", DEFAULT_SEED)) if given is None else given
    tell(f"\nseed {chosen}; run again with --campaign-seed={chosen}")
    return chosen


@pytest.fixture
def campaign_folder(request: pytest.FixtureRequest, tmp_path: Path, tell: Tell) -> Path:
    """Where --campaign-folder says (one subfolder a test), else a folder that is gone afterwards."""
    given: Path | None = request.config.getoption("--campaign-folder")
    if given is None:
        return tmp_path
    folder = given.resolve() / request.node.name
    folder.mkdir(parents=True, exist_ok=True)
    tell(f"state in {folder}; run again with --campaign-folder={given} to go on from there")
    return folder
