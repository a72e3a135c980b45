"""The pure rooms, `domain`, `policy` and `wire`, are covered to the last branch, and by their own tests alone.

Their tests run once more here, in a process of their own that counts, with few examples of hypothesis (`tests/conftest.py`).
By hand, with the lines named: `coverage run -m pytest tests/unit/{domain,policy,wire}`, then `coverage report -m --skip-covered`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("domain", "policy", "wire")


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_pure_rooms_are_covered_to_the_last_branch(tmp_path: Path) -> None:
    pytest.importorskip("coverage")
    environment = os.environ | {"COVERAGE_FILE": str(tmp_path / "data")}

    def coverage(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "coverage", *arguments],
            cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    tests = [f"tests/unit/{room}" for room in ROOMS]
    plain = ("-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--hypothesis-profile=covering")
    ran = coverage("run", "-m", "pytest", *plain, *tests)
    if ran.returncode:
        pytest.fail(
            "the tests of the rooms fail by themselves:\n" + ran.stdout[-2000:] + ran.stderr[-1000:],
            pytrace=False,
        )
    report = tmp_path / "report.json"
    assert coverage("json", "-o", str(report)).returncode == 0
    files = json.loads(report.read_text())["files"]
    counted = {Path(name).relative_to("src/accredit").parts[0] for name in files}
    assert counted == set(ROOMS)
    bare = [
        f"{name}: lines {found['missing_lines']}, branches {found['missing_branches']}"
        for name, found in files.items()
        if found["missing_lines"] or found["missing_branches"]
    ]
    if bare:
        pytest.fail("not covered by the tests of its room:\n" + "\n".join(bare), pytrace=False)
