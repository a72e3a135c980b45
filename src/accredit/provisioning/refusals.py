"""Refusals: what a device that is turned away leaves behind here, and what it is told.

Each leaves one log line and one decision trace. A proof that failed is charged to its source; a failure after the proof
counts against the device, which is paused in the end. The ceremony asks here before it goes on, too.
"""

from __future__ import annotations

from accredit.domain.changes import Change, EndSetbacks, SaveRegistration, SaveSetbacks, SaveTrace
from accredit.domain.enrollment import Enrollment
from accredit.domain.errors import (
    AccreditError,
    Malformed,
    NotFound,
    Throttled,
    Unauthenticated,
    UpstreamUnavailable,
)
from accredit.domain.evidence import Attested
from accredit.domain.ids import GroupId, RegistrationId
from accredit.domain.quota import quota_of
from accredit.domain.registration import Operation, Phase, Registration, Request, Status
from accredit.domain.setback import Setbacks
from accredit.domain.trace import Asked, DecisionTrace, Step, shown
from accredit.interfaces import Stale, StoreUnavailable
from accredit.observe import log
from accredit.policy import admission, setbacks
from accredit.provisioning import names
from accredit.provisioning.explain import Trail, explained, unread
from accredit.provisioning.limits import Limits
from accredit.provisioning.means import Means
from accredit.provisioning.traces import Traces
from accredit.wire.refusals import on_the_wire

_COSTS_THE_SOURCE = (Unauthenticated, Malformed, NotFound)
"""Before the proof, NotFound is said of a TPM that is not enrolled."""


class Refusals:
    def __init__(self, means: Means, limits: Limits | None = None, traces: Traces | None = None) -> None:
        self._means = means
        self.limits = limits if limits is not None else Limits(means.clock)
        self.traces = traces if traces is not None else Traces(means.store)

    async def turn(self, source: str) -> None:
        """Wait until it is this source's turn to have its proof searched for; mostly that is at once."""
        wait_s = self.limits.turn(source)
        if wait_s:
            await self._means.sleep(wait_s)

    async def let_pass(self, attested: Attested, trail: Trail) -> None:
        """What a proven device may still run into before it registers: a pause, a rate, the list of its group.

        Costs no read of the store unless some device has setbacks, or the group has a list.
        """
        trail.setbacks = await self._means.store.setbacks(attested.registration_id)
        setbacks.check_not_paused(trail.setbacks, attested.enrollment)
        if not trail.counted:
            self.limits.registering(attested)
            trail.counted = True
        group = attested.enrollment.id
        if quota_of(attested.enrollment).allowed_only and isinstance(group, GroupId):
            on_list = await self._means.store.allows(group, attested.registration_id)
            admission.check_allowed(attested, on_list=on_list)

    def passed(self, trail: Trail) -> tuple[Change, ...]:
        """What belongs into the unit of a device that came through."""
        if trail.setbacks is None:
            return ()
        return (EndSetbacks(trail.setbacks.registration_id),)

    async def refused(
        self, request: Request, asked: Asked, refusal: AccreditError, trail: Trail
    ) -> AccreditError:
        """Log it, trace it, count it; return what the device is told."""
        told = refusal
        if trail.attested is None and isinstance(refusal, _COSTS_THE_SOURCE):
            told = self.limits.failed(refusal, request.source, trail.trials)
        self._log(request.registration_id.text, request.source, request.tracking_id, refusal)
        trace = explained(request, asked, refusal, trail, self._means.now())
        attested = trail.attested
        lasting = asked in (Asked.REGISTER, Asked.RENEWAL) and not isinstance(
            refusal, Throttled | UpstreamUnavailable
        )
        if (
            attested is not None
            and lasting
            and self.limits.may_write(attested.enrollment.ref)
            and await self._kept(trace, refusal, trail, attested)
        ):
            return told
        self.traces.remember(trace)
        return told

    def unread(
        self, refusal: AccreditError, *, registration_id: str, source: str, tracking_id: str
    ) -> AccreditError:
        """The same for what never became a request: the sender has shown nothing that could be judged."""
        self._log(registration_id, source, tracking_id, refusal)
        self.traces.remember(unread(refusal, registration_id, source, tracking_id, self._means.now()))
        if isinstance(refusal, Unauthenticated | Malformed):
            return self.limits.failed(refusal, source)
        return refusal

    async def _kept(
        self, trace: DecisionTrace, refusal: AccreditError, trail: Trail, attested: Attested
    ) -> bool:
        """Whether the trace, and what follows for the device, is durable now."""
        made = _setbacks_after(
            self._means,
            refusal,
            trail.setbacks,
            attested.enrollment,
            attested.registration_id,
            trace.tracking_id,
        )
        unit: list[Change] = [SaveTrace(trace)]
        if made is not None:
            unit.append(SaveSetbacks(made))
        shown = self._shown(attested, refusal, made) if trail.previous is None else ()
        try:
            await self._means.store.commit([*unit, *shown])
        except Stale:
            # Meanwhile it has a registration after all.
            return await self._committed(unit)
        except StoreUnavailable as failure:
            log.warning("trace-not-kept", trackingId=trace.tracking_id, reason=str(failure))
            return False
        return True

    async def _committed(self, unit: list[Change]) -> bool:
        try:
            await self._means.store.commit(unit)
        except StoreUnavailable as failure:
            log.warning("trace-not-kept", reason=str(failure))
            return False
        return True

    def _shown(self, attested: Attested, refusal: AccreditError, made: Setbacks | None) -> tuple[Change, ...]:
        """A device that is paused before it ever registered: its registration, so that it is seen in the listings."""
        if made is None or made.paused_at is None:
            return ()
        now = self._means.now()
        registration_id = admission.registration_id(attested, None)
        failed = Registration(
            registration_id=registration_id,
            enrollment=attested.enrollment.ref,
            device_id=admission.device_id(attested.enrollment, registration_id),
            hub=None,
            status=Status.FAILED,
            substatus=None,
            operation_id=names.operation_id(self._means.entropy),
            etag=names.etag(self._means.entropy),
            created_at=now,
            updated_at=now,
            error_code=on_the_wire(refusal).code,
            error_message=refusal.message,
        )
        return (SaveRegistration(failed, None),)

    def _log(self, registration_id: str, source: str, tracking_id: str, refusal: AccreditError) -> None:
        self._means.tallies.refusals.add(refusal.rule)
        log.info(
            "registration",
            trackingId=tracking_id,
            registrationId=registration_id,
            outcome="refused",
            rule=refusal.rule,
            reason=refusal.message,
            evidence=refusal.evidence,
            hint=refusal.hint,
            source=source,
        )


def _where(operation: Operation) -> Step:
    """Which phase it was in, and whom that was about."""
    match operation.phase:
        case Phase.ADMIT | Phase.ALLOCATE:
            return Step("the webhook", f"operation {operation.id} in its phase {operation.phase}")
        case Phase.ORDER:
            return Step("the order", f"{operation.id} at {operation.authority}, attempt {operation.attempt}")
        case Phase.BIND:
            return Step(
                "the hub", f"operation {operation.id} at {operation.hub}, attempt {operation.attempt}"
            )


async def failed_order(means: Means, operation: Operation, refusal: AccreditError) -> tuple[Change, ...]:
    """What belongs into the unit that ends an operation as failed."""
    trace = DecisionTrace(
        tracking_id=operation.tracking_id,
        registration_id=operation.registration_id.text,
        traced_at=means.now(),
        asked=Asked.ORDER,
        source="",
        enrollment=f"{operation.enrollment.kind}/{operation.enrollment.key}",
        steps=(_where(operation),),
        rule=refusal.rule,
        reason=shown(refusal.message),
        evidence=shown(refusal.evidence),
        hint=shown(refusal.hint),
        told=on_the_wire(refusal).code,
    )
    enrollment = await means.store.enrollment(operation.enrollment)
    if enrollment is None:
        return (SaveTrace(trace),)
    registration_id, tracking_id = operation.registration_id, operation.tracking_id
    known = await means.store.setbacks(registration_id)
    made = _setbacks_after(means, refusal, known, enrollment, registration_id, tracking_id)
    return (SaveTrace(trace),) if made is None else (SaveTrace(trace), SaveSetbacks(made))


def _setbacks_after(
    means: Means,
    refusal: AccreditError,
    known: Setbacks | None,
    enrollment: Enrollment,
    registration_id: RegistrationId,
    tracking_id: str,
) -> Setbacks | None:
    now, most = means.now(), means.pause_after_failures
    made = setbacks.after(refusal, known, enrollment, registration_id, tracking_id, now, most)
    if made is not None and made.failures == most:
        log.warning(
            "device-paused",
            registrationId=registration_id.text,
            rule=refusal.rule,
            failures=made.failures,
            hint=f"`accredit device resume {registration_id}` lets it in again",
        )
    return made
