"""Whether the service can do its work now, and what is amiss beside it."""

from __future__ import annotations

from collections.abc import Callable

from accredit.app.first_names import ID_SCOPE
from accredit.ca.tokens import Tokens
from accredit.domain.witness import WitnessStanding
from accredit.interfaces import Store, StoreUnavailable


class Readiness:
    """`witness` tells how the log's witness stands, where there is one. A token that is away stops its own CA alone."""

    def __init__(self, store: Store, witness: Callable[[], WitnessStanding | None], tokens: Tokens) -> None:
        self._store = store
        self._witness = witness
        self._tokens = tokens
        self._stopping = False

    def stop(self) -> None:
        self._stopping = True

    async def reason(self) -> str | None:
        """Why not, or None."""
        if self._stopping:
            return "stopping"
        try:
            await self._store.state(ID_SCOPE)
        except StoreUnavailable as error:
            return f"the store can't be read: {error}"
        return None

    def warnings(self) -> tuple[str, ...]:
        witness = self._witness()
        return (*(() if witness is None else witness.warnings), *self._tokens.warnings)
