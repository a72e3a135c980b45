"""The questions of a device, whatever its wire: challenge me, register me, how far is my operation, what is my registration.

Each is answered from what is committed, or refused: what goes wrong on the way is logged, traced and charged in one
place (`refusals.py`), and the device is told no more than Azure's codes tell it. The ceremony itself is `register.py`.
"""

from __future__ import annotations

from copy import copy
from types import TracebackType

from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef
from accredit.domain.errors import AccreditError, Disabled, Malformed, NotFound, UpstreamUnavailable
from accredit.domain.evidence import Attested, ProvenTpm, TpmEndorsement
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
from accredit.interfaces import StoreUnavailable
from accredit.observe import log
from accredit.policy import admission
from accredit.policy.allocation import NO_HUB
from accredit.provisioning import answer, names, tallied
from accredit.provisioning.attest import attest
from accredit.provisioning.explain import Trail
from accredit.provisioning.log_proofs import LogProofs
from accredit.provisioning.means import Means
from accredit.provisioning.orders import Orders, Placed
from accredit.provisioning.refusals import Refusals
from accredit.provisioning.register import Registering
from accredit.provisioning.tpm import TPM_UNKNOWN, enrolled
from accredit.tallies import TimedCall
from accredit.values import replace
from accredit.wire import dps

_FAILED_AT_ONCE = frozenset({TPM_UNKNOWN, NO_HUB})
"""Told as the state of a registration rather than as an error of the call (Azure: 200, `failed`)."""


class Provisioning:
    """What the device-facing fronts talk to. Every method raises AccreditError and nothing else on purpose."""

    def __init__(
        self,
        means: Means,
        orders: Orders,
        refusals: Refusals | None = None,
        proofs: LogProofs | None = None,
    ) -> None:
        """`proofs` are those of the issuance log; without them none is given."""
        self._means = means
        self._orders = orders
        self._proofs = proofs
        self._refusals = refusals if refusals is not None else Refusals(means)
        self._registering = Registering(means, orders, self._refusals)
        self.id_scope = means.id_scope
        self._wire = ""

    def over(self, wire: str) -> Provisioning:
        """The same, as one wire's: what is asked here is counted under this name."""
        copied = copy(self)
        copied._wire = wire  # noqa: SLF001 - of our own kind
        return copied

    async def register(self, request: Request) -> Answer:
        """One register call, to its answer."""
        stopwatch = self._means.stopwatch
        trail = Trail(stopwatch=stopwatch)
        began = 0.0 if stopwatch is None else stopwatch()
        outcome, rule = tallied.BROKEN_OFF, ""
        try:
            answered = await self._register(request, trail)
            outcome = tallied.outcome(answered)
        except Exception as failure:
            outcome, rule = tallied.failure(failure)
            raise
        else:
            return answered
        finally:
            self._tally(request, outcome, rule, trail, began)

    def _tally(self, request: Request, outcome: str, rule: str, trail: Trail, began: float) -> None:
        means, wire = self._means, self._wire
        means.tallies.registrations.add(wire, outcome)
        if means.stopwatch is None:
            return
        call = TimedCall(
            wire, outcome, rule, request.tracking_id, request.registration_id.text, request.source,
            trail.marks, began, means.stopwatch(),
        )  # fmt: skip
        means.tallies.timed(call)
        if means.traced is not None:
            means.traced(call)

    async def _register(self, request: Request, trail: Trail) -> Answer:
        try:
            async with self._told(request, Asked.REGISTER, trail):
                outcome = await self._registering.register(request, trail)
                done = await self._within_patience(outcome) if isinstance(outcome, Placed) else outcome
                return await self._with_log_proof(self._with_hub_key(done), request.payload)
        except Disabled:
            operation_id = names.operation_id(self._means.entropy)
            if request.repeats or isinstance(request.evidence, TpmEndorsement):
                # Nobody polls, or nothing is stored by which a poll could prove itself: it is told at once.
                return answer.disabled(
                    operation_id, request.registration_id, trail.previous, self._means.now()
                )
            return Assigning(operation_id, request.registration_id, answer.POLL_AFTER_S)
        except AccreditError as refusal:
            if refusal.rule in _FAILED_AT_ONCE:
                return self._failed(request, refusal, trail)
            raise

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
            async with self._told(request, Asked.CHALLENGE, trail):
                ref = EnrollmentRef(EnrollmentKind.INDIVIDUAL, registration_id.key)
                enrolled(await means.store.enrollment(ref), registration_id, shown)
                return Challenged(means.challenges.blob(registration_id, shown, means.now()))
        except AccreditError as refusal:
            if refusal.rule in _FAILED_AT_ONCE:
                return self._failed(request, refusal, trail)
            raise

    async def prove(self, request: Request) -> None:
        """Return if the evidence proves the device; nothing is changed. For a front that must answer a proof by itself."""
        means, trail = self._means, Trail()
        async with self._told(request, Asked.CHALLENGE, trail):
            trail.previous = await means.store.registration(request.registration_id)
            await attest(means.store, request, trail, means.challenges, means.now(), self._refusals.turn)

    async def status(self, request: Request, operation_id: str) -> Answer:
        """How far an operation is; it must be this device's own, which proves itself again."""
        trail = Trail()
        async with self._told(request, Asked.STATUS, trail):
            told = self._with_hub_key(await self._status(request, operation_id, trail))
            if self._proofs is None or not isinstance(told, Assigned) or told.certified is None:
                return told
            # The poll says nothing of its own: what was asked stands in the operation.
            operation = await self._means.store.operation(operation_id)
            return await self._with_log_proof(told, None if operation is None else operation.payload)

    async def lookup(self, request: Request) -> Assigned | Ended:
        """The registration's state, without certificates (DPS: device registration status lookup)."""
        trail = Trail()
        async with self._told(request, Asked.LOOKUP, trail):
            if request.csr_fields:
                field = request.csr_fields[0][0]
                raise Malformed(f"{field} has no place in a status lookup.", rule="csr-not-due")
            previous, attested = await self._known(request, trail)
            self._refusals.limits.polling(request.registration_id)
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

    def _told(self, request: Request, asked: Asked, trail: Trail) -> _Told:
        return _Told(self._refusals, request, asked, trail)

    async def _within_patience(self, placed: Placed) -> Answer:
        """The end of the operation if it comes soon, else where to ask for it."""
        await self._orders.settled(placed.operation_id, self._means.patience_s)
        operation = await self._means.store.operation(placed.operation_id)
        if operation is None:
            raise NotFound("There is no such operation.", rule="operation-unknown")
        return await answer.of_operation(self._means.store, operation, placed.attested)

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

    async def _known(self, request: Request, trail: Trail) -> tuple[Registration | None, Attested]:
        """The registration and the proof of who asks for it; another enrollment's proof does not open it."""
        means = self._means
        previous = trail.previous = await means.store.registration(request.registration_id)
        turn, grace_s = self._refusals.turn, means.renewal_grace_s
        attested = trail.attested = await attest(
            means.store, request, trail, means.challenges, means.now(), turn, again=True, grace_s=grace_s
        )
        admission.check_owner(attested, previous)
        return previous, attested

    def _failed(self, request: Request, refusal: AccreditError, trail: Trail) -> Ended:
        # Without a proof nothing is told of a registration.
        previous = trail.previous if trail.attested is not None else None
        operation_id = names.operation_id(self._means.entropy)
        return answer.failed(operation_id, request.registration_id, previous, refusal, self._means.now())

    async def _with_log_proof(self, told: Answer, payload: bytes | None) -> Answer:
        """The answer with the proof that the log has its certificate, where the device has asked for that."""
        if self._proofs is None or not isinstance(told, Assigned) or told.certified is None:
            return told
        if not dps.asks_for_log_proof(payload):
            return told
        sha256 = told.certified.record.issued.sha256
        return replace(told, log_proof=await self._proofs.within_patience(sha256))

    def _with_hub_key(self, told: Answer) -> Answer:
        """The answer that a TPM device can go to its hub with."""
        if not isinstance(told, Assigned) or not isinstance(told.attested.proof, ProvenTpm):
            return told
        registration = told.registration
        blob = self._means.challenges.activation(
            registration.registration_id, told.attested.proof, registration.operation_id
        )
        return replace(told, tpm_activation=blob)


class _Told:
    """What goes wrong in here is logged, traced and charged, and leaves as what the device is told.

    A class, because each generator of an `asynccontextmanager` is put on the event loop's list of such.
    """

    __slots__ = ("_asked", "_refusals", "_request", "_trail")

    def __init__(self, refusals: Refusals, request: Request, asked: Asked, trail: Trail) -> None:
        self._refusals = refusals
        self._request = request
        self._asked = asked
        self._trail = trail

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(
        self, _kind: type[BaseException] | None, failure: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if isinstance(failure, AccreditError):
            told = await self._refusals.refused(self._request, self._asked, failure, self._trail)
            if told is not failure:
                raise told from failure
        elif isinstance(failure, StoreUnavailable):
            log.error("store-unavailable", trackingId=self._request.tracking_id, reason=str(failure))
            raise UpstreamUnavailable(
                "The service can't store anything now.", rule="store-unavailable", retry_after_s=5
            ) from failure
