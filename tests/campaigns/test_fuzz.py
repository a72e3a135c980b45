"""Every parser under a coverage-guided fuzzer, for a bounded time each; findings are kept in the campaign's folder."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from support.fuzz_targets import TARGETS

SECONDS_EACH = int(os.environ.get("ACCREDIT_FUZZ_SECONDS", "20"))

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(SECONDS_EACH + 120)]


@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris has no wheel for this Python and machine")
@pytest.mark.parametrize("name", TARGETS)
def test_no_input_is_found_that_breaks_the_parser(name: str, campaign_folder: Path, seed: int) -> None:
    corpus = campaign_folder / name
    corpus.mkdir(parents=True, exist_ok=True)
    limits = (
        f"-max_total_time={SECONDS_EACH}",
        "-max_len=8192",
        "-timeout=5",
        "-rss_limit_mb=1024",
        f"-seed={seed % 2**31}",
        f"-artifact_prefix={campaign_folder}/{name}-",
        "-print_final_stats=1",
        "-verbosity=0",
    )
    run = subprocess.run(
        [sys.executable, "-m", "support.fuzz_run", name, str(corpus), *limits],
        env=os.environ | {"PYTHONPATH": "tests"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-4000:]
