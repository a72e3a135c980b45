"""What third parties may ask about our own CAs: their certificates, the CRL of a shard, an OCSP answer.

Made when asked for and kept until a revocation, or half its life, has gone by: a public port must not buy a signature
with each question. Only what is in the issuance log is answered for, and numbers that a token may have signed and nobody
has seen. Where the key is in a token, which is slow, one signature serves all that ask meanwhile, no nonce is answered, and
while the token is away what is kept serves until its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.ca import crl, holdings, ocsp
from accredit.ca.hierarchy import Issuer
from accredit.ca.points import SHARDS, Points, key_id
from accredit.ca.token_keys import TokenKey
from accredit.ca.tokens import Tokens
from accredit.domain.authority import AuthorityRecord
from accredit.domain.credential import Revoked
from accredit.domain.errors import UpstreamUnavailable
from accredit.domain.ids import AuthorityName
from accredit.interfaces import Clock, Store
from accredit.values import dataclass, replace

BUILT_IN = "BuiltIn"
MAX_KEPT = 50_000
ENTRIES_PER_S = 10_000
"""A CRL is made at most so often that so many entries are signed in a second: up to that many, at once."""

_NUMBER_BITS = 24


@dataclass(frozen=True, slots=True)
class _Ours:
    """One of our issuing CAs, of now or before."""

    authority: AuthorityName
    issuer: Issuer


@dataclass(frozen=True, slots=True)
class _Root:
    """A root of ours: what it revoked, and its key where that is here."""

    certificate: x509.Certificate
    issuer: Issuer | None
    revoked: tuple[Revoked, ...]


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What one record holds, by key ids."""

    etag: str
    issuing: dict[str, _Ours]
    roots: dict[str, _Root]


@dataclass(frozen=True, slots=True)
class _Kept:
    """A signed answer; `latest` is the newest revocation that it knew of."""

    latest: int
    made_at: int
    der: bytes

    def serves(self, latest: int, now: int, life_s: int) -> bool:
        return self.latest == latest and self.made_at <= now < self.made_at + life_s // 2

    def outlasts(self, latest: int, now: int, life_s: int) -> bool:
        """Whether it may still be told where no newer one can be made."""
        return self.latest == latest and self.made_at <= now < self.made_at + life_s


class Statuses:
    """`base` is the public address that stands in the leaves."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        base: str,
        tokens: Tokens | None = None,
        entries_per_s: int = ENTRIES_PER_S,
    ) -> None:
        self._entries_per_s = entries_per_s
        self._store = store
        self._clock = clock
        self._base = base
        self._tokens = tokens
        self._being_made: dict[tuple[object, ...], asyncio.Future[bytes]] = {}
        self._crls: dict[tuple[str, int], _Kept] = {}
        self._lengths: dict[tuple[str, int], int] = {}
        self._answers: dict[tuple[str, int, str], _Kept] = {}
        self._root_crls: dict[str, tuple[tuple[Revoked, ...], _Kept]] = {}
        self._loaded: dict[AuthorityName, _Loaded] = {}

    async def issuer(self, key: str) -> bytes | None:
        """DER of the issuing CA's or root's certificate with this key id (hex); None for one that is not ours."""
        for loaded in await self._records():
            if key in loaded.issuing:
                return loaded.issuing[key].issuer.der
            if key in loaded.roots:
                return loaded.roots[key].certificate.public_bytes(Encoding.DER)
        return None

    async def root_crl(self, key: str) -> bytes | None:
        """DER of what a root revoked; None for a root that is not ours, or whose key is not here."""
        root = next((each.roots[key] for each in await self._records() if key in each.roots), None)
        if root is None or root.issuer is None:
            return None
        now = int(self._clock.now())
        revoked, kept = self._root_crls.get(key, ((), None))
        if kept is None or revoked != root.revoked or not kept.serves(0, now, crl.LIFE_S):
            # Above 0: the list may have changed within the second of the one before.
            number = (now << _NUMBER_BITS) + len(root.revoked)
            scope = Points(self._base, key).root_scope()
            same = kept if revoked == root.revoked else None
            what = (root.issuer, scope, root.revoked, number, now)
            kept = await self._made(same, (key, len(root.revoked)), 0, crl.LIFE_S, crl.signed, *what)
            self._root_crls[key] = (root.revoked, kept)
        return kept.der

    async def crl(self, key: str, shard: int) -> bytes | None:
        """DER; None for a CA that is not ours, or a shard that it does not have."""
        ours = (await self._ours()).get(key)
        if ours is None or not 0 <= shard < SHARDS:
            return None
        now = int(self._clock.now())
        latest = await self._store.latest_revocation()
        kept = self._crls.get((key, shard))
        if kept is None or not (kept.serves(latest, now, crl.LIFE_S) or self._rests(key, shard, kept, now)):
            revoked = await self._store.revoked(ours.authority, shard, now)
            # Grows with the clock, and within one second with the revocations.
            number = now << _NUMBER_BITS | latest & ((1 << _NUMBER_BITS) - 1)
            scope = Points(self._base, key).scope(shard)
            what = (ours.issuer, scope, revoked, number, now)
            kept = await self._made(kept, (key, shard), latest, crl.LIFE_S, crl.signed, *what)
            self._crls[key, shard] = kept
            self._lengths[key, shard] = len(revoked)
        return kept.der

    def _rests(self, key: str, shard: int, kept: _Kept, now: int) -> bool:
        """A long list that grows all the time, because a whole fleet is revoked, is not made for everybody who asks."""
        return kept.made_at <= now < kept.made_at + self._lengths[key, shard] // self._entries_per_s

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
        if isinstance(ours.issuer.key, TokenKey):
            asked = replace(asked, nonce=None)
        now = int(self._clock.now())
        latest = await self._store.latest_revocation()
        place = (key_id(ours.issuer.certificate), asked.serial, asked.algorithm)
        kept = self._answers.get(place)
        if kept is not None and asked.nonce is None and kept.serves(latest, now, ocsp.LIFE_S):
            return kept.der
        found = [
            record.revocation
            for record in await self._store.certificates_with_serial(asked.serial)
            if record.authority == ours.authority and _issued_by(record.issued.leaf, ours.issuer)
        ] or [lost for lost in (await self._store.lost_serial(ours.authority, asked.serial),) if lost]
        if not found:
            return ocsp.unauthorized()
        what = (ours.issuer, found[0], asked, now)
        try:
            made = await self._made(kept, place, latest, ocsp.LIFE_S, ocsp.answer, *what)
        except UpstreamUnavailable:
            return ocsp.try_later()
        if asked.nonce is None:
            if len(self._answers) >= MAX_KEPT:
                self._answers.clear()
            self._answers[place] = made
        return made.der

    async def _made(
        self,
        kept: _Kept | None,
        place: tuple[object, ...],
        latest: int,
        life_s: int,
        make: Callable[..., bytes],
        issuer: Issuer,
        *what: Any,
    ) -> _Kept:
        """The answer of this place made anew, or where its token is away, what is kept of it. Raises UpstreamUnavailable.

        The last of `what` is the instant.
        """
        now: int = what[-1]
        if self._tokens is None or not isinstance(issuer.key, TokenKey):
            return _Kept(latest, now, make(issuer, *what))
        making = self._being_made.get((*place, latest))
        if making is None:
            making = asyncio.ensure_future(self._tokens.run(make, issuer, *what))
            self._being_made[*place, latest] = making
            making.add_done_callback(lambda done: self._ended((*place, latest), done))
        try:
            return _Kept(latest, now, await asyncio.shield(making))
        except UpstreamUnavailable:
            if kept is None or not kept.outlasts(latest, now, life_s):
                raise
            return kept

    def _ended(self, place: tuple[object, ...], done: asyncio.Future[bytes]) -> None:
        del self._being_made[place]
        if not done.cancelled():
            done.exception()  # nobody may be waiting for it any more

    async def _ours(self) -> dict[str, _Ours]:
        """Every issuing CA of every built-in authority, of now and before, by its key id."""
        return {key: ours for loaded in await self._records() for key, ours in loaded.issuing.items()}

    async def _records(self) -> list[_Loaded]:
        found: list[_Loaded] = []
        cursor = None
        while True:
            page = await self._store.authorities(cursor, 100)
            found += [self._load(record) for record in page.rows if record.type == BUILT_IN]
            cursor = page.cursor
            if cursor is None:
                return found

    def _load(self, record: AuthorityRecord) -> _Loaded:
        known = self._loaded.get(record.name)
        if known is None or known.etag != record.etag:
            known = self._loaded[record.name] = _loaded(record, self._tokens)
        return known


def _loaded(record: AuthorityRecord, tokens: Tokens | None) -> _Loaded:
    held = holdings.read(record, tokens)
    issuers = {key_id(each.certificate): each for each in held.roots}
    revoked: dict[str, list[Revoked]] = {}
    certificates: dict[str, x509.Certificate] = {}
    for each in held.all:
        root = key_id(each.root)
        certificates[root] = each.root
        if each.revoked is not None:
            revoked.setdefault(root, []).append(each.revoked)
    return _Loaded(
        record.etag,
        {each.key_id: _Ours(record.name, each.issuer) for each in held.all},
        {
            key: _Root(certificate, issuers.get(key), tuple(revoked.get(key, ())))
            for key, certificate in certificates.items()
        },
    )


def _issued_by(leaf: bytes, issuer: Issuer) -> bool:
    """An authority may have had several issuing CAs: each answers for its own leaves."""
    named = (
        x509.load_der_x509_certificate(leaf)
        .extensions.get_extension_for_class(x509.AuthorityKeyIdentifier)
        .value
    )
    return named.key_identifier is not None and named.key_identifier.hex() == key_id(issuer.certificate)
