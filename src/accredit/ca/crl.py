"""A certificate revocation list, assembled as DER in one pass (RFC 5280, section 5).

The builders at hand copy the list for each entry, which takes seconds from some ten thousand revocations on.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509

from accredit.ca import der
from accredit.ca.hierarchy import Issuer
from accredit.domain.credential import RevocationReason, Revoked

LIFE_S = 7 * 86_400
BACKDATE_S = 300

_ENUMERATED = 0x0A
_EXTENSIONS = 0xA0
_VERSION_2 = b"\x02\x01\x01"
_REASON_CODE = bytes.fromhex("0603551d15")
_CRL_NUMBER = bytes.fromhex("0603551d14")
_AUTHORITY_KEY_ID = bytes.fromhex("0603551d23")
_ISSUING_DISTRIBUTION_POINT = bytes.fromhex("0603551d1c")


def signed(
    issuer: Issuer, scope: x509.IssuingDistributionPoint, revoked: Sequence[Revoked], number: int, now: int
) -> bytes:
    """DER of the CRL of this scope. `number` never goes back; `now` is in Unix seconds."""
    algorithm = issuer.algorithm
    entries = b"".join(map(_entry, revoked))
    parts = (
        _VERSION_2,
        algorithm.identifier,
        issuer.certificate.subject.public_bytes(),
        der.time(now - BACKDATE_S),
        der.time(now + LIFE_S),
        der.element(der.SEQUENCE, entries) if entries else b"",
        der.element(_EXTENSIONS, der.element(der.SEQUENCE, _extensions(issuer, scope, number))),
    )
    tbs = der.element(der.SEQUENCE, *parts)
    signature = algorithm.sign(issuer.key, tbs)
    return der.element(
        der.SEQUENCE, tbs, algorithm.identifier, der.element(der.BIT_STRING, b"\x00", signature)
    )


def _entry(revoked: Revoked) -> bytes:
    parts = [_integer(revoked.serial), der.time(revoked.revoked_at)]
    if revoked.reason is not RevocationReason.UNSPECIFIED:
        # RFC 5280, 5.3.1: the reason is left out instead of saying unspecified.
        code = der.element(_ENUMERATED, bytes([revoked.reason.code]))
        parts.append(der.element(der.SEQUENCE, _extension(_REASON_CODE, code)))
    return der.element(der.SEQUENCE, *parts)


def _extensions(issuer: Issuer, scope: x509.IssuingDistributionPoint, number: int) -> bytes:
    key_id = issuer.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    authority = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(key_id)
    return (
        _extension(_AUTHORITY_KEY_ID, authority.public_bytes())
        + _extension(_CRL_NUMBER, _integer(number))
        + _extension(_ISSUING_DISTRIBUTION_POINT, scope.public_bytes(), critical=True)
    )


def _extension(oid: bytes, value: bytes, *, critical: bool = False) -> bytes:
    flag = der.BOOLEAN_TRUE if critical else b""
    return der.element(der.SEQUENCE, oid, flag, der.element(der.OCTET_STRING, value))


def _integer(number: int) -> bytes:
    return der.element(der.INTEGER, number.to_bytes(number.bit_length() // 8 + 1, "big"))
