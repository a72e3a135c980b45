"""Doctor: what the ceremony would say of a file, offline: the same checks of `policy`, without a device, a store or an effect.

Each function tells what it found on the way, and the refusal, if there is one. Nothing here decides anything by itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from accredit.domain.enrollment import Enrollment, LeafCertificates
from accredit.domain.errors import AccreditError
from accredit.domain.evidence import PresentedChain, SasToken
from accredit.domain.ids import DeviceId, RegistrationId
from accredit.policy import anchors, chains, csr_intake, issuance, symmetric_keys, wrong_keys
from accredit.values import dataclass
from accredit.wire import sas

_MAX_SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, and what was found."""

    subject: str
    found: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """`refusal` is what the ceremony would have raised, None where all is well."""

    findings: tuple[Finding, ...]
    refusal: AccreditError | None


def csr(text: str, registration_id: RegistrationId | None) -> Verdict:
    """A CSR: its form, its key, its proof of possession, and, for a registration id, its name and what it asks for."""
    findings: list[Finding] = []
    try:
        request = csr_intake.intake(text, "csr")
        findings += [
            Finding("form", f"one request of {len(request.der)} bytes"),
            Finding("key", f"{_kind_of(request.csr.public_key())}, SHA-256 {request.spki_sha256.hex()}"),
            Finding("possession", "the request is signed by its own key"),
            Finding("subject", _name(request.csr.subject)),
        ]
        if registration_id is None:
            findings.append(Finding("name", "not compared: name the device with --registration-id"))
        else:
            issuance.check_name(request, registration_id, DeviceId(registration_id.text))
            findings.append(Finding("name", f"fits the registration id {registration_id}"))
    except AccreditError as refusal:
        return Verdict(tuple(findings), refusal)
    return Verdict(tuple(findings), None)


def chain(
    certificates: Sequence[bytes],
    enrolled: Enrollment | Sequence[str],
    registration_id: RegistrationId | None,
    now: float,
) -> Verdict:
    """A client certificate with what the device sends above it, leaf first, against what is enrolled.

    That is an enrollment, or the SHA-256 thumbprints of an individual one. Without a registration id the leaf's own
    common name stands for it.
    """
    findings = [Finding(f"certificate {number}", _shown(der)) for number, der in enumerate(certificates, 1)]
    try:
        name = registration_id if registration_id is not None else _own_name(certificates)
        read = chains.read(PresentedChain(tuple(certificates)), name, now)
        findings.append(Finding("leaf", f"named {name}, within its lifetime, for client authentication"))
        if isinstance(enrolled, Enrollment) and not isinstance(enrolled.attestation, LeafCertificates):
            group, proven = chains.proves_below(read, anchors.anchors([enrolled], {}), now)
            length = len(proven.chain)
            findings.append(
                Finding(f"group {group.id}", f"proven over {length} certificates, anchor included")
            )
            return Verdict(tuple(findings), None)
        if isinstance(enrolled, Enrollment):
            assert isinstance(enrolled.attestation, LeafCertificates)
            chains.proves_individual(read, enrolled.attestation)
        else:
            chains.check_thumbprint(read, enrolled)
        findings.append(Finding("enrollment", "the leaf is the enrolled certificate"))
    except AccreditError as refusal:
        return Verdict(tuple(findings), refusal)
    return Verdict(tuple(findings), None)


def token(
    text: str,
    id_scope: str | None,
    registration_id: RegistrationId | None,
    enrollment: Enrollment | None,
    now: float,
) -> Verdict:
    """A device's SAS token: its parts, its scope, its expiry, and, with an enrollment's keys, which of them signed it.

    What is not named is taken from the token itself, and then not judged.
    """
    findings: list[Finding] = []
    try:
        split = sas.parse(text.strip())
        findings += [
            Finding("resource", split.resource[:_MAX_SHOWN_CHARS]),
            Finding("expiry", _expiry(split, now)),
        ]
        scope, name = _claimed(split, id_scope, registration_id)
        lives_long = symmetric_keys.check_terms(split, scope, name, now)
        findings.append(Finding("scope", f"{scope}/registrations/{name}"))
        if lives_long:
            findings.append(Finding("lifetime", "more than 365 days: taken, and logged"))
        if enrollment is None:
            findings.append(Finding("signature", "not checked: give the key with --key-file"))
        elif symmetric_keys.matching_keys(split, enrollment, name) is None:
            raise wrong_keys.unproven(split, [enrollment], name)
        else:
            findings.append(Finding("signature", "by the key that was given"))
    except AccreditError as refusal:
        return Verdict(tuple(findings), refusal)
    return Verdict(tuple(findings), None)


def _claimed(
    split: SasToken, id_scope: str | None, registration_id: RegistrationId | None
) -> tuple[str, RegistrationId]:
    """The scope and id to judge by: those that were named, else those that the token names."""
    parts = split.resource.split("/")
    scope = id_scope if id_scope is not None else parts[0]
    return scope, registration_id if registration_id is not None else RegistrationId.parse(parts[-1])


def _own_name(certificates: Sequence[bytes]) -> RegistrationId:
    """The leaf's common name; where it has none that could be an id, one that no leaf has, so that the rule says so."""
    try:
        subject = x509.load_der_x509_certificate(certificates[0]).subject
        (name,) = subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return RegistrationId.parse(str(name.value))
    except (ValueError, TypeError, IndexError, AccreditError):
        return RegistrationId.parse("unnamed")


def _expiry(split: SasToken, now: float) -> str:
    left = int(split.expires_at - now)
    return f"{split.expires_at}, in {left} s" if left > 0 else f"{split.expires_at}, {-left} s ago"


def _shown(der: bytes) -> str:
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = f"{_name(certificate.subject)}, by {_name(certificate.issuer)}"
    except (ValueError, TypeError):
        names = "unreadable"
    return f"{names}, SHA-256 {chains.thumbprint(der)}"


def _name(name: x509.Name) -> str:
    return name.rfc4514_string()[:_MAX_SHOWN_CHARS] or "without a name"


def _kind_of(key: object) -> str:
    if isinstance(key, RSAPublicKey):
        return f"RSA of {key.key_size} bits"
    return key.curve.name if isinstance(key, EllipticCurvePublicKey) else type(key).__name__
