"""Serial numbers for a CA whose key is in a token: on record before the token may sign them.

A signature of a software key that was never committed was never shown to anybody. A token is another thing: it may have
signed, and counted, and logged, what a crash or a lost line has kept from us. So its numbers are put on record first, a
batch in one commit, and whatever was given out and never came to be on record as a certificate is revoked by its number.
"""

from __future__ import annotations

import asyncio

from accredit.ca.hierarchy import serial_number
from accredit.domain.ids import AuthorityName
from accredit.domain.reserved_serials import LoseSerial, ReleaseSerials, ReserveSerials
from accredit.interfaces import Clock, Entropy, Store
from accredit.observe import log
from accredit.values import dataclass, field

BATCH = 32
"""A crash revokes as many numbers at most as a process had reserved: each is an entry of some CRL until its issuer's end."""

USED_FOR_S = 1_800
"""How long numbers are given out after they were reserved."""

LEASE_S = 3_600
"""Then those that are not on record are lost; an order is long at its end by this."""


@dataclass(slots=True)
class _Stock:
    """Numbers of one authority that nobody was given yet."""

    authority: AuthorityName
    left: list[int] = field(default_factory=list)
    until: int = 0
    filling: asyncio.Task[None] | None = None


class ReservedSerials:
    """`owner` names this process. Its methods raise StoreUnavailable."""

    def __init__(self, store: Store, clock: Clock, entropy: Entropy, owner: str) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._owner = owner
        self._stocks: dict[str, _Stock] = {}

    async def take(self, authority: AuthorityName, not_after: int) -> int:
        """A number that is on record as reserved. `not_after` is the end of the issuing CA."""
        stock = self._stocks.setdefault(authority.key, _Stock(authority))
        while not stock.left or self._clock.now() >= stock.until:
            if stock.filling is None or stock.filling.done():
                stock.filling = asyncio.create_task(self._fill(stock, not_after))
            # Whoever waits may be cancelled; what is on record by then is for the next.
            await asyncio.shield(stock.filling)
        return stock.left.pop()

    def give_back(self, authority: AuthorityName, serial: int) -> None:
        """It was not signed, and may be given to the next."""
        self._stocks[authority.key].left.append(serial)

    async def lose(self, authority: AuthorityName, serial: int) -> None:
        """It may have been signed, and no certificate will come of it."""
        now = int(self._clock.now())
        await self._store.commit([LoseSerial(authority, serial, now)])
        log.warning("serial-lost", authority=authority.text, serial=f"{serial:X}")

    async def settle(self, *, everybody: bool = False) -> None:
        """Give up what is not on record after its lease; of `everybody` where no other process can be at work."""
        now = int(self._clock.now())
        spare = {serial for stock in self._stocks.values() for serial in stock.left}
        for each in await self._store.reserved_serials():
            if each.serial not in spare and (everybody or each.expires_at <= now):
                await self.lose(each.authority, each.serial)

    async def close(self) -> None:
        """Forget what was reserved and not given out: after a stop in order nothing is in doubt."""
        for stock in self._stocks.values():
            if stock.filling is not None:
                await asyncio.wait({stock.filling})
            await self._store.commit([ReleaseSerials(stock.authority, tuple(stock.left))])
            stock.left.clear()

    async def _fill(self, stock: _Stock, not_after: int) -> None:
        now = int(self._clock.now())
        fresh = [serial_number(self._entropy) for _ in range(BATCH)]
        await self._store.commit(
            [
                ReleaseSerials(stock.authority, tuple(stock.left)),
                ReserveSerials(stock.authority, tuple(fresh), self._owner, now, now + LEASE_S, not_after),
            ]
        )
        stock.left, stock.until = fresh, now + USED_FOR_S
