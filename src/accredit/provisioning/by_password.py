"""By password: the proof of a call that names its enrollment, and that what was proven is what the call names.

Nothing is searched for: the name leads to the one enrollment, whose keys are tried. Whether a password was made with a key is
`policy/passwords.py`'s question.
"""

from __future__ import annotations

from collections.abc import Sequence

from accredit.domain.enrollment import Enrollment, EnrollmentKind, EnrollmentRef
from accredit.domain.errors import Unauthenticated
from accredit.domain.evidence import Attested, DeviceKeys, Password, ProvenOnce
from accredit.domain.registration import Request
from accredit.interfaces import Store
from accredit.policy import admission, one_time, passwords
from accredit.provisioning.explain import Trail


async def by_password(
    store: Store, request: Request, shown: Password, individual: Enrollment | None, trail: Trail, now: int
) -> tuple[Enrollment, DeviceKeys | ProvenOnce]:
    """The enrollment that the password proves, and the device's keys or the use of a one-time password.

    Raises Unauthenticated.

    An individual enrollment of the registration id hides every group. A call that names none means the one that the
    registration belongs to: strongSwan forgets the label when it asks again.
    """
    registration_id, label = request.registration_id, request.named
    enrollment = individual
    if individual is None and label is not None:
        enrollment = await store.enrollment(EnrollmentRef(EnrollmentKind.GROUP, label.lower()))
    elif individual is None and trail.previous is not None:
        enrollment = await store.enrollment(trail.previous.enrollment)
    if label is None:
        label = "" if enrollment is None else enrollment.id.text
    trail.tried = () if enrollment is None else (enrollment,)
    if enrollment is not None and admission.open_to(registration_id, (enrollment,)):
        keys = passwords.matching_keys(shown.password, enrollment, registration_id, label)
        if keys is not None:
            return enrollment, keys
    why = "the label is none for this registration id"
    if enrollment is not None:
        why = "no key of the enrollment made the password"
    if individual is not None:
        once, objection = await _once(store, request, shown, individual, trail, now)
        if objection is None:
            return individual, once
        why += f"; {objection}"
    raise Unauthenticated(
        "Unauthorized",
        rule="password",
        hint='the password is base64(HMAC-SHA256(device key, "est:" + label)), or a one-time password',
        evidence=f"label {label[:128]!r}: {why}",
    )


async def _once(
    store: Store, request: Request, shown: Password, individual: Enrollment, trail: Trail, now: int
) -> tuple[ProvenOnce, str | None]:
    """What the password is worth as a one-time password, and why it is nothing."""
    known = await store.one_time_password(request.registration_id)
    told = None if trail.previous is None else trail.previous.certificate_sha256
    newest = None if known is None or told is None else await store.certificate(told)
    bound_to = one_time.request_digest("".join(text for _, text in request.csr_fields))
    objection = one_time.objection(known, shown.password, bound_to, individual, newest, now)
    return ProvenOnce(one_time.digest_of(shown.password), bound_to, now), objection


def named(request: Request, attested: Attested) -> Attested:
    """The proof, if it is of the enrollment that the call names, or the call names none. Raises Unauthenticated."""
    if request.named is None or request.named.lower() == attested.enrollment.id.key:
        return attested
    enrollment = attested.enrollment
    raise Unauthenticated(
        "Unauthorized",
        rule="enrollment-named",
        hint=f"the label of this device is {enrollment.id}",
        evidence=f"the call names {request.named[:128]!r}, the proof is of {enrollment.kind} {enrollment.id}",
    )


def those_named(request: Request, groups: Sequence[Enrollment]) -> Sequence[Enrollment]:
    """What of these groups the call may mean."""
    if request.named is None:
        return groups
    return [group for group in groups if group.id.key == request.named.lower()]
