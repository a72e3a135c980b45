"""Attest: which enrollment does the evidence prove? The only place where an `Attested` is made.

Order (Azure DPS): an individual enrollment of that id hides every group; then the group that the registration
belongs to; then the other groups. A correct proof is always evaluated, whoever failed before.
"""

from __future__ import annotations

from collections.abc import Sequence

from accredit.domain.enrollment import (
    Enrollment,
    EnrollmentKind,
    EnrollmentRef,
    LeafCertificates,
    SigningCertificates,
    SymmetricKeys,
)
from accredit.domain.errors import Unauthenticated
from accredit.domain.evidence import Attested, DeviceKeys, NothingShown, PresentedChain, ProvenChain, SasToken
from accredit.domain.ids import RegistrationId
from accredit.domain.registration import Operation, Registration, Request
from accredit.interfaces import Store
from accredit.observe import log
from accredit.policy import admission, chains, symmetric_keys


async def attest(
    store: Store, request: Request, previous: Registration | None, id_scope: str, now: int
) -> Attested:
    """Raises Unauthenticated, with the reason kept for the operator."""
    evidence = request.evidence
    individual = await store.enrollment(EnrollmentRef(EnrollmentKind.INDIVIDUAL, request.registration_id.key))
    match evidence:
        case SasToken():
            return await _by_token(store, request, evidence, individual, previous, id_scope, now)
        case PresentedChain():
            return await _by_chain(store, request, evidence, individual, now)
        case NothingShown():
            raise Unauthenticated(
                "Unauthorized",
                rule="nothing-shown",
                evidence="neither a token nor a client certificate was shown",
            )


async def _by_token(
    store: Store,
    request: Request,
    token: SasToken,
    individual: Enrollment | None,
    previous: Registration | None,
    id_scope: str,
    now: int,
) -> Attested:
    registration_id = request.registration_id
    lives_long = symmetric_keys.check_terms(token, id_scope, registration_id, now)
    if individual is not None:
        candidates: Sequence[Enrollment] = (individual,)
    else:
        candidates = await _groups(store, registration_id, previous)
    for enrollment in candidates:
        keys = symmetric_keys.matching_keys(token, enrollment, registration_id)
        if keys is not None:
            if lives_long:
                log.warning(
                    "sas-lives-long", registrationId=registration_id.text, trackingId=request.tracking_id
                )
            return Attested(registration_id, enrollment, keys)
    if individual is not None and not isinstance(individual.attestation, SymmetricKeys):
        raise _other_mechanism("a SAS token", individual)
    raise symmetric_keys.unproven(token, candidates, registration_id)


async def _groups(
    store: Store, registration_id: RegistrationId, previous: Registration | None
) -> Sequence[Enrollment]:
    """Every symmetric-key group that may have this device, the one that owns the registration first."""
    groups = admission.open_to(registration_id, await store.symmetric_groups())
    if previous is None or len(groups) < 2:
        return groups
    return sorted(groups, key=lambda group: group.ref != previous.enrollment)


async def _by_chain(
    store: Store, request: Request, presented: PresentedChain, individual: Enrollment | None, now: int
) -> Attested:
    registration_id = request.registration_id
    chain = chains.read(presented, registration_id, now)
    if individual is None:
        groups = admission.open_to(registration_id, await store.groups_named(chain.issuer_sha256s))
        group, proven = chains.proves_group(chain, groups, now)
        return Attested(registration_id, group, proven)
    if not isinstance(individual.attestation, LeafCertificates):
        raise _other_mechanism("a client certificate", individual)
    return Attested(registration_id, individual, chains.proves_individual(chain, individual.attestation))


def _other_mechanism(shown: str, enrollment: Enrollment) -> Unauthenticated:
    kind = {SymmetricKeys: "symmetric keys", LeafCertificates: "X.509", SigningCertificates: "X.509"}
    return Unauthenticated(
        "Unauthorized",
        rule="attestation-mechanism",
        evidence=f"the device showed {shown}, but its individual enrollment attests by "
        f"{kind[type(enrollment.attestation)]}",
    )


def resumed(operation: Operation, enrollment: Enrollment) -> Attested:
    """The proof that stood behind a committed intent: the intent was written after it, and only then."""
    if operation.bootstrap_certificate is not None:
        proof: DeviceKeys | ProvenChain = ProvenChain((operation.bootstrap_certificate,))
    else:
        assert isinstance(enrollment.attestation, SymmetricKeys)
        proof = symmetric_keys.device_keys(enrollment.attestation, operation.key_spelling)
    return Attested(operation.registration_id, enrollment, proof)
