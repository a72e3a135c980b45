"""What third parties may ask about our own CAs: their certificates, the CRL of a shard, an OCSP answer.

Made when asked for and kept until a revocation, or half its life, has gone by: a public port must not buy a signature
with each question. Only what is in the issuance log is answered for.
"""

from __future__ import annotations

from dataclasses import dataclass

from accredit.ca import crl, hierarchy, ocsp
from accredit.ca.hierarchy import Issuer
from accredit.ca.points import SHARDS, Points, key_id, shard_of
from accredit.domain.authority import AuthorityRecord
from accredit.domain.ids import AuthorityName
from accredit.interfaces import Clock, Store

BUILT_IN = "BuiltIn"
MAX_KEPT = 50_000
_NUMBER_BITS = 24


@dataclass(frozen=True, slots=True)
class _Ours:
    """One of our issuing CAs."""

    authority: AuthorityName
    version: str
    issuer: Issuer


@dataclass(frozen=True, slots=True)
class _Kept:
    """A signed answer; `latest` is the newest revocation that it knew of."""

    latest: int
    made_at: int
    der: bytes

    def serves(self, latest: int, now: int, life_s: int) -> bool:
        return self.latest == latest and self.made_at <= now < self.made_at + life_s // 2


class Statuses:
    """`base` is the public address that stands in the leaves."""

    def __init__(self, store: Store, clock: Clock, base: str) -> None:
        self._store = store
        self._clock = clock
        self._base = base
        self._crls: dict[tuple[str, int], _Kept] = {}
        self._answers: dict[tuple[str, int, str], _Kept] = {}
        self._loaded: dict[AuthorityName, _Ours] = {}

    async def issuer(self, key: str) -> bytes | None:
        """DER of the issuing CA's certificate with this key id (hex); None for one that is not ours."""
        ours = (await self._ours()).get(key)
        return None if ours is None else ours.issuer.der

    async def crl(self, key: str, shard: int) -> bytes | None:
        """DER; None for a CA that is not ours, or a shard that it does not have."""
        ours = (await self._ours()).get(key)
        if ours is None or not 0 <= shard < SHARDS:
            return None
        now = int(self._clock.now())
        latest = await self._store.latest_revocation()
        kept = self._crls.get((key, shard))
        if kept is None or not kept.serves(latest, now, crl.LIFE_S):
            revoked = [
                each
                for each in await self._store.revoked(ours.authority, now)
                if shard_of(each.serial) == shard
            ]
            # Grows with the clock, and within one second with the revocations.
            number = now << _NUMBER_BITS | latest & ((1 << _NUMBER_BITS) - 1)
            points = Points(self._base, key)
            kept = _Kept(latest, now, crl.signed(ours.issuer, points, shard, revoked, number, now))
            self._crls[key, shard] = kept
        return kept.der

    async def ocsp(self, request: bytes) -> bytes:
        """A DER OCSPResponse to a DER OCSPRequest, whatever that is."""
        asked = ocsp.read(request)
        if asked is None:
            return ocsp.malformed()
        ours = next(
            (each for each in (await self._ours()).values() if ocsp.names(asked, each.issuer.certificate)),
            None,
        )
        if ours is None:
            return ocsp.unauthorized()
        now = int(self._clock.now())
        latest = await self._store.latest_revocation()
        place = (key_id(ours.issuer.certificate), asked.serial, asked.algorithm)
        kept = self._answers.get(place)
        if kept is not None and asked.nonce is None and kept.serves(latest, now, ocsp.LIFE_S):
            return kept.der
        found = [
            record
            for record in await self._store.certificates_with_serial(asked.serial)
            if record.authority == ours.authority
        ]
        if not found:
            return ocsp.unauthorized()
        der = ocsp.answer(ours.issuer, found[0].issued.leaf, found[0].revocation, asked, now)
        if asked.nonce is None:
            if len(self._answers) >= MAX_KEPT:
                self._answers.clear()
            self._answers[place] = _Kept(latest, now, der)
        return der

    async def _ours(self) -> dict[str, _Ours]:
        """Every built-in authority of now, by its key id."""
        found: dict[str, _Ours] = {}
        cursor = None
        while True:
            page = await self._store.authorities(cursor, 100)
            for record in page.rows:
                if record.type == BUILT_IN:
                    ours = self._load(record)
                    found[key_id(ours.issuer.certificate)] = ours
            cursor = page.cursor
            if cursor is None:
                return found

    def _load(self, record: AuthorityRecord) -> _Ours:
        known = self._loaded.get(record.name)
        if known is None or known.version != record.version:
            issuer = hierarchy.load_issuing(record)
            known = self._loaded[record.name] = _Ours(record.name, record.version, issuer)
        return known
