"""The limit of open files, in processes of their own: a limit that was changed stays changed."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

_SCRIPT = """
import json, resource, sys
from accredit.app.open_files import room_for
soft, hard, connections = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
print(json.dumps([room_for(connections), *resource.getrlimit(resource.RLIMIT_NOFILE)]))
"""

NEVER = 5_000_000
"""More than any kernel lets a process have, whoever owns it (fs.nr_open)."""


def limited(soft: int, hard: int, connections: int) -> tuple[list[int], str]:
    """Connections, and both limits afterwards; and what was logged."""
    ran = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(soft), str(hard), str(connections)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    *logged, last = ran.stdout.splitlines()
    found: Any = json.loads(last)
    return found, "\n".join(logged) + ran.stderr


def test_a_low_soft_limit_is_raised_as_far_as_is_needed() -> None:
    found, logged = limited(128, 4_096, 1_000)
    assert found == [1_000, 1_256, 4_096]
    assert logged == ""


def test_a_limit_that_is_high_enough_stays() -> None:
    assert limited(2_000, 4_096, 1_000)[0] == [1_000, 2_000, 4_096]


def test_where_it_can_not_be_raised_fewer_connections_are_taken_and_it_is_said() -> None:
    found, logged = limited(1_024, 4_096, NEVER)
    assert found == [4_096 - 256, 4_096, 4_096]
    assert "open-files-limited" in logged
    assert '"connections":3840' in logged


def test_of_very_few_files_half_is_for_devices() -> None:
    assert limited(64, 64, NEVER)[0] == [32, 64, 64]
