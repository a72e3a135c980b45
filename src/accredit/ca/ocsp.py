"""OCSP answers about one certificate, signed by the CA that issued it (RFC 6960; RFC 5019 for what is kept ready).

The CA signs for itself instead of delegating: a delegated responder's certificate would be one more signature to be
looked after. Nothing here knows what was issued.
"""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp

from accredit.ca.hierarchy import Issuer
from accredit.domain.credential import RevocationReason, Revoked
from accredit.domain.der import key_bits
from accredit.values import dataclass

LIFE_S = 86_400
BACKDATE_S = 300
MAX_REQUEST_BYTES = 4_096
MAX_NONCE_BYTES = 128
"""RFC 9654, 2.1."""

_HASHES: dict[str, type[hashes.HashAlgorithm]] = {"sha1": hashes.SHA1, "sha256": hashes.SHA256}
_FLAGS = {
    RevocationReason.UNSPECIFIED: x509.ReasonFlags.unspecified,
    RevocationReason.KEY_COMPROMISE: x509.ReasonFlags.key_compromise,
    RevocationReason.CA_COMPROMISE: x509.ReasonFlags.ca_compromise,
    RevocationReason.AFFILIATION_CHANGED: x509.ReasonFlags.affiliation_changed,
    RevocationReason.SUPERSEDED: x509.ReasonFlags.superseded,
    RevocationReason.CESSATION_OF_OPERATION: x509.ReasonFlags.cessation_of_operation,
    RevocationReason.PRIVILEGE_WITHDRAWN: x509.ReasonFlags.privilege_withdrawn,
    RevocationReason.AA_COMPROMISE: x509.ReasonFlags.aa_compromise,
}


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: which serial of which issuer (by the hashes of its name and key), and the nonce, if there is one."""

    serial: int
    algorithm: str
    name_hash: bytes
    key_hash: bytes
    nonce: bytes | None


def read(request: bytes) -> Asked | None:
    """None for what is no request of this profile: one certificate, hashed with SHA-1 or SHA-256."""
    if len(request) > MAX_REQUEST_BYTES:
        return None
    try:
        parsed = ocsp.load_der_ocsp_request(request)
        algorithm = parsed.hash_algorithm.name
        nonce = next(
            (each.value.nonce for each in parsed.extensions if isinstance(each.value, x509.OCSPNonce)), None
        )
        asked = Asked(parsed.serial_number, algorithm, parsed.issuer_name_hash, parsed.issuer_key_hash, nonce)
    except (ValueError, TypeError, NotImplementedError, UnsupportedAlgorithm, x509.DuplicateExtension):
        return None
    usable = algorithm in _HASHES and (nonce is None or 1 <= len(nonce) <= MAX_NONCE_BYTES)
    return asked if usable else None


def names(asked: Asked, issuer: x509.Certificate) -> bool:
    """Whether the question is about a certificate of this issuer."""
    return (asked.name_hash, asked.key_hash) == _hashed(issuer, asked.algorithm)


def answer(issuer: Issuer, revoked: Revoked | None, asked: Asked, now: int) -> bytes:
    """A signed answer, DER: good, or revoked since when and why. The question is about this issuer (`names`)."""
    status = ocsp.OCSPCertStatus.GOOD if revoked is None else ocsp.OCSPCertStatus.REVOKED
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response_by_hash(
            issuer_name_hash=asked.name_hash,
            issuer_key_hash=asked.key_hash,
            serial_number=asked.serial,
            algorithm=_HASHES[asked.algorithm](),
            cert_status=status,
            this_update=_instant(now - BACKDATE_S),
            next_update=_instant(now + LIFE_S),
            revocation_time=None if revoked is None else _instant(revoked.revoked_at),
            revocation_reason=None if revoked is None else _FLAGS[revoked.reason],
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, issuer.certificate)
    )
    if asked.nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(asked.nonce), critical=False)
    return builder.sign(issuer.key, issuer.algorithm.digest).public_bytes(Encoding.DER)


def try_later() -> bytes:
    """Said while what signs can't be reached; not signed itself."""
    return _unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)


def malformed() -> bytes:
    return _unsuccessful(ocsp.OCSPResponseStatus.MALFORMED_REQUEST)


def unauthorized() -> bytes:
    """RFC 5019, 2.2.3: said of certificates that are not this responder's."""
    return _unsuccessful(ocsp.OCSPResponseStatus.UNAUTHORIZED)


def _unsuccessful(status: ocsp.OCSPResponseStatus) -> bytes:
    return ocsp.OCSPResponseBuilder.build_unsuccessful(status).public_bytes(Encoding.DER)


def _hashed(issuer: x509.Certificate, algorithm: str) -> tuple[bytes, bytes]:
    """RFC 6960, 4.1.1: the hashes of the issuer's name, and of its key's bits."""
    spki = issuer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return _digest(issuer.subject.public_bytes(), algorithm), _digest(key_bits(spki), algorithm)


def _digest(data: bytes, algorithm: str) -> bytes:
    made = hashes.Hash(_HASHES[algorithm]())
    made.update(data)
    return made.finalize()


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)
