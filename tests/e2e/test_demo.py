"""`accredit demo`: the main job, end to end, as `make demo` runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.running_service import accredit


@pytest.mark.slow
def test_it_tells_the_story_and_leaves_nothing_behind(tmp_path: Path) -> None:
    ran = accredit("demo", environment={"TMPDIR": str(tmp_path)})
    assert ran.returncode == 0, ran.stdout + ran.stderr
    steps = [line for line in ran.stdout.splitlines() if line[:2] in {f"{number}." for number in range(1, 8)}]
    assert [int(step[0]) for step in steps] == [1, 2, 3, 4, 5, 6, 7]
    assert ran.stdout.count('{"temperature": ') == 10
    assert "nothing is left running" in ran.stdout
    assert list(tmp_path.iterdir()) == []
