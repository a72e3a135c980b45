"""How much and how often: the generic cell rate algorithm (ITU-T I.371), with the exact instant to come back at.

All that is remembered of whoever is limited is one instant, at which it has been quiet for long enough to owe nothing.
Instants are whole microseconds of a clock that never goes back, handed in, so that "come back then" is exact and no
rounding lets one too many through. Not here: who is limited, and by how much (`provisioning/limits.py`).
"""

from __future__ import annotations

from collections.abc import Hashable
from ipaddress import AddressValueError, IPv6Address, IPv6Network

from accredit.values import dataclass

SECOND = 1_000_000
"""Microseconds."""

_IPV6_PREFIX_BITS = 64
_SWEPT_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Rate:
    """`amount` in each `period_s` seconds, of which `burst` may come at once."""

    amount: int
    period_s: int
    burst: int

    @property
    def interval(self) -> int:
        """Microseconds that one takes to be forgotten; rounded up, so that the rate is never exceeded."""
        return -(-self.period_s * SECOND // self.amount)


def wait(rate: Rate, owed_until: int, now: int, cost: int = 1) -> int:
    """Microseconds until `cost` conforms, 0 when it does now. More than the burst counts as the burst: it must end."""
    span = rate.interval * (rate.burst - min(cost, rate.burst))
    return max(0, owed_until - span - now)


def taken(rate: Rate, owed_until: int, now: int, cost: int = 1) -> int:
    """The instant to remember once `cost` was taken, whether or not it conformed."""
    return max(owed_until, now) + rate.interval * min(cost, rate.burst)


def whole_seconds(microseconds: int) -> int:
    """For a wire that counts in seconds: the first whole second by which the wait is over, at least 1."""
    return max(1, -(-microseconds // SECOND))


class Ledger:
    """Who owes how much, of a bounded number of keys.

    Who owes nothing is not remembered. Where all places are taken, who was heard of least recently is forgotten: that
    is in his favour, and never makes anybody wait who owes nothing.
    """

    def __init__(self, rate: Rate, max_keys: int) -> None:
        self.rate = rate
        self._max_keys = max_keys
        self._owed: dict[Hashable, int] = {}

    def __len__(self) -> int:
        return len(self._owed)

    def wait(self, key: Hashable, now: int, cost: int = 1) -> int:
        """Microseconds until `cost` conforms; nothing is taken."""
        return wait(self.rate, self._owed.get(key, 0), now, cost)

    def owes(self, key: Hashable, now: int) -> bool:
        """Whether anything of what it took is not forgotten yet."""
        return self._owed.get(key, 0) > now

    def take(self, key: Hashable, now: int, cost: int = 1) -> int:
        """Take it if it conforms, and return 0; else take nothing, and return the microseconds until it does."""
        delay = self.wait(key, now, cost)
        if not delay:
            self.charge(key, now, cost)
        return delay

    def charge(self, key: Hashable, now: int, cost: int = 1) -> None:
        """Take it whether or not it conforms: for what has happened already. Nobody owes more than two bursts."""
        owed = taken(self.rate, self._owed.pop(key, 0), now, cost)
        self._make_room(now)
        self._owed[key] = min(owed, now + 2 * self.rate.burst * self.rate.interval)

    def _make_room(self, now: int) -> None:
        # Those at the front were charged longest ago; a few at a time keeps the ledger small without a sweep.
        for _ in range(_SWEPT_AT_ONCE):
            first = next(iter(self._owed), None)
            if first is None or (self._owed[first] > now and len(self._owed) < self._max_keys):
                return
            del self._owed[first]


def source_of(address: str) -> str:
    """Whom an address stands for: an IPv6 host has the 2^64 addresses of its network to choose from, so it is that."""
    if ":" not in address:
        return address
    try:
        parsed = IPv6Address(address.partition("%")[0])
    except AddressValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((parsed, _IPV6_PREFIX_BITS), strict=False).network_address)
