"""Proof of possession: whether the key of an uploaded CA certificate is in the operator's hands (Azure DPS, *verify CA certificates*).

The service makes a code; the operator has the CA sign a certificate whose common name it is. What devices present is
judged by other rules (`chains.py`).
"""

from __future__ import annotations

import hmac

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.hashes import MD5, SHA1
from cryptography.x509.oid import NameOID

from accredit.domain.ca_certificate import CaCertificate
from accredit.domain.der import check_serial
from accredit.domain.errors import Malformed

CODE_LIFE_S = 7 * 86_400
"""Time to carry a code to a CA that is kept offline, and the certificate back."""

CODE_BYTES = 24
"""In hex it fits a common name."""

SKEW_S = 300

_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


def check_possession(uploaded: CaCertificate, shown: bytes, now: float) -> None:
    """Return when `shown` (DER) proves that the CA signs for the operator; raise Malformed, saying what is wrong."""
    code = uploaded.code
    if code is None or now > code.ends_at:
        raise Malformed(
            "There is no verification code that is still good.",
            rule="verification-code",
            hint=f"make one with POST /caCertificates/{uploaded.name}/verificationCode",
        )
    issuer = x509.load_der_x509_certificate(uploaded.certificate)
    try:
        check_serial(shown)
        certificate = x509.load_der_x509_certificate(shown)
        names = [str(one.value) for one in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        begins, ends = (
            certificate.not_valid_before_utc.timestamp(),
            certificate.not_valid_after_utc.timestamp(),
        )
        outdated = isinstance(certificate.signature_hash_algorithm, SHA1 | MD5)
    except _UNREADABLE as error:
        raise _refused("can't be read", str(error)[:200]) from error
    if len(names) != 1 or not hmac.compare_digest(names[0].encode(), code.text.encode()):
        raise _refused("does not have the verification code as its common name", repr(names)[:200])
    if not begins - SKEW_S <= now <= ends + SKEW_S:
        raise _refused("is outside its lifetime", f"{begins:.0f} to {ends:.0f}")
    if outdated or not _signed(certificate, issuer):
        raise _refused(f"was not signed by {uploaded.name}", certificate.issuer.rfc4514_string()[:200])


def _signed(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, *_UNREADABLE):
        return False
    return True


def _refused(what: str, evidence: str) -> Malformed:
    return Malformed(
        f"The verification certificate {what}.", rule="verification-certificate", evidence=evidence
    )
