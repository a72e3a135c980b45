"""The certificates of an enrollment's authority, for whoever will trust what it issues: public, told without a proof.

Our own CA knows its chain; another is asked, at most once in `KEPT_S` for all who want to know, and its trust anchors stand
in where it tells nothing. Nothing is ordered here.
"""

from __future__ import annotations

import asyncio
from weakref import WeakValueDictionary

from accredit.domain.enrollment import Enrollment, EnrollmentKind, EnrollmentRef
from accredit.domain.errors import AccreditError, NotFound, UpstreamUnavailable
from accredit.domain.ids import AuthorityName
from accredit.interfaces import Authority, Probes, StoreUnavailable, TellsChain
from accredit.provisioning.means import Means
from accredit.provisioning.refusals import Refusals
from accredit.values import dataclass
from accredit.wire.service_api.certificates import certificate_ders

KEPT_S = 3_600
FAILURE_KEPT_S = 30


@dataclass(frozen=True, slots=True)
class _Known:
    version: str
    until: int
    chain: tuple[bytes, ...] | AccreditError


class CaChains:
    """Bounded by the number of authorities."""

    def __init__(self, means: Means, refusals: Refusals) -> None:
        self._means = means
        self._refusals = refusals
        self._known: dict[AuthorityName, _Known] = {}
        self._turns: WeakValueDictionary[AuthorityName, asyncio.Lock] = WeakValueDictionary()

    async def of(self, label: str, *, source: str, tracking_id: str) -> tuple[bytes, ...]:
        """DER, the issuing CA's first. Raises NotFound, UpstreamRejected and UpstreamUnavailable."""
        try:
            return await self._of(label)
        except NotFound as refusal:
            told = self._refusals.unread(
                refusal, registration_id=label, source=source, tracking_id=tracking_id
            )
            # A stranger who looks for labels pays for it like one who looks for passwords.
            raise self._refusals.limits.failed(told, source) from None
        except StoreUnavailable as failure:
            raise UpstreamUnavailable(
                "The service's storage can't be used now.", rule="store-unavailable", retry_after_s=5
            ) from failure

    async def _of(self, label: str) -> tuple[bytes, ...]:
        enrollment = await self._enrollment(label)
        if enrollment.authority is None:
            raise NotFound("The enrollment issues no certificates.", rule="enrollment-issues-nothing")
        authority = await self._means.authorities.get(enrollment.authority)
        if authority is None:
            raise NotFound("There is no such certificate authority.", rule="authority-unknown")
        if isinstance(authority, TellsChain):
            return authority.chain()
        turn = self._turns.setdefault(authority.name, asyncio.Lock())
        async with turn:
            known = self._known.get(authority.name)
            now = self._means.now()
            if known is None or known.version != authority.version or now >= known.until:
                known = self._known[authority.name] = await self._asked(authority, now)
        if isinstance(known.chain, AccreditError):
            raise known.chain
        return known.chain

    async def _enrollment(self, label: str) -> Enrollment:
        for kind in (EnrollmentKind.INDIVIDUAL, EnrollmentKind.GROUP):
            found = await self._means.store.enrollment(EnrollmentRef(kind, label.lower()))
            if found is not None:
                return found
        raise NotFound("There is no such label.", rule="enrollment-unknown", evidence=f"label {label!r}")

    async def _asked(self, authority: Authority, now: int) -> _Known:
        chain: tuple[bytes, ...] = ()
        try:
            if isinstance(authority, Probes):
                chain = (await authority.probe()).chain
        except AccreditError as failure:
            return _Known(authority.version, now + FAILURE_KEPT_S, failure)
        record = await self._means.store.authority(authority.name)
        anchors = record.settings.get("trustAnchors") if record is not None else None
        if anchors and not chain:
            # Among them may be what only the CA's own TLS chains to, so they are told where nothing better is known.
            chain = tuple(certificate_ders(anchors, "trustAnchors"))
        if not chain:
            unknown = NotFound(
                "The certificates of the certificate authority are not known here.",
                rule="ca-chain-unknown",
                hint=f"set trustAnchors of authority {authority.name}",
            )
            return _Known(authority.version, now + FAILURE_KEPT_S, unknown)
        return _Known(authority.version, now + KEPT_S, chain)
