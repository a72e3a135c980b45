"""The ceremony: attest, admit, allocate, settle, issue, record, bind, complete, answer; an operation, if others are asked.

The three questions of a device, whatever its wire: register, how far is my operation, what is my registration. Every
answer is built from what is committed.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from weakref import WeakValueDictionary

from accredit.domain.changes import AssertRoom, SaveHubDevice
from accredit.domain.credential import Certified
from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef
from accredit.domain.errors import AccreditError, Disabled, Malformed, NotFound, UpstreamUnavailable
from accredit.domain.evidence import Attested, ProvenTpm, TpmEndorsement
from accredit.domain.ids import RegistrationId
from accredit.domain.registration import (
    Answer,
    Assigned,
    Assigning,
    Challenged,
    Ended,
    Registration,
    Request,
    Status,
)
from accredit.domain.trace import Asked
from accredit.interfaces import Stale, StoreUnavailable
from accredit.observe import log
from accredit.policy import admission
from accredit.policy.allocation import NO_HUB, AskWebhook
from accredit.provisioning import answer, names
from accredit.provisioning.allocate import admit, allocate
from accredit.provisioning.attest import attest
from accredit.provisioning.bind import bind, cut
from accredit.provisioning.complete import ROUNDS, complete, lasting_refusal
from accredit.provisioning.explain import Trail
from accredit.provisioning.issue import Wanted, settle, sign, unsigned
from accredit.provisioning.means import Means
from accredit.provisioning.orders import Orders, Placed, at_once
from accredit.provisioning.record import record
from accredit.provisioning.refusals import Refusals
from accredit.provisioning.tpm import TPM_UNKNOWN, enrolled, remembered
from accredit.wire.service_api.certificates import serial_hex

_FAILED_AT_ONCE = frozenset({TPM_UNKNOWN, NO_HUB})
"""Told as the state of a registration rather than as an error of the call (Azure: 200, `failed`)."""


class Provisioning:
    """What the device-facing fronts talk to. Every method raises AccreditError and nothing else on purpose."""

    def __init__(self, means: Means, orders: Orders, refusals: Refusals | None = None) -> None:
        self._means = means
        self._orders = orders
        self._refusals = refusals if refusals is not None else Refusals(means)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self.id_scope = means.id_scope

    async def register(self, request: Request) -> Answer:
        """One register call, to its answer; one log line says how it ended."""
        trail = Trail()
        try:
            outcome = await self._repeated(request, trail)
            done = await self._within_patience(outcome) if isinstance(outcome, Placed) else outcome
            return self._with_hub_key(done)
        except Disabled as refusal:
            await self._refusals.refused(request, Asked.REGISTER, refusal, trail)
            operation_id = names.operation_id(self._means.entropy)
            if isinstance(request.evidence, TpmEndorsement):
                # Nothing is stored by which a poll could prove itself, so it is told at once.
                return answer.disabled(
                    operation_id, request.registration_id, trail.previous, self._means.now()
                )
            return Assigning(operation_id, request.registration_id, answer.POLL_AFTER_S)
        except AccreditError as refusal:
            told = await self._refusals.refused(request, Asked.REGISTER, refusal, trail)
            if told is refusal and refusal.rule in _FAILED_AT_ONCE:
                return self._failed(request, refusal, trail)
            if told is refusal:
                raise
            raise told from refusal
        except StoreUnavailable as failure:
            raise self._unavailable(request, failure) from failure

    async def challenge(self, request: Request) -> Challenged | Ended:
        """What the TPM of `request.evidence`, a TpmEndorsement, must open and sign its token with.

        Ended, as a failed registration, when no enrollment has its endorsement key: for such a peer nothing is sealed.
        A device that comes with the token goes on to `register`; a front that must know before that asks `prove`.
        """
        shown = request.evidence
        if not isinstance(shown, TpmEndorsement):
            raise TypeError("only a TPM is challenged")
        means, registration_id, trail = self._means, request.registration_id, Trail()
        try:
            ref = EnrollmentRef(EnrollmentKind.INDIVIDUAL, registration_id.key)
            enrolled(await means.store.enrollment(ref), registration_id, shown)
            return Challenged(means.challenges.blob(registration_id, shown, means.now()))
        except AccreditError as refusal:
            told = await self._refusals.refused(request, Asked.CHALLENGE, refusal, trail)
            if told is refusal and refusal.rule in _FAILED_AT_ONCE:
                return self._failed(request, refusal, trail)
            if told is refusal:
                raise
            raise told from refusal
        except StoreUnavailable as failure:
            raise self._unavailable(request, failure) from failure

    async def prove(self, request: Request) -> None:
        """Return if the evidence proves the device; nothing is changed. For a front that must answer a proof by itself."""
        means, trail = self._means, Trail()
        try:
            trail.previous = await means.store.registration(request.registration_id)
            await attest(means.store, request, trail, means.challenges, means.now(), self._refusals.turn)
        except AccreditError as refusal:
            told = await self._refusals.refused(request, Asked.CHALLENGE, refusal, trail)
            if told is refusal:
                raise
            raise told from refusal
        except StoreUnavailable as failure:
            raise self._unavailable(request, failure) from failure

    def _failed(self, request: Request, refusal: AccreditError, trail: Trail) -> Ended:
        # Without a proof nothing is told of a registration.
        previous = trail.previous if trail.attested is not None else None
        operation_id = names.operation_id(self._means.entropy)
        return answer.failed(operation_id, request.registration_id, previous, refusal, self._means.now())

    def _with_hub_key(self, told: Answer) -> Answer:
        """The answer that a TPM device can go to its hub with."""
        if not isinstance(told, Assigned) or not isinstance(told.attested.proof, ProvenTpm):
            return told
        registration = told.registration
        blob = self._means.challenges.activation(
            registration.registration_id, told.attested.proof, registration.operation_id
        )
        return replace(told, tpm_activation=blob)

    async def _repeated(self, request: Request, trail: Trail) -> Assigned | Placed:
        """The ceremony, until nothing that it read was changed under it.

        Who was overtaken goes on in turn, so that of many calls for one registration each comes through.
        """
        for overtaken in range(ROUNDS):
            async with self._turn(request.registration_id) if overtaken else nullcontext():
                try:
                    return await self._ceremony(request, trail)
                except Stale as stale:
                    if isinstance(stale.change, SaveHubDevice | AssertRoom) and (
                        refusal := lasting_refusal(stale.change)
                    ):
                        raise refusal from stale
        raise UpstreamUnavailable(
            "The registration is being changed by other requests.", rule="busy", retry_after_s=1
        )

    def _turn(self, registration_id: RegistrationId) -> asyncio.Lock:
        return self._turns.setdefault(registration_id.key, asyncio.Lock())

    async def _ceremony(self, request: Request, trail: Trail) -> Assigned | Placed:
        means, now = self._means, self._means.now()
        trail.attested = trail.allocated = None
        previous = trail.previous = await means.store.registration(request.registration_id)
        attested = trail.attested = await attest(
            means.store, request, trail, means.challenges, now, self._refusals.turn
        )
        linked = await means.hubs.linked()
        admitted = admit(attested, previous, linked)
        await self._refusals.let_pass(attested, trail)
        allocated = allocate(admitted, request, linked)
        trail.allocated = None if isinstance(allocated, AskWebhook) else allocated
        settled, csr_field = await settle(
            admitted, request, means.store, means.authorities, now, means.key_reuse
        )
        if isinstance(allocated, AskWebhook) or not at_once(allocated, settled, linked):
            return await self._orders.place(admitted, allocated, settled, csr_field, request)
        operation_id = names.operation_id(means.entropy)
        if isinstance(settled, Wanted):
            issued = await sign(allocated, settled, operation_id, now)
        else:
            issued = unsigned(allocated, settled, operation_id)
        recorded = record(issued, shared_key=means.shared_key)
        bound = await bind(recorded, means.hubs, now, names.etag(means.entropy))
        closing = [
            *(await self._orders.superseding(allocated) if csr_field else ()),
            *self._refusals.passed(trail),
            *remembered(attested),
        ]
        etag = names.etag(means.entropy)
        registration = await complete(means.store, bound, csr_field, now, etag, closing)
        if allocated.leaves is not None:
            await cut(means.hubs, allocated.leaves)
        certified = issued.credential if isinstance(issued.credential, Certified) else None
        self._log_assigned(request, registration, certified)
        return await answer.assigned(means.store, registration, attested, certified, csr_field)

    async def _within_patience(self, placed: Placed) -> Answer:
        """The end of the operation if it comes soon, else where to ask for it."""
        await self._orders.settled(placed.operation_id, self._means.patience_s)
        operation = await self._means.store.operation(placed.operation_id)
        if operation is None:
            raise NotFound("There is no such operation.", rule="operation-unknown")
        return await answer.of_operation(self._means.store, operation, placed.attested)

    async def status(self, request: Request, operation_id: str) -> Answer:
        """How far an operation is; it must be this device's own, which proves itself again."""
        trail = Trail()
        try:
            return self._with_hub_key(await self._status(request, operation_id, trail))
        except AccreditError as refusal:
            told = await self._refusals.refused(request, Asked.STATUS, refusal, trail)
            if told is refusal:
                raise
            raise told from refusal
        except StoreUnavailable as failure:
            raise self._unavailable(request, failure) from failure

    async def _status(self, request: Request, operation_id: str, trail: Trail) -> Answer:
        store = self._means.store
        previous, attested = await self._known(request, trail)
        self._refusals.limits.polling(request.registration_id)
        operation = await store.operation(operation_id)
        if operation is not None and operation.registration_id == request.registration_id:
            return await answer.of_operation(store, operation, attested)
        if previous is not None and previous.operation_id == operation_id:
            return await answer.of_registration(store, previous, attested)
        if not attested.enrollment.enabled or admission.is_revoked(previous):
            now = self._means.now()
            return answer.disabled(operation_id, request.registration_id, previous, now)
        raise NotFound(
            "There is no such operation of this registration.",
            rule="operation-unknown",
            hint="operations are kept for a day; register again",
        )

    async def lookup(self, request: Request) -> Assigned | Ended:
        """The registration's state, without certificates (DPS: device registration status lookup)."""
        trail = Trail()
        try:
            if request.csr_fields:
                field = request.csr_fields[0][0]
                raise Malformed(f"{field} has no place in a status lookup.", rule="csr-not-due")
            previous, attested = await self._known(request, trail)
            self._refusals.limits.polling(request.registration_id)
        except AccreditError as refusal:
            told = await self._refusals.refused(request, Asked.LOOKUP, refusal, trail)
            if told is refusal:
                raise
            raise told from refusal
        except StoreUnavailable as failure:
            raise self._unavailable(request, failure) from failure
        if previous is None:
            raise NotFound("The device is not registered.", rule="registration-unknown")
        if previous.status is Status.ASSIGNED:
            return await answer.assigned(self._means.store, previous, attested, None, None)
        return answer.ended(previous)

    def unread(
        self, refusal: AccreditError, *, registration_id: str, source: str, tracking_id: str
    ) -> AccreditError:
        """What a front could not read into a `Request`: logged, traced and charged here; returns what the peer is told."""
        return self._refusals.unread(
            refusal, registration_id=registration_id, source=source, tracking_id=tracking_id
        )

    async def _known(self, request: Request, trail: Trail) -> tuple[Registration | None, Attested]:
        """The registration and the proof of who asks for it; another enrollment's proof does not open it."""
        means = self._means
        previous = trail.previous = await means.store.registration(request.registration_id)
        attested = trail.attested = await attest(
            means.store, request, trail, means.challenges, means.now(), self._refusals.turn, again=True
        )
        admission.check_owner(attested, previous)
        return previous, attested

    def _log_assigned(
        self, request: Request, registration: Registration, certified: Certified | None
    ) -> None:
        log.info(
            "registration",
            trackingId=request.tracking_id,
            registrationId=registration.registration_id.text,
            enrollment=f"{registration.enrollment.kind}/{registration.enrollment.key}",
            outcome="assigned",
            hub=registration.hub,
            certificate=None if certified is None else serial_hex(certified.record.issued.serial),
            fresh=certified is not None and certified.fresh,
            source=request.source,
        )

    def _unavailable(self, request: Request, failure: StoreUnavailable) -> UpstreamUnavailable:
        log.error("store-unavailable", trackingId=request.tracking_id, reason=str(failure))
        return UpstreamUnavailable(
            "The service can't store anything now.", rule="store-unavailable", retry_after_s=5
        )
