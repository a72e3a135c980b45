"""A real disk that can be made full, untrue or slow (`hub.disk.Disk`). It does not wait for the platter, which no test could tell."""

from __future__ import annotations

import errno
import threading

from accredit.hub.disk import Disk


class TroubledDisk(Disk):
    """`full` takes half of what it is given; `untrue` can't synchronize; `uncut` can't be cut; while `free` is not set it waits."""

    def __init__(self) -> None:
        self.full = self.untrue = self.uncut = False
        self.free = threading.Event()
        self.free.set()
        self.synced = 0

    def write(self, file: int, data: bytes, at: int) -> None:
        self.free.wait()
        if self.full:
            super().write(file, data[: len(data) // 2], at)
            raise OSError(errno.ENOSPC, "No space left on device")
        super().write(file, data, at)

    def sync(self, file: int) -> None:
        if self.untrue:
            raise OSError(errno.EIO, "Input/output error")
        self.synced += 1

    def cut(self, file: int, size: int) -> None:
        if self.uncut:
            raise OSError(errno.EIO, "Input/output error")
        super().cut(file, size)
