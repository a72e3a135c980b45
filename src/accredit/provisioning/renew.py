"""Renew: a device that is connected to its hub asks for its next certificate, proven by the one that it holds.

The ceremony is that of a registration, and always by an operation, whoever signs: its row outlives the connection, so that the
device may lose that and ask again by the same name. One operation of a device is under way at a time. The old certificate
stays good until the new one is first used; a renewal that fails leaves everything as it was.
"""

from __future__ import annotations

import asyncio
from hashlib import sha256
from weakref import WeakValueDictionary

from accredit.domain.credential import CertificateRecord, CertificateStatus
from accredit.domain.errors import AccreditError, Unauthenticated, UpstreamUnavailable
from accredit.domain.evidence import HeldCertificate
from accredit.domain.ids import RegistrationId
from accredit.domain.registration import Operation, OperationState, Request
from accredit.domain.renewal import (
    ANY_REQUEST,
    Accepted,
    Busy,
    NothingToReplace,
    NotRenewed,
    RenewalRequest,
    Renewed,
)
from accredit.domain.trace import Asked
from accredit.interfaces import StoreUnavailable
from accredit.observe import log
from accredit.policy import issuance
from accredit.provisioning.explain import Trail
from accredit.provisioning.means import Means
from accredit.provisioning.orders import Orders, Placed
from accredit.provisioning.refusals import Refusals
from accredit.provisioning.register import Registering

API_VERSION = "2025-08-01-preview"
"""What the clients that renew over a hub connect with."""
FIELD = "csr"
_LONGER_S = 60


class Renewals:
    """What the hub's fronts ask. Every method raises AccreditError and nothing else on purpose."""

    def __init__(self, means: Means, orders: Orders, refusals: Refusals) -> None:
        self._means = means
        self._orders = orders
        self._refusals = refusals
        self._registering = Registering(means, orders, refusals)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def begin(self, asked: RenewalRequest) -> Accepted | Busy | NothingToReplace:
        """Place the order, or resume the one of the same name and key."""
        try:
            record = await self._means.store.certificate(sha256(asked.certificate).digest())
            if record is None:
                raise Unauthenticated("Unauthorized", rule="held-certificate-unknown")
            async with self._turn(record.registration_id):
                return await self._begin(asked, record.registration_id)
        except StoreUnavailable as failure:
            log.error("store-unavailable", trackingId=asked.tracking_id, reason=str(failure))
            raise _unavailable() from failure

    async def outcome(self, operation_id: str) -> Renewed | NotRenewed | None:
        """What came of it, once it has ended; None when this process stops before that."""
        try:
            await self._orders.settled(operation_id, self._means.ca_retry_s + _LONGER_S)
            operation = await self._means.store.operation(operation_id)
            if operation is None:
                return None
            return await self._told(operation)
        except StoreUnavailable as failure:
            raise _unavailable() from failure

    async def waiting(self, certificate: bytes) -> Accepted | None:
        """What the device asked for earlier and has not taken yet: under way, ready and unused, or failed just now."""
        try:
            record = await self._means.store.certificate(sha256(certificate).digest())
            if record is None:
                return None
            # What another connection of the device has just asked is placed first.
            async with self._turn(record.registration_id):
                return await self._waiting(record.registration_id)
        except StoreUnavailable as failure:
            raise _unavailable() from failure

    async def _waiting(self, registration_id: RegistrationId) -> Accepted | None:
        for newest in (await self._means.store.renewals(registration_id))[:1]:
            ready = await self._unused(newest) is not None
            failed = newest.state is OperationState.FAILED and self._means.now() < newest.deadline_at
            if ready or failed or newest.state is OperationState.OPEN:
                return _accepted(newest)
        return None

    def _turn(self, registration_id: RegistrationId) -> asyncio.Lock:
        return self._turns.setdefault(registration_id.key, asyncio.Lock())

    async def _begin(
        self, asked: RenewalRequest, registration_id: RegistrationId
    ) -> Accepted | Busy | NothingToReplace:
        request = Request(
            registration_id=registration_id,
            evidence=HeldCertificate(asked.certificate),
            csr_fields=((FIELD, asked.csr),),
            payload=None,
            api_version=API_VERSION,
            source=asked.source,
            tracking_id=asked.tracking_id,
            request_id=asked.request_id,
        )
        trail = Trail()
        try:
            again = await self._resumed(asked, registration_id)
            if again is not None:
                return _accepted(again)
            open_one = await self._means.store.open_operation(registration_id)
            if open_one is not None and asked.replace is None:
                return _busy(open_one)
            replaceable = (None, ANY_REQUEST) if open_one is None else (ANY_REQUEST, open_one.request_id)
            if asked.replace not in replaceable:
                return NothingToReplace(asked.replace or "")
            placed = await self._registering.register(request, trail)
            assert isinstance(placed, Placed), "what has a request id goes by an operation"
            operation = await self._means.store.operation(placed.operation_id)
        except AccreditError as refusal:
            told = await self._refusals.refused(request, Asked.RENEWAL, refusal, trail)
            if told is refusal:
                raise
            raise told from refusal
        if operation is None:
            raise _unavailable()
        return _accepted(operation)

    async def _resumed(self, asked: RenewalRequest, registration_id: RegistrationId) -> Operation | None:
        """The operation of the same name, if it is for the same key and its certificate is still to be taken."""
        known = await self._means.store.renewals(registration_id)
        same = next((each for each in known if each.request_id == asked.request_id), None)
        if same is None or same.spki_sha256 != issuance.intake(asked.csr, FIELD).spki_sha256:
            return None
        if same.state is OperationState.OPEN or await self._unused(same) is not None:
            return same
        return None

    async def _unused(self, operation: Operation) -> CertificateRecord | None:
        """The certificate of a renewal that has ended, while the device has not used it."""
        if operation.certificate_sha256 is None or operation.state is not OperationState.ASSIGNED:
            return None
        record = await self._means.store.certificate(operation.certificate_sha256)
        return record if record is not None and record.status is CertificateStatus.PENDING else None

    async def _told(self, operation: Operation) -> Renewed | NotRenewed | None:
        correlation_id, request_id = correlation(operation), operation.request_id or ""
        match operation.state:
            case OperationState.OPEN:
                return None
            case OperationState.ASSIGNED:
                assert operation.certificate_sha256 is not None
                record = await self._means.store.certificate(operation.certificate_sha256)
                assert record is not None, "certificates are never deleted"
                return Renewed(correlation_id, record.issued.chain)
            case OperationState.SUPERSEDED:
                words = "A newer request of this device took its place."
                return NotRenewed(correlation_id, request_id, words, superseded=True)
            case OperationState.FAILED | OperationState.DISABLED:
                return NotRenewed(correlation_id, request_id, operation.error_message or "")


def correlation(operation: Operation) -> str:
    """The GUID in the operation's id."""
    return operation.id.rpartition(".")[2]


def _accepted(operation: Operation) -> Accepted:
    return Accepted(operation.id, correlation(operation), operation.request_id or "", operation.deadline_at)


def _busy(operation: Operation) -> Busy:
    begun = operation.submitted or operation.handle is not None
    return Busy(correlation(operation), operation.request_id or "", operation.deadline_at, begun)


def _unavailable() -> UpstreamUnavailable:
    return UpstreamUnavailable(
        "The service can't store anything now.", rule="store-unavailable", retry_after_s=5
    )
