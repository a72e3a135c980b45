"""The seam to whoever keeps the issuance log's heads outside of it; implementations live in `witnesses`."""

from __future__ import annotations

from typing import Protocol

from accredit.domain.tree_head import TreeHead


class NotTaken(Exception):
    """A witness did not take a head now; the text says why."""


class Witness(Protocol):
    """Keeps heads of the issuance log outside of it. `name` is its file or URL."""

    name: str

    async def last(self) -> TreeHead | None:
        """The head that it took last, where it can tell. Raises NotTaken when it can't be asked now."""
        ...

    async def take(self, head: TreeHead) -> None:
        """Return when the witness has the head; twice is as once. Raises NotTaken."""
        ...

    async def close(self) -> None: ...
