"""Attest: which enrollment does the evidence prove? The only place where an `Attested` is made.

Order (Azure DPS): an individual enrollment of that id hides every group; then the group that the registration
belongs to; then the other groups. A correct proof is always evaluated, whoever failed before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256

from accredit.domain.ca_certificate import CaCertificate, Purpose
from accredit.domain.enrollment import (
    CaReferences,
    Enrollment,
    EnrollmentKind,
    EnrollmentRef,
    LeafCertificates,
    SigningCertificates,
    SymmetricKeys,
    TpmKeys,
)
from accredit.domain.errors import Unauthenticated
from accredit.domain.evidence import (
    Attested,
    HeldCertificate,
    NothingShown,
    Password,
    PresentedChain,
    Proof,
    ProvenChain,
    ProvenHeld,
    ProvenOnce,
    SasToken,
    TpmEndorsement,
)
from accredit.domain.ids import RegistrationId
from accredit.domain.registration import Operation, Registration, Request
from accredit.interfaces import Store
from accredit.observe import log
from accredit.policy import admission, anchors, chains, held_certificates, symmetric_keys, wrong_keys
from accredit.provisioning.allocate import changed_meanwhile
from accredit.provisioning.by_password import by_password, named, those_named
from accredit.provisioning.explain import Trail
from accredit.provisioning.tpm import Challenges, enrolled

Turn = Callable[[str], Awaitable[None]]


async def attest(
    store: Store,
    request: Request,
    trail: Trail,
    challenges: Challenges,
    now: int,
    turn: Turn,
    *,
    again: bool = False,
    grace_s: int = 0,
) -> Attested:
    """Raises Unauthenticated, with the reason kept for the operator; NotFound for a TPM that is not enrolled.

    `again` for a device that asks about what it has registered: its TPM may prove itself as it did then.
    `turn` is awaited before a search that nothing but the proof itself leads: neither an enrollment of the id nor the
    group that owns its registration. What was tried is noted on the trail.
    `grace_s`: for how long after its end an issued certificate still proves a renewal; with 0 it proves nothing to
    provisioning while it is good either, unless a front shows it as what the device holds.
    """
    return named(
        request, await _proven(store, request, trail, challenges, now, turn, again=again, grace_s=grace_s)
    )


async def _proven(
    store: Store,
    request: Request,
    trail: Trail,
    challenges: Challenges,
    now: int,
    turn: Turn,
    *,
    again: bool,
    grace_s: int,
) -> Attested:
    evidence = request.evidence
    individual = await store.enrollment(EnrollmentRef(EnrollmentKind.INDIVIDUAL, request.registration_id.key))
    match evidence:
        case TpmEndorsement():
            return await _by_tpm(store, request, evidence, individual, trail, challenges, now, again=again)
        case SasToken() if again and individual and isinstance(individual.attestation, TpmKeys):
            keys = individual.attestation
            return await _by_tpm_again(store, request, evidence, individual, keys, trail, challenges, now)
        case SasToken():
            id_scope = challenges.id_scope
            return await _by_token(store, request, evidence, individual, trail, id_scope, now, turn)
        case HeldCertificate():
            return await _by_held(store, request, evidence, individual, trail, now, grace_s)
        case PresentedChain():
            try:
                return await _by_chain(store, request, evidence, individual, trail, now, turn)
            except Unauthenticated:
                held = await _presented_own(store, evidence) if grace_s else None
                if held is None:
                    raise
                return await _by_held(store, request, held, individual, trail, now, grace_s)
        case Password():
            enrollment, proof = await by_password(store, request, evidence, individual, trail, now)
            return Attested(request.registration_id, enrollment, proof)
        case NothingShown():
            raise Unauthenticated(
                "Unauthorized",
                rule="nothing-shown",
                evidence="neither a token nor a client certificate was shown",
            )


async def _by_tpm(
    store: Store,
    request: Request,
    shown: TpmEndorsement,
    individual: Enrollment | None,
    trail: Trail,
    challenges: Challenges,
    now: int,
    *,
    again: bool,
) -> Attested:
    registration_id = request.registration_id
    trail.tried = () if individual is None else (individual,)
    enrollment = enrolled(individual, registration_id, shown)
    if shown.token is not None:
        symmetric_keys.check_terms(shown.token, challenges.id_scope, registration_id, now)
    before = await store.tpm_proof(registration_id) if again else None
    return Attested(registration_id, enrollment, challenges.proof(registration_id, shown, now, before))


async def _by_tpm_again(
    store: Store,
    request: Request,
    token: SasToken,
    individual: Enrollment,
    keys: TpmKeys,
    trail: Trail,
    challenges: Challenges,
    now: int,
) -> Attested:
    registration_id = request.registration_id
    trail.tried = (individual,)
    symmetric_keys.check_terms(token, challenges.id_scope, registration_id, now)
    before = await store.tpm_proof(registration_id)
    proof = challenges.proof_again(registration_id, keys.endorsement, token, now, before)
    return Attested(registration_id, individual, proof)


async def _by_token(
    store: Store,
    request: Request,
    token: SasToken,
    individual: Enrollment | None,
    trail: Trail,
    id_scope: str,
    now: int,
    turn: Turn,
) -> Attested:
    registration_id = request.registration_id
    lives_long = symmetric_keys.check_terms(token, id_scope, registration_id, now)
    if individual is not None:
        candidates: Sequence[Enrollment] = (individual,)
    else:
        candidates = await _groups(store, registration_id, trail)
    trail.tried = candidates
    for enrollment in candidates:
        if not trail.waited and not _leads(trail.previous, enrollment):
            trail.waited = True
            await turn(request.source)
        keys = symmetric_keys.matching_keys(token, enrollment, registration_id)
        if keys is not None:
            if lives_long:
                log.warning(
                    "sas-lives-long", registrationId=registration_id.text, trackingId=request.tracking_id
                )
            return Attested(registration_id, enrollment, keys)
    if individual is not None and not isinstance(individual.attestation, SymmetricKeys):
        raise _other_mechanism("a SAS token", individual)
    # What may still explain it: groups that were not tried. They are in memory.
    others = trail.groups if individual is None else await store.symmetric_groups()
    raise wrong_keys.unproven(token, candidates, registration_id, others)


def _leads(previous: Registration | None, enrollment: Enrollment) -> bool:
    """Whether the call itself names this enrollment: by its id, or by the registration that it owns."""
    if enrollment.kind is EnrollmentKind.INDIVIDUAL:
        return True
    return previous is not None and previous.enrollment == enrollment.ref


async def _groups(store: Store, registration_id: RegistrationId, trail: Trail) -> Sequence[Enrollment]:
    """Every symmetric-key group that may have this device, the one that owns the registration first."""
    every = trail.groups = await store.symmetric_groups()
    groups = admission.open_to(registration_id, every)
    previous = trail.previous
    if previous is None or len(groups) < 2:
        return groups
    return sorted(groups, key=lambda group: group.ref != previous.enrollment)


async def _by_chain(
    store: Store,
    request: Request,
    presented: PresentedChain,
    individual: Enrollment | None,
    trail: Trail,
    now: int,
    turn: Turn,
) -> Attested:
    registration_id = request.registration_id
    if individual is None and trail.previous is None and not trail.waited:
        trail.waited = True
        await turn(request.source)
    chain = chains.read(presented, registration_id, now)
    if individual is None:
        every = trail.groups = await store.groups_named(chain.issuer_sha256s)
        groups = trail.tried = admission.open_to(registration_id, those_named(request, every))
        return await _below(store, registration_id, chain, groups, now)
    trail.tried = (individual,)
    match individual.attestation:
        case LeafCertificates() as own:
            return Attested(registration_id, individual, chains.proves_individual(chain, own))
        case CaReferences():
            return await _below(store, registration_id, chain, (individual,), now)
        case _:
            raise _other_mechanism("a client certificate", individual)


async def _below(
    store: Store,
    registration_id: RegistrationId,
    chain: chains.Chain,
    enrollments: Sequence[Enrollment],
    now: int,
) -> Attested:
    """By a certificate above the device's. Uploaded ones are looked up only where they are referred to."""
    uploaded = {
        name: record
        for name in anchors.referred(enrollments)
        if (record := await store.ca_certificate(name)) is not None
    }
    above = anchors.anchors(enrollments, uploaded)
    vouching: Sequence[CaCertificate] = ()
    if not all(anchor.verified for anchor in above):
        issuers = (*chain.issuer_sha256s, *(chains.issuer_sha256(anchor.certificate) for anchor in above))
        vouching = await store.ca_certificates_named(issuers, Purpose.X509)
    enrollment, proven = chains.proves_below(chain, above, now, vouching)
    return Attested(registration_id, enrollment, proven)


async def _presented_own(store: Store, presented: PresentedChain) -> HeldCertificate | None:
    """The shown certificate, if it was issued here."""
    leaf = presented.certificates[0]
    return HeldCertificate(leaf) if await store.certificate(sha256(leaf).digest()) is not None else None


async def _by_held(
    store: Store,
    request: Request,
    held: HeldCertificate,
    individual: Enrollment | None,
    trail: Trail,
    now: int,
    grace_s: int,
) -> Attested:
    """By a certificate that was issued here: for the enrollment that the registration belongs to, and no other."""
    registration_id, previous = request.registration_id, trail.previous
    record = await store.certificate(sha256(held.certificate).digest())
    held_certificates.judge(record, registration_id, now, grace_s)
    owner = None if previous is None else await store.enrollment(previous.enrollment)
    trail.tried = () if owner is None else (owner,)
    if owner is None or (individual is not None and individual.ref != owner.ref):
        raise Unauthenticated(
            "Unauthorized",
            rule="held-certificate-of-another-enrollment",
            hint="register with what the device is enrolled by",
            evidence="the registration's enrollment is gone, or an individual one hides it",
        )
    return Attested(registration_id, owner, ProvenHeld(held.certificate))


def _other_mechanism(shown: str, enrollment: Enrollment) -> Unauthenticated:
    kind = {
        SymmetricKeys: "symmetric keys",
        LeafCertificates: "X.509",
        SigningCertificates: "X.509",
        TpmKeys: "TPM",
        CaReferences: "X.509",
    }
    return Unauthenticated(
        "Unauthorized",
        rule="attestation-mechanism",
        evidence=f"the device showed {shown}, but its individual enrollment attests by "
        f"{kind[type(enrollment.attestation)]}",
    )


async def resumed(
    store: Store, operation: Operation, enrollment: Enrollment, challenges: Challenges
) -> Attested:
    """The proof that stood behind a committed intent: the intent was written after it, and only then.

    Raises Refused when the registration was deleted meanwhile, and what its TPM had proven with it.
    """
    proof: Proof
    if operation.held_certificate is not None:
        proof = ProvenHeld(operation.held_certificate)
    elif operation.bootstrap_certificate is not None:
        proof = ProvenChain((operation.bootstrap_certificate,))
    elif isinstance(enrollment.attestation, TpmKeys):
        before = await store.tpm_proof(operation.registration_id)
        if before is None:
            raise changed_meanwhile()
        proof = challenges.proven(operation.registration_id, enrollment.attestation.endorsement, before)
    elif not isinstance(enrollment.attestation, SymmetricKeys):
        proof = ProvenOnce()
    else:
        proof = symmetric_keys.device_keys(enrollment.attestation, operation.key_spelling)
    return Attested(operation.registration_id, enrollment, proof)
