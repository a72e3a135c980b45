"""What an outside CA sent, made into certificates: hostile until checked, and not believed here either.

Finds X.509 certificates in a PEM bundle (with whatever text stands around them, in any order) or in raw DER, within
bounds. Whether they are what was ordered is `policy/issuance.py`'s question. PEM: RFC 7468.
"""

from __future__ import annotations

import base64
import re

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from accredit.domain.der import check_serial
from accredit.domain.errors import UpstreamRejected

MAX_CERTIFICATES = 10
MAX_ANSWER_BYTES = 262_144

_BLOCK = re.compile(rb"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]*)-----END CERTIFICATE-----")
_SEQUENCE = b"\x30"


def certificates(answer: bytes | str) -> tuple[bytes, ...]:
    """The answer's certificates as DER, in the order sent, each once; raises UpstreamRejected."""
    raw = answer.encode("utf-8", "replace") if isinstance(answer, str) else answer
    if len(raw) > MAX_ANSWER_BYTES:
        raise _unreadable(f"The CA's answer has more than {MAX_ANSWER_BYTES} bytes.", "ca-answer-too-large")
    found = [raw] if raw.startswith(_SEQUENCE) else _blocks(raw)
    if not found:
        raise _unreadable("The CA's answer holds no certificate.", "ca-answer-empty")
    if len(found) > MAX_CERTIFICATES:
        raise _unreadable(
            f"The CA's answer holds more than {MAX_CERTIFICATES} certificates.", "ca-answer-too-many"
        )
    for der in found:
        parsed(der)
    return tuple(dict.fromkeys(found))


def parsed(der: bytes) -> x509.Certificate:
    """One certificate whose fields can all be read; raises UpstreamRejected."""
    try:
        check_serial(der)
        certificate = x509.load_der_x509_certificate(der)
        # Much of a certificate is parsed only when it is asked for; what can't be read is refused here, once.
        _ = certificate.subject, certificate.issuer, certificate.extensions
        _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except Exception as error:  # noqa: BLE001 - the parser's ways to fail are not a closed set
        raise _unreadable(
            "The CA's answer holds something that is not a readable certificate.",
            "ca-answer-unreadable",
            f"{type(error).__name__}: {str(error)[:200]}",
        ) from None
    return certificate


def spki_of(certificate: x509.Certificate) -> bytes | None:
    """DER of the certificate's SubjectPublicKeyInfo; None for a key of no known kind."""
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def common_name(certificate: x509.Certificate) -> str | None:
    """The subject's CN, where it has exactly one."""
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else None


def _blocks(raw: bytes) -> list[bytes]:
    """The DER of each PEM block, of one more than is allowed at most."""
    found: list[bytes] = []
    for block in _BLOCK.finditer(raw):
        try:
            found.append(base64.b64decode(b"".join(block[1].split()), validate=True))
        except ValueError:
            raise _unreadable(
                "A certificate in the CA's answer is not base64.", "ca-answer-unreadable"
            ) from None
        if len(found) > MAX_CERTIFICATES:
            break
    return found


def _unreadable(message: str, rule: str, evidence: str = "") -> UpstreamRejected:
    return UpstreamRejected(message, rule=rule, evidence=evidence)
