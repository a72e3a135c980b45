"""The sequencer: gives the issuance log's new leaves their places in the tree, and signs the head over them.

It follows the registrations at a distance of at most a second or so and never stands in their way. Of several processes
one does it at a time; that two did would do no harm: who finds the tree grown meanwhile starts over. A head that a witness keeps makes what it covers provable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accredit.domain import merkle
from accredit.domain.changes import GrowLogTree
from accredit.domain.secret import Secret
from accredit.domain.tree_head import TreeHead
from accredit.interfaces import Clock, CommitUnknown, Stale, Store, StoreUnavailable
from accredit.observe import log

TREE_HEADS = "issuance log tree heads"
"""What the key of the heads is derived for (`seal.Sealer.derive`)."""

EVERY_S = 0.5
GATHER_S = 0.02
"""How long others may come along with who is in a hurry, so that not each gets a head of its own."""

BATCH_LEAVES = 1_000

Told = Callable[[TreeHead], Awaitable[None]]
"""Who hears of each new head."""


Mine = Callable[[], Awaitable[bool]]
"""Whether the work is this process's now."""

DUTY = "sequencer"


async def _always() -> bool:
    return True


class Sequencer:
    """`seed` is the Ed25519 private key of the heads (32 bytes)."""

    def __init__(self, store: Store, clock: Clock, seed: Secret, *told: Told, mine: Mine = _always) -> None:
        self._store = store
        self._clock = clock
        self._key = Ed25519PrivateKey.from_private_bytes(seed.reveal())
        self._told = told
        self._mine = mine
        self._untold = False
        self._hurried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def public_key(self) -> bytes:
        """Raw, 32 bytes."""
        return self._key.public_key().public_bytes_raw()

    def hurry(self) -> None:
        """Somebody waits for a leaf's place."""
        self._hurried.set()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="sequencer")

    async def stop(self) -> None:
        """Place what there is, and end."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        while await self._try():
            pass

    async def _run(self) -> None:
        while True:
            self._hurried.clear()
            if not await self._try():
                with suppress(TimeoutError):
                    async with asyncio.timeout(EVERY_S):
                        await self._hurried.wait()
                        await asyncio.sleep(GATHER_S)

    async def _try(self) -> bool:
        """Place one batch, whatever happens; True when more may be waiting."""
        try:
            return await self._mine() and await self.sequence()
        except (Stale, StoreUnavailable) as failure:
            log.warning("log-sequencing-postponed", reason=str(failure))
        except Exception:  # noqa: BLE001 - logged with its trace, and tried again
            log.exception("log-sequencing-failed")
        return False

    async def sequence(self) -> bool:
        """Place one batch; True when more may be waiting. Raises Stale or StoreUnavailable."""
        waiting = await self._store.unplaced_leaves(BATCH_LEAVES)
        if not waiting:
            if self._untold and (newest := await self._store.tree_head()) is not None:
                await self._tell(newest)
            return False
        before = await self._store.tree_head()
        size = 0 if before is None else before.size
        hashes = dict(await self._store.log_nodes(list(merkle.Range(0, size).nodes())))
        made = merkle.grown(size, hashes, [each.leaf.leaf_hash for each in waiting])
        grown = size + len(waiting)
        root = merkle.root(grown, hashes | made)
        head = TreeHead.sign(grown, root, int(self._clock.now()), self._key)
        try:
            await self._store.commit([GrowLogTree(size, [each.id for each in waiting], made, head)])
        except CommitUnknown:
            # If it stands, its leaves wait no more.
            self._untold = True
            raise
        await self._tell(head)
        return len(waiting) == BATCH_LEAVES

    async def _tell(self, head: TreeHead) -> None:
        self._untold = False
        for told in self._told:
            await told(head)
