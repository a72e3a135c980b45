"""Intent: one operation's durable row while it is worked on, and what its order leaves on record.

Every write names the fence, so that whoever has lost the operation learns of it (`Superseded`) instead of writing.
What the answers of webhooks, authorities and hubs mean is not told here, but in the file of each phase.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from hashlib import sha256

from accredit.domain.changes import (
    AppendLeaf,
    AssertLease,
    AssertOperation,
    Change,
    RecordCertificate,
    RevokeCertificate,
    SaveOperation,
    WatchLostOrder,
)
from accredit.domain.credential import (
    DEFAULT_PROFILE,
    STRAY,
    CertificateRecord,
    IssuedChain,
    Order,
    RevocationReason,
    SigningRequest,
)
from accredit.domain.custody import LostOrder
from accredit.domain.errors import AccreditError
from accredit.domain.ids import AuthorityName
from accredit.domain.issuance_log import revocation_leaf, unknown_leaf
from accredit.domain.registration import Admitted, Allocated, Operation, Phase
from accredit.interfaces import Authority, Stale
from accredit.observe import log
from accredit.policy import issuance
from accredit.policy.public_keys import KeyRules
from accredit.policy.retry import LOST_ORDER_LOOKS
from accredit.provisioning.allocate import changed_meanwhile, still_admitted, still_allocated
from accredit.provisioning.attest import resumed
from accredit.provisioning.complete import ROUNDS, lasting_refusal
from accredit.provisioning.issue import group_of, profile_of
from accredit.provisioning.means import Means
from accredit.provisioning.record import entries
from accredit.provisioning.revoked_authority import RevokedAuthority
from accredit.values import replace

_ANY_KEY = KeyRules(ed25519=True)
"""Which keys are taken was decided before the intent was written."""

BACKDATING_S = 3_600
"""What a CA made for an order may begin this much before its intent: CAs backdate."""


class Superseded(Exception):
    """The operation ended under our hands: another CSR came, or the registration was deleted."""


class Failure(Exception):
    """The operation has to end as failed. `kept` goes on record, unbound; `certain`: no signature is in doubt."""

    def __init__(
        self, refusal: AccreditError, kept: Sequence[IssuedChain] = (), *, certain: bool = False
    ) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal
        self.kept = kept
        self.certain = certain


class Intent:
    """`operation` is the row as it was last read or written."""

    def __init__(self, means: Means, operation: Operation) -> None:
        self._means = means
        self._store = means.store
        self.operation = operation

    @cached_property
    def request(self) -> SigningRequest:
        """The CSR that was accepted when the intent was written."""
        text = b64encode(self.operation.csr_der).decode()
        return issuance.intake(text, self.operation.csr_field or "", _ANY_KEY)

    @property
    def authority_name(self) -> AuthorityName:
        assert self.operation.authority is not None
        return self.operation.authority

    async def authority(self) -> Authority | None:
        """The authority that the intent names, unless it is gone or was replaced."""
        authority = await self._means.authorities.get(self.authority_name)
        if authority is None or authority.version != self.operation.authority_version:
            return None
        return authority

    async def next_authority(self) -> Authority | None:
        """Who is asked when the present one can't sign, in the enrollment's order and from its beginning again; None for nobody."""
        enrollment = await self._store.enrollment(self.operation.enrollment)
        names = () if enrollment is None else enrollment.authorities
        if self.authority_name not in names:
            return None
        at = names.index(self.authority_name)
        for name in (*names[at + 1 :], *names[:at]):
            authority = await self._means.authorities.get(name)
            if authority is not None and not isinstance(authority, RevokedAuthority):
                return authority
        return None

    async def admitted(self) -> Admitted:
        """Raises Refused when what the intent rests on has changed."""
        operation = self.operation
        enrollment = await self._store.enrollment(operation.enrollment)
        if enrollment is None or enrollment.etag != operation.enrollment_etag:
            raise changed_meanwhile()
        previous = await self._store.registration(operation.registration_id)
        linked = await self._means.hubs.linked()
        attested = await resumed(self._store, operation, enrollment, self._means.challenges)
        return still_admitted(operation, attested, previous, linked)

    async def allocated(self) -> Allocated:
        """Raises Refused when what the intent rests on has changed."""
        return still_allocated(self.operation, await self.admitted(), await self._means.hubs.linked())

    @property
    def after_allocation(self) -> Phase:
        """What is next once the hub is chosen."""
        operation = self.operation
        signed = operation.certificate_sha256 is not None
        return Phase.BIND if signed or operation.csr_field is None else Phase.ORDER

    async def order(self) -> Order:
        """The order under the profile of now; without the enrollment, which may be gone since, under the default one."""
        operation = self.operation
        enrollment = await self._store.enrollment(operation.enrollment)
        return Order(
            operation_id=operation.id,
            registration_id=operation.registration_id,
            device_id=operation.device_id,
            request=self.request,
            profile=DEFAULT_PROFILE if enrollment is None else await profile_of(enrollment, self._store),
            since=operation.created_at,
            attempt=operation.attempt,
            group=None if enrollment is None else group_of(enrollment),
        )

    async def save(self, *also: Change, **changes: object) -> None:
        """Write the row with these members changed, and the lease renewed."""
        lease_expires_at = self._means.leases.until()
        saved = replace(self.operation, lease_expires_at=lease_expires_at, **changes)  # type: ignore[arg-type]
        await self.commit([*also, SaveOperation(saved, self.operation.fence)])
        self.operation = saved

    async def commit(self, unit: Sequence[Change]) -> None:
        try:
            await self._store.commit(unit)
        except Stale as stale:
            raise Superseded from stale

    def doubt(self) -> AppendLeaf:
        """The entry `unknown`, for a signature that may exist and that nobody could find."""
        digest = sha256(self.operation.csr_der).digest()
        return AppendLeaf(unknown_leaf(self.authority_name, digest, self._means.now()))

    def lost(self) -> tuple[Change, ...]:
        """The same, and that its CA is asked again later, where the operator wants that."""
        watch_s, now = self._means.orphan_watch_s, self._means.now()
        if not watch_s:
            return (self.doubt(),)
        digest = sha256(self.operation.csr_der).digest()
        first = now + LOST_ORDER_LOOKS.wait_s(1, self._means.jitter())
        order = LostOrder(self.operation.id, self.authority_name, digest, now + watch_s, first)
        return (self.doubt(), WatchLostOrder(order))

    async def keep(self, issued: IssuedChain, *also: Change, stray: bool = False) -> None:
        """Put a signature on record that is not bound to the device; `stray` when it is not what was ordered."""
        for _ in range(ROUNDS):
            unit = [*await self._entries(issued, stray=stray), *also]
            try:
                if unit:
                    await self._store.commit(unit)
            except Stale as stale:
                if not isinstance(stale.change, RecordCertificate):
                    raise Superseded from stale
            else:
                return

    async def _entries(self, issued: IssuedChain, *, stray: bool) -> Sequence[Change]:
        if await self._store.certificate(issued.sha256) is not None:
            return ()
        if await self._store.serial_known(self.authority_name, issued.serial):
            log.error("serial-collision", authority=str(self.authority_name), serial=f"{issued.serial:X}")
            return (self.doubt(),)
        operation = self.operation
        unbound = CertificateRecord(
            issued=issued,
            authority=self.authority_name,
            authority_version=operation.authority_version,
            profile=STRAY if stray else operation.profile,
            registration_id=operation.registration_id,
            device_id=operation.device_id,
            enrollment_generation=operation.enrollment_generation,
            csr_sha256=sha256(operation.csr_der).digest(),
            operation_id=operation.id,
            issued_at=self._means.now(),
        )
        kept: list[Change] = [*entries(unbound, shared_key=True)]
        if stray:
            # What is nobody's to one process may be what another, which has the operation now, takes for the device's.
            kept.insert(0, AssertOperation(operation.id, operation.fence))
        if stray and issued.not_before >= operation.created_at - BACKDATING_S:
            # Made for this order, whatever it is: what is older may be somebody else's that the CA showed us.
            now, reason = self._means.now(), RevocationReason.SUPERSEDED
            kept.append(RevokeCertificate(issued.sha256, now, reason, ca_knows=False))
            kept.append(AppendLeaf(revocation_leaf(self.authority_name, issued.sha256, now)))
            log.error(
                "stray-certificate",
                authority=str(self.authority_name),
                serial=f"{issued.serial:X}",
                operationId=operation.id,
                registrationId=str(operation.registration_id),
            )
        return kept

    def log(self, outcome: str, **fields: str) -> None:
        operation = self.operation
        self._means.tallies.operations.add(outcome)
        log.info(
            "registration",
            trackingId=operation.tracking_id,
            registrationId=str(operation.registration_id),
            operationId=operation.id,
            enrollment=f"{operation.enrollment.kind}/{operation.enrollment.key}",
            authority=None if operation.authority is None else str(operation.authority),
            hub=operation.hub,
            outcome=outcome,
            **fields,
        )


async def until_it_stands(attempt: Callable[[], Awaitable[None]]) -> AccreditError | None:
    """Make the attempt, again while what it read is changed under it. Returns why that is vain, None once it stands.

    Raises Superseded, and what the attempt raises beside Stale.
    """
    for _ in range(ROUNDS):
        try:
            await attempt()
        except Stale as stale:
            if isinstance(stale.change, SaveOperation | AssertLease):
                raise Superseded from stale
            lasting = lasting_refusal(stale.change)
            if lasting is not None:
                return lasting
        else:
            return None
    return changed_meanwhile()
