"""`accredit serve` that looks a thousand times per second of its own CPU time which code the event loop is in.

SIGUSR1 begins and ends the looking; what was seen is then written, as JSON, to the file that the first argument names: a
list of [file of the package, or "" outside it; times seen]. Code of a library counts for whoever called it.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import accredit
from accredit.app import run
from accredit.cli.main import main

PACKAGE = str(Path(accredit.__file__).parent) + "/"
OUTSIDE = "app/run.py"
"""Where no other code of the package is below: the event loop's own work."""

PERIOD_S = 0.001


class Looking:
    """What was seen since it began, and whether it goes on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: Counter[str] = Counter()
        self._on = False

    def toggle(self) -> None:
        self._on = not self._on
        signal.setitimer(signal.ITIMER_PROF, PERIOD_S * self._on, PERIOD_S * self._on)
        if not self._on:
            self._path.write_text(json.dumps(self._seen.most_common()))

    def look(self, _signal: int, frame: FrameType | None) -> None:
        while frame is not None and not frame.f_code.co_filename.startswith(PACKAGE):
            frame = frame.f_back
        place = "" if frame is None else frame.f_code.co_filename.removeprefix(PACKAGE)
        self._seen["" if place == OUTSIDE else place] += 1


def _looked_at(looking: Looking) -> None:
    serve = run._serve  # noqa: SLF001 - the one place from which the loop can be reached

    async def serving(*arguments: Any) -> None:
        signal.signal(signal.SIGPROF, looking.look)
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, looking.toggle)
        await serve(*arguments)

    run._serve = serving  # noqa: SLF001


if __name__ == "__main__":
    _looked_at(Looking(Path(sys.argv.pop(1))))
    main()
