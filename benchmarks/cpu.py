"""CPU time of another process, all threads, in seconds: from the scheduler's own nanosecond account (Linux)."""

from __future__ import annotations

import os
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """User and system time so far; resolution is nanoseconds with schedstat, else clock ticks."""
    tasks = Path(f"/proc/{pid}/task")
    try:
        return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9
    except (OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Resident memory now."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def threads_cpu_seconds(pid: int) -> dict[str, float]:
    """CPU time of the main thread (the event loop) and of all others together."""
    spent = {"loop": 0.0, "others": 0.0}
    for task in Path(f"/proc/{pid}/task").iterdir():
        name = "loop" if task.name == str(pid) else "others"
        spent[name] += int((task / "schedstat").read_text().split()[0]) / 1e9
    return spent


def family_cpu_seconds(pid: int) -> float:
    """CPU time of a process and of its living children: workers, and what serves each connection of PostgreSQL."""
    children = (int(stat.parent.name) for stat in Path("/proc").glob("[0-9]*/stat") if _parent(stat) == pid)
    return sum(cpu_seconds(each) for each in (pid, *children))


def _parent(stat: Path) -> int:
    try:
        return int(stat.read_text().rsplit(")", 1)[1].split()[1])
    except OSError:  # it ended meanwhile
        return 0
