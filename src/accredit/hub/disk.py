"""The three things that the telemetry log asks of a disk, where a test puts one that is full, slow or broken."""

from __future__ import annotations

import os


class Disk:
    """Methods raise OSError."""

    def write(self, file: int, data: bytes, at: int) -> None:
        """All of it."""
        view = memoryview(data)
        while view:
            written = os.pwrite(file, view, at)
            view, at = view[written:], at + written

    def sync(self, file: int) -> None:
        """Return when what was written to the file would survive a loss of power."""
        os.fdatasync(file)

    def cut(self, file: int, size: int) -> None:
        os.ftruncate(file, size)
