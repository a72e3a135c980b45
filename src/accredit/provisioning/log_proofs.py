"""Log proofs: that the issuance log covers a certificate, for the device that asks, once the leaf has its place.

Leaves get their places beside the ceremony, so whoever asks waits for the sequencer, which is told to hurry. Without
a place within the patience there is no proof yet, and no promise in its stead: the device asks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from accredit.domain.errors import NotFound, UpstreamUnavailable
from accredit.domain.inclusion import Inclusion
from accredit.domain.tree_head import TreeHead
from accredit.interfaces import Store
from accredit.observe import log

LOOK_AGAIN_S = 0.25
"""Another process may give the leaf its place, and nobody here hears of it."""

Prove = Callable[[bytes], Awaitable[Inclusion]]
"""By the certificate's SHA-256; raises NotFound while the tree does not cover it."""


class Growth:
    """The news that the tree has grown."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    async def told(self, _: TreeHead) -> None:
        """Hear of it (`Sequencer`)."""
        self._event.set()
        self._event = asyncio.Event()

    @property
    def next(self) -> asyncio.Event:
        return self._event


class LogProofs:
    """`hurry` asks the sequencer to place leaves now; `patience_s` is how long the wait for it may be."""

    def __init__(
        self, store: Store, prove: Prove, hurry: Callable[[], None], growth: Growth, patience_s: float
    ) -> None:
        self._store = store
        self._prove = prove
        self._hurry = hurry
        self._patience_s = patience_s
        self._growth = growth

    async def within_patience(self, sha256: bytes) -> Inclusion | None:
        """The proof for a certificate that is on record; None when its leaf has no place in time, or the tree is damaged."""
        try:
            return await self._awaited(sha256)
        except NotFound as damage:
            log.error("log-proof-impossible", reason=damage.message)
            return None

    async def _awaited(self, sha256: bytes) -> Inclusion | None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._patience_s):
                while True:
                    grown = self._growth.next
                    if (found := await self._found(sha256)) is not None:
                        return found
                    self._hurry()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(LOOK_AGAIN_S):
                            await grown.wait()
        return await self._found(sha256)

    async def of(self, sha256: bytes) -> Inclusion:
        """The same for any certificate. Raises NotFound for one that is not ours, UpstreamUnavailable when it is too early."""
        if await self._store.certificate(sha256) is None:
            raise NotFound("This service has not issued the certificate.", rule="log-leaf-unknown")
        found = await self._awaited(sha256)
        if found is None:
            raise UpstreamUnavailable(
                "The certificate has no place in the issuance log yet.",
                rule="log-leaf-waits",
                retry_after_s=1,
            )
        return found

    async def _found(self, sha256: bytes) -> Inclusion | None:
        """None where the leaf has no place yet. Raises NotFound for a damaged tree."""
        try:
            return await self._prove(sha256)
        except NotFound as missing:
            if missing.rule == "log-damaged":
                raise
            return None
