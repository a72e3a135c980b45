"""A file as the witness: each head is one more line of JSON at its end, on the disk before it counts as taken.

It is opened anew for each head, so that it may be moved away, and only ever appended to, so that the disk may forbid all
else (`chattr +a`). A line that a full disk has cut off stays as it is: the next one begins on a line of its own.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from accredit.domain.tree_head import TreeHead
from accredit.wire.service_api.tree import head_line, last_head
from accredit.witness import NotTaken

TAIL_BYTES = 64 * 1024
"""How much of the end of a file is read to find its last head."""

_MODE = 0o644


class WitnessFile:
    """`witness.Witness` over a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = str(path)

    async def last(self) -> TreeHead | None:
        try:
            return last_head(await asyncio.to_thread(self._tail))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise NotTaken(f"the file can't be read ({error})") from error

    async def take(self, head: TreeHead) -> None:
        try:
            await asyncio.to_thread(self._append, head_line(head))
        except OSError as error:
            raise NotTaken(f"the file can't be written ({error})") from error

    async def close(self) -> None:
        """Nothing is held open."""

    def check(self) -> None:
        """Whether heads can be appended: the file is made where there is none. Raises OSError."""
        os.close(self._opened())

    def _opened(self) -> int:
        is_new = not self._path.exists()
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)
        if is_new:
            _sync_folder(self._path.parent)
        return descriptor

    def _tail(self) -> bytes:
        with self._path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - TAIL_BYTES))
            return file.read()

    def _append(self, line: bytes) -> None:
        descriptor = self._opened()
        try:
            size = os.fstat(descriptor).st_size
            is_torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            text = b"\n" + line if is_torn else line
            if os.write(descriptor, text) != len(text):
                raise OSError("the disk took a part of the line only")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """A new file's name is durable only when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
