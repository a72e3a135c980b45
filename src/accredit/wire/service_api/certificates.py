"""X.509 certificates in documents: PEM or base64 DER in, PEM and `info` out (RFC 7468; X509CertificateInfo of DPS).

Whether a certificate proves anything is not judged here (`policy/chains.py`). Everything that is shown later is read
once at the intake, so that a certificate that was accepted can always be shown.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from accredit.domain.der import check_serial
from accredit.domain.errors import Malformed

MAX_CERTIFICATE_CHARS = 16 * 1024
MAX_BUNDLE_CHARS = 64 * 1024

_COLUMNS = 64
_SECONDS = "%Y-%m-%dT%H:%M:%SZ"

_BEGIN = re.compile("-----BEGIN (?:X509 )?CERTIFICATE-----")
_BLOCK = re.compile(
    "-----BEGIN (?P<label>(?:X509 )?CERTIFICATE)-----(?P<base64>[A-Za-z0-9+/=\\s]*)-----END (?P=label)-----"
)

_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


def certificate_der(text: str, member: str) -> bytes:
    """The DER of the one certificate in `text`; `member` names the field in refusals."""
    if len(text) > MAX_CERTIFICATE_CHARS:
        raise Malformed(
            f"{member} is longer than {MAX_CERTIFICATE_CHARS} characters.", rule="certificate-size"
        )
    if "PRIVATE KEY" in text:
        raise Malformed(
            f"{member} holds a private key; only the certificate belongs here.",
            rule="certificate-private-key",
        )
    try:
        found = _all_of(text)
    except _UNREADABLE:
        raise Malformed(
            f"{member} is not a certificate in PEM or base64 DER.", rule="certificate-unreadable"
        ) from None
    if len(found) != 1:
        raise Malformed(
            f"{member} holds {len(found)} certificates; exactly one is wanted.", rule="certificate-count"
        )
    return found[0]


def certificate_ders(text: str, member: str) -> list[bytes]:
    """The DER of every certificate in a PEM text: at least one."""
    if len(text) > MAX_BUNDLE_CHARS:
        raise Malformed(f"{member} is longer than {MAX_BUNDLE_CHARS} characters.", rule="certificate-size")
    try:
        return _blocks(text)
    except _UNREADABLE:
        raise Malformed(f"{member} is not PEM text of certificates.", rule="certificate-unreadable") from None


def is_ca(der: bytes) -> bool:
    """Whether basicConstraints says CA (RFC 5280, section 4.2.1.9)."""
    extensions = x509.load_der_x509_certificate(der).extensions
    try:
        return extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def shown(der: bytes) -> dict[str, Any]:
    """As answers carry a certificate: `info` without the certificate itself."""
    return {"info": certificate_info(der)}


def certificate_info(der: bytes) -> dict[str, Any]:
    """X509CertificateInfo of a certificate that can be read. Azure: a client that misses one of the eight fails."""
    certificate = x509.load_der_x509_certificate(der)
    return {
        "subjectName": certificate.subject.rfc4514_string(),
        "sha1Thumbprint": hashlib.sha1(der, usedforsecurity=False).hexdigest().upper(),
        "sha256Thumbprint": hashlib.sha256(der).hexdigest().upper(),
        "issuerName": certificate.issuer.rfc4514_string(),
        "notBeforeUtc": f"{certificate.not_valid_before_utc:{_SECONDS}}",
        "notAfterUtc": f"{certificate.not_valid_after_utc:{_SECONDS}}",
        "serialNumber": serial_hex(certificate.serial_number),
        "version": certificate.version.value + 1,
    }


def serial_hex(serial: int) -> str:
    """Upper-case hex, whole octets."""
    text = f"{serial:X}"
    return text if len(text) % 2 == 0 else "0" + text


def pem(der: bytes) -> str:
    """One certificate, base64 in lines of 64, LF line ends."""
    text = base64.b64encode(der).decode()
    lines = [text[start : start + _COLUMNS] for start in range(0, len(text), _COLUMNS)]
    return "-----BEGIN CERTIFICATE-----\n" + "\n".join(lines) + "\n-----END CERTIFICATE-----\n"


def instant(at: int) -> str:
    """A certificate's own instants are whole seconds (RFC 5280, section 4.1.2.5)."""
    return f"{datetime.fromtimestamp(at, UTC):{_SECONDS}}"


def _all_of(text: str) -> list[bytes]:
    return _blocks(text) if "-----BEGIN" in text else [_readable(text)]


def _blocks(text: str) -> list[bytes]:
    """The DER of every block of a PEM text; blocks of other things are passed over."""
    found = [_readable(block["base64"]) for block in _BLOCK.finditer(text)]
    if not found or len(found) != len(_BEGIN.findall(text)):
        raise ValueError
    return found


def _readable(text: str) -> bytes:
    try:
        der = base64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as refused:
        raise ValueError from refused
    check_serial(der)
    certificate_info(der)
    is_ca(der)
    return der
