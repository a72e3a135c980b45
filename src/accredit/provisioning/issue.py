"""Issue: settle the device's credential: none asked for, the stored one that still serves, or a new one."""

from __future__ import annotations

from collections.abc import Sequence

from accredit.domain.credential import (
    DEFAULT_PROFILE,
    STRAY,
    CertificateRecord,
    CertificateStatus,
    Certified,
    Credential,
    IssuedChain,
    Order,
    Presented,
    Profile,
    SigningRequest,
)
from accredit.domain.enrollment import Enrollment
from accredit.domain.errors import Malformed, Refused, UpstreamRejected, UpstreamUnavailable
from accredit.domain.evidence import ProvenHeld
from accredit.domain.ids import AuthorityName, GroupId
from accredit.domain.registration import Admitted, Allocated, Issued, Request
from accredit.interfaces import Authorities, Authority, Deferred, Delivered, Rejected, Store
from accredit.observe import log
from accredit.policy import issuance, pop_linking, renewed_names
from accredit.policy.profiles import check_device, key_rules
from accredit.provisioning.revoked_authority import RevokedAuthority
from accredit.values import dataclass
from accredit.wire import dps

BRIDGE_FIELD = "payload.clientCertificateCsr"
"""How a CSR inside the custom payload is named in messages and in the form of the answer."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A certificate must be signed: this request, by this authority, under this profile."""

    request: SigningRequest
    authority: Authority
    profile: Profile = DEFAULT_PROFILE


def requested_csr(request: Request, authority: AuthorityName | None) -> tuple[str, str] | None:
    """The one CSR of the call as (field, text), or None. Raises Malformed for two, or one where none is due.

    The custom payload is read only where the enrollment issues certificates; elsewhere it is the device's own affair.
    """
    found = list(request.csr_fields)
    if found and authority is None:
        raise Malformed(
            f"{found[0][0]} was sent, but the enrollment has no clientCertificateIssuancePolicy.",
            rule="csr-not-due",
            hint="set clientCertificateIssuancePolicy.certificateAuthorityName on the enrollment",
        )
    if authority is not None and request.payload is not None:
        bridged = dps.bridged_csr(request.payload)
        if bridged is not None:
            found.append((BRIDGE_FIELD, bridged))
    if len(found) > 1:
        raise Malformed(
            f"More than one CSR was sent: {' and '.join(field for field, _ in found)}; send one.",
            rule="csr-twice",
        )
    return found[0] if found else None


async def settle(
    admitted: Admitted,
    request: Request,
    store: Store,
    authorities: Authorities,
    now: int,
    key_reuse: str,
) -> tuple[Credential | Wanted, str | None]:
    """Decide without signing anything: the credential, or what must be signed, and the field that the CSR came in.

    Raises Malformed and Refused; the rules are those of `policy/issuance.py`.
    """
    enrollment = admitted.attested.enrollment
    asked = requested_csr(request, enrollment.authority)
    if asked is None:
        if isinstance(admitted.attested.proof, ProvenHeld):
            raise Malformed(
                "A certificate that was issued here proves a renewal alone; send a CSR.",
                rule="renewal-without-csr",
            )
        return Presented(), None
    assert enrollment.authority is not None
    field, text = asked
    profile = await profile_of(enrollment, store)
    signing_request = issuance.intake(text, field, key_rules(profile))
    issuance.check_name(signing_request, admitted.registration_id, admitted.device_id)
    proof = admitted.attested.proof
    if request.keeps_names and isinstance(proof, ProvenHeld):
        renewed_names.check_unchanged(signing_request, proof.certificate)
    if request.bindings is not None:
        pop_linking.check_linked(signing_request, request.bindings)
    ordered = [found for name in enrollment.authorities if (found := await authorities.get(name)) is not None]
    if ordered and all(isinstance(each, RevokedAuthority) for each in ordered):
        raise UpstreamRejected("The certificate authority was revoked.", rule="ca-revoked")
    ordered = [each for each in ordered if not isinstance(each, RevokedAuthority)]
    if not ordered:
        raise UpstreamUnavailable(
            "The certificate authority of the enrollment is not configured.",
            rule="authority-unknown",
            retry_after_s=30,
            hint=f"PUT /certificateAuthorities/{enrollment.authority}, or name another one on the enrollment",
        )
    check_device(profile, signing_request, admitted.registration_id, admitted.device_id, group_of(enrollment))
    known = await store.certificates_of_key(signing_request.spki_sha256)
    _check_key_owner(known, admitted, key_reuse)
    stored = _stored(known, admitted, ordered, profile, now)
    if stored is not None:
        return Certified(stored, fresh=False), field
    return Wanted(signing_request, ordered[0], profile), field


async def profile_of(enrollment: Enrollment, store: Store) -> Profile:
    """The certificate profile that the enrollment names; a name keeps its profile from being deleted."""
    if enrollment.profile is None:
        return DEFAULT_PROFILE
    record = await store.certificate_profile(enrollment.profile)
    assert record is not None
    return record.profile


def group_of(enrollment: Enrollment) -> GroupId | None:
    return enrollment.id if isinstance(enrollment.id, GroupId) else None


def _check_key_owner(known: Sequence[CertificateRecord], admitted: Admitted, key_reuse: str) -> None:
    """One public key belongs to one device; a revoked key to none."""
    for record in known:
        if record.profile == STRAY:  # what a CA made against the order says nothing about the key
            continue
        if record.status is CertificateStatus.REVOKED:
            raise Refused(
                "The key of the CSR was revoked; make a new key.",
                rule="key-revoked",
                evidence=f"certificate {record.issued.serial:X} of {record.registration_id}",
            )
        same_device = record.registration_id == admitted.registration_id
        if same_device or key_reuse == "allow":
            continue
        if key_reuse == "warn":
            log.warning(
                "key-shared",
                registrationId=str(admitted.registration_id),
                otherRegistrationId=str(record.registration_id),
            )
            continue
        raise Malformed(
            "The key of the CSR belongs to another device; make a key of this device's own.",
            rule="key-of-another-device",
            hint="a cloned image is the usual cause; the setting key_reuse decides",
            evidence=f"the key was certified for {record.registration_id}",
        )


def _stored(
    known: Sequence[CertificateRecord],
    admitted: Admitted,
    authorities: Sequence[Authority],
    profile: Profile,
    now: int,
) -> CertificateRecord | None:
    """The same device, key, authority (one of those that may sign), profile and enrollment generation gets its certificate back while it serves."""
    generation = admitted.attested.enrollment.generation
    signers = {(authority.name, authority.version) for authority in authorities}
    for record in known:
        same = (
            record.registration_id == admitted.registration_id
            and record.device_id == admitted.device_id
            and (record.authority, record.authority_version) in signers
            and record.profile == profile.label
            and record.enrollment_generation == generation
        )
        if same and record.reusable(now):
            return record
    return None


async def sign(allocated: Allocated, wanted: Wanted, operation_id: str, now: int) -> Issued:
    """Have an in-process authority sign. Raises UpstreamRejected or UpstreamUnavailable when it does not."""
    order = Order(
        operation_id,
        allocated.registration_id,
        allocated.device_id,
        wanted.request,
        wanted.profile,
        since=now,
        group=group_of(allocated.attested.enrollment),
    )
    match await wanted.authority.order(order):
        case Delivered(issued):
            signer = (wanted.authority.name, wanted.authority.version)
            label = wanted.profile.label
            return certified(allocated, signer, wanted.request, label, issued, operation_id, now)
        case Deferred(reason, retry_after_s):
            raise UpstreamUnavailable(reason, rule="ca-unavailable", retry_after_s=retry_after_s)
        case Rejected(reason, rule):
            raise UpstreamRejected(reason, rule=rule)
        case answer:
            raise UpstreamRejected(
                "The certificate authority did not issue.", rule="ca-refused", evidence=repr(answer)
            )


def certified(
    allocated: Allocated,
    signer: tuple[AuthorityName, str],
    request: SigningRequest,
    profile: str,
    issued: IssuedChain,
    operation_id: str,
    now: int,
    *,
    fresh: bool = True,
) -> Issued:
    """The receipt for a certificate that was signed just now; not `fresh` when it is on record already.

    `signer` is the authority's name and version, `profile` the label of what it signed under.
    """
    record = CertificateRecord(
        issued=issued,
        authority=signer[0],
        authority_version=signer[1],
        profile=profile,
        registration_id=allocated.registration_id,
        device_id=allocated.device_id,
        enrollment_generation=allocated.attested.enrollment.generation,
        csr_sha256=request.csr_sha256,
        operation_id=operation_id,
        issued_at=now,
    )
    return Issued(allocated, operation_id, Certified(record, fresh=fresh))


def unsigned(allocated: Allocated, credential: Credential, operation_id: str) -> Issued:
    """The receipt where nothing had to be signed."""
    return Issued(allocated, operation_id, credential)
