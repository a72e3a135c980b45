"""Where the CPU of one provisioning goes: by room, and by file, from samples of a server under load.

What the threads do beside the event loop (COMMIT, log lines) is the rest up to the whole.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.provisioning import full_provisioning
from benchmarks.service import service

FILES = 14
"""Shown by name; the others only in their rooms."""

NAMES = {"": "the event loop, its sockets, and threads"}


def shares(count: int, at_once: int) -> dict[str, float]:
    """The share of each file of the package in the CPU of a provisioning; "" is what is outside of it."""
    with tempfile.TemporaryDirectory() as name:
        seen = Path(name) / "seen.json"
        with service(None, program=("-m", "benchmarks.sampled_server", str(seen))) as running:
            full_provisioning(running, count // 4, at_once)
            os.kill(running.pid, signal.SIGUSR1)
            full_provisioning(running, count, at_once)
            os.kill(running.pid, signal.SIGUSR1)
            deadline = time.monotonic() + 30
            while not seen.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
        counts = json.loads(seen.read_text())
    total = sum(times for _, times in counts)
    return {place: times / total for place, times in counts}


def by_room(files: dict[str, float]) -> list[tuple[str, float]]:
    """The rooms' shares, the largest first."""
    rooms: Counter[str] = Counter()
    for place, share in files.items():
        rooms[NAMES.get(place) or f"`{place.partition('/')[0].removesuffix('.py')}`"] += share  # type: ignore[assignment]
    return rooms.most_common()


def by_file(files: dict[str, float]) -> list[tuple[str, float]]:
    """The largest files' shares."""
    named = ((f"`{place}`", share) for place, share in files.items() if place not in NAMES)
    return sorted(named, key=lambda each: -each[1])[:FILES]
