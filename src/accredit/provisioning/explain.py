"""Explain: from what the ceremony has found about one call, and the rule that ended it, to a decision trace.

The ceremony notes on a `Trail` what it reads anyway; only a refusal turns that into sentences. Nothing here is for the
device: the wire says no more than Azure's codes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from accredit.domain.enrollment import (
    CaReferences,
    Enrollment,
    EnrollmentKind,
    LeafCertificates,
    SigningCertificates,
    SymmetricKeys,
    TpmKeys,
)
from accredit.domain.errors import AccreditError
from accredit.domain.evidence import (
    Attested,
    Evidence,
    HeldCertificate,
    NothingShown,
    Password,
    PresentedChain,
    ProvenHeld,
    ProvenOnce,
    SasToken,
    TpmEndorsement,
)
from accredit.domain.registration import Allocated, Registration, Request
from accredit.domain.setback import Setbacks
from accredit.domain.trace import MAX_STEPS, Asked, DecisionTrace, Step, shown
from accredit.tallies import Mark
from accredit.values import dataclass, field
from accredit.wire.refusals import on_the_wire

_SHOWN_ENROLLMENTS = 8
_SHOWN_CLOSED = 3


@dataclass(slots=True)
class Trail:
    """What is known of one call so far; `tried` are the enrollments that the proof was compared with, None before that, `groups` all that there are to try.

    `waited`: its source has had its turn. `counted`: the call was charged to its device and group. `marks` are the steps
    that it has come through, by this `stopwatch` (seconds), where anybody wants to know.
    """

    previous: Registration | None = None
    tried: Sequence[Enrollment] | None = None
    groups: Sequence[Enrollment] = ()
    attested: Attested | None = None
    allocated: Allocated | None = None
    setbacks: Setbacks | None = None
    waited: bool = False
    counted: bool = False
    stopwatch: Callable[[], float] | None = None
    marks: list[Mark] = field(default_factory=list)

    def through(self, step: str) -> None:
        """A step of the ceremony is over."""
        if self.stopwatch is not None:
            self.marks.append((step, self.stopwatch()))

    @property
    def trials(self) -> int:
        """What a failed proof has cost: one for the call, one for each key or certificate that was tried."""
        return max(1, len(self.tried or ()))


def explained(
    request: Request, asked: Asked, refusal: AccreditError, trail: Trail, now: int
) -> DecisionTrace:
    """Why this call was refused."""
    attested = trail.attested
    return DecisionTrace(
        tracking_id=request.tracking_id,
        registration_id=request.registration_id.text,
        traced_at=now,
        asked=asked,
        source=request.source,
        enrollment=None if attested is None else f"{attested.enrollment.kind}/{attested.enrollment.id}",
        steps=tuple(_steps(request, refusal, trail))[:MAX_STEPS],
        rule=refusal.rule,
        reason=shown(refusal.message),
        evidence=shown(refusal.evidence),
        hint=shown(refusal.hint),
        told=on_the_wire(refusal).code,
    )


def unread(
    refusal: AccreditError, registration_id: str, source: str, tracking_id: str, now: int
) -> DecisionTrace:
    """Why a call was refused before there was a request to judge."""
    return DecisionTrace(
        tracking_id=tracking_id,
        registration_id=registration_id,
        traced_at=now,
        asked=Asked.UNREAD,
        source=source,
        enrollment=None,
        steps=(),
        rule=refusal.rule,
        reason=shown(refusal.message),
        evidence=shown(refusal.evidence),
        hint=shown(refusal.hint),
        told=on_the_wire(refusal).code,
    )


def _steps(request: Request, refusal: AccreditError, trail: Trail) -> Iterator[Step]:
    yield Step("the device", _showed(request.evidence))
    yield Step("the registration", _standing(trail.previous))
    attested = trail.attested
    if attested is None:
        yield from _looked_at(trail)
        return
    match attested.proof:
        case ProvenHeld():
            how = "the certificate that it holds"
        case ProvenOnce():
            how = "a one-time password"
        case _:
            how = _mechanism(attested.enrollment)
    yield Step(_named(attested.enrollment), f"the device proved it by {how}")
    if trail.setbacks is not None:
        failures = trail.setbacks.failures
        yield Step("earlier calls", f"{failures} in a row failed, the last by {trail.setbacks.rule}")
    if trail.allocated is not None:
        allocated = trail.allocated
        yield Step("the assignment", f"device {allocated.device_id} at {allocated.hub}")
    yield Step("what came next", f"failed by {refusal.rule}")


def _looked_at(trail: Trail) -> Iterator[Step]:
    if trail.tried is None:
        yield Step("enrollments", "not compared: what was shown is no proof for anybody")
        return
    for enrollment in trail.tried[:_SHOWN_ENROLLMENTS]:
        yield Step(_named(enrollment), f"attests by {_mechanism(enrollment)}; the device did not prove it")
    if len(trail.tried) > _SHOWN_ENROLLMENTS:
        yield Step(f"{len(trail.tried) - _SHOWN_ENROLLMENTS} more", "the device did not prove them")
    not_open = [group for group in trail.groups if group not in trail.tried]
    for enrollment in not_open[:_SHOWN_CLOSED]:
        pattern = enrollment.settings.get("idPattern")
        yield Step(_named(enrollment), f"not tried: its idPattern {pattern!r} does not match the id")
    if not trail.tried:
        yield Step("enrollments", "none was found that this proof could be for")


def _showed(evidence: Evidence) -> str:
    match evidence:
        case SasToken():
            return f"showed a SAS token for {evidence.resource[:200]!r}"
        case PresentedChain():
            number = len(evidence.certificates)
            return f"showed a client certificate, {number} in its chain"
        case TpmEndorsement(token=token):
            signed = "no token" if token is None else f"a SAS token for {token.resource[:200]!r}"
            return f"showed a TPM's endorsement key and storage root key, and {signed}"
        case HeldCertificate():
            return "showed a certificate that was issued here"
        case Password():
            return "showed a password"
        case NothingShown():
            return "showed neither a token nor a client certificate"


def _standing(previous: Registration | None) -> str:
    if previous is None:
        return "there is none yet"
    owner = previous.enrollment
    return f"belongs to {_noun(owner.kind)} {owner.key}, {previous.status}"


def _named(enrollment: Enrollment) -> str:
    return f"{_noun(enrollment.kind)} {enrollment.id}"


def _noun(kind: EnrollmentKind) -> str:
    return "group" if kind is EnrollmentKind.GROUP else "individual enrollment"


def _mechanism(enrollment: Enrollment) -> str:
    match enrollment.attestation:
        case SymmetricKeys():
            return "symmetric key"
        case LeafCertificates() | SigningCertificates() | CaReferences():
            return "X.509"
        case TpmKeys():
            return "TPM"
        case other:
            return type(other).__name__
