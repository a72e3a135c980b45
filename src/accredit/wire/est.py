"""Enrollment over Secure Transport (RFC 7030, RFC 8951): bodies, media types and credentials, as both roles see them.

A request is base64 of a PKCS#10's DER, an answer base64 of a certs-only CMS message. Content-Transfer-Encoding is
neither looked at nor needed (RFC 8951, 3). What comes is read leniently (line ends anywhere, PEM armour); what goes out is
one line without an end, because strongSwan reads nothing else. Whether a CSR, a certificate or a password is good is not
asked here.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from accredit.domain.errors import Malformed, Unauthenticated, UpstreamRejected
from accredit.domain.secret import Secret

PKCS10 = "application/pkcs10"
PKCS7 = "application/pkcs7-mime"
CERTS_ONLY = "application/pkcs7-mime; smime-type=certs-only"
CSR_ATTRS = "application/csrattrs"
WELL_KNOWN = "/.well-known/est"

CSR_FIELD = "pkcs10"
"""How the CSR of an EST call is named in messages and records."""

MAX_REQUEST_BYTES = 16 * 1024
MAX_ANSWER_BYTES = 262_144
MAX_CERTIFICATES = 16
MAX_CREDENTIALS_CHARS = 1024

_ARMOUR = re.compile(rb"-----BEGIN (?:PKCS7|CMS)-----(.*)-----END (?:PKCS7|CMS)-----", re.DOTALL)

_EC_PUBLIC_KEY = bytes.fromhex("06072a8648ce3d0201")
_SECP256R1 = bytes.fromhex("06082a8648ce3d030107")
_ECDSA_WITH_SHA256 = bytes.fromhex("06082a8648ce3d040302")


def _der(tag: int, *content: bytes) -> bytes:
    body = b"".join(content)
    return bytes((tag, len(body))) + body


# RFC 7030, 4.5.2: SEQUENCE OF (the attribute ecPublicKey with the value secp256r1, the OID ecdsa-with-SHA256).
_ATTRIBUTES = _der(0x30, _der(0x30, _EC_PUBLIC_KEY, _der(0x31, _SECP256R1)), _ECDSA_WITH_SHA256)


def attributes_body() -> bytes:
    """The answer to csrattrs: a P-256 key, and SHA-256 to sign with, are recommended. Other keys may be taken too."""
    return b64encode(_ATTRIBUTES)


# The request.


def request_body(csr_der: bytes) -> bytes:
    """What a client posts."""
    return b64encode(csr_der)


def csr_text(content_type: str | None, body: bytes) -> str:
    """The CSR of an enrollment's body, as text: base64 of DER, or PEM. Raises Malformed."""
    if len(body) > MAX_REQUEST_BYTES:
        raise Malformed(f"The body is larger than {MAX_REQUEST_BYTES} bytes.", rule="body-too-large")
    media_type = (content_type or "").partition(";")[0].strip().lower()
    if media_type != PKCS10:
        raise Malformed(
            f"The Content-Type of an enrollment is {PKCS10}.",
            rule="csr-media-type",
            evidence=f"it is {media_type[:100]!r}",
        )
    try:
        return body.decode("ascii")
    except UnicodeDecodeError:
        raise Malformed(
            "The body is not base64 text.",
            rule="csr-not-pem-or-der",
            hint="RFC 7030, 4.2.1: the DER of the PKCS#10 request in base64, without armour",
        ) from None


# The answer.


def certificates_body(certificates: Sequence[bytes]) -> bytes:
    """Certificates (DER, at least one) as a certs-only message in base64, on one line."""
    parsed = [x509.load_der_x509_certificate(der) for der in certificates]
    return b64encode(pkcs7.serialize_certificates(parsed, Encoding.DER))


def certificates(body: bytes) -> tuple[bytes, ...]:
    """The certificates of a certs-only message, DER, in its order. Raises UpstreamRejected: a client asks this of a server."""
    if len(body) > MAX_ANSWER_BYTES:
        raise _unreadable(f"The CA's answer has more than {MAX_ANSWER_BYTES} bytes.", "ca-answer-too-large")
    armoured = _ARMOUR.search(body)
    try:
        der = b64decode(b"".join((armoured[1] if armoured else body).split()), validate=True)
    except ValueError:
        raise _unreadable("The CA's answer is not base64.", "ca-answer-unreadable") from None
    try:
        ders = tuple(each.public_bytes(Encoding.DER) for each in pkcs7.load_der_pkcs7_certificates(der))
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise _unreadable(
            "The CA's answer is no certs-only message.", "ca-answer-unreadable", str(error)
        ) from None
    if not ders:
        raise _unreadable("The CA's answer holds no certificate.", "ca-answer-empty")
    if len(ders) > MAX_CERTIFICATES:
        raise _unreadable(
            f"The CA's answer holds more than {MAX_CERTIFICATES} certificates.", "ca-answer-too-many"
        )
    return ders


def _unreadable(message: str, rule: str, evidence: str = "") -> UpstreamRejected:
    return UpstreamRejected(message, rule=rule, evidence=evidence[:200])


# Credentials: HTTP Basic (RFC 7617), in UTF-8.


def basic(user: str, password: Secret) -> Secret:
    """The value of Authorization."""
    return Secret(b"Basic " + b64encode(user.encode() + b":" + password.reveal()))


def basic_credentials(authorization: str) -> tuple[str, Secret]:
    """User name and password. Raises Unauthenticated."""
    scheme, _, encoded = authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        raise _no_credentials(f"the scheme is {scheme[:32]!r}")
    if len(encoded) > MAX_CREDENTIALS_CHARS:
        raise _no_credentials(f"it has {len(encoded)} characters")
    try:
        user, colon, password = b64decode(encoded.strip(), validate=True).partition(b":")
        name = user.decode()
    except ValueError:
        raise _no_credentials("it is not base64 of UTF-8") from None
    if not colon:
        raise _no_credentials("it has no colon")
    return name, Secret(password)


def _no_credentials(evidence: str) -> Unauthenticated:
    return Unauthenticated("Unauthorized", rule="basic-malformed", evidence=evidence)
