"""May this one-time password be used, now, for this CSR?

Unused it is good for a day. Its first use binds it to the CSR that came with it; for that one it may be repeated, because
answers get lost, until the certificate is first used or `REPEATS_S` have passed. The password has the entropy of a key, so
that a plain hash of it is enough.
"""

from __future__ import annotations

import hmac
from hashlib import sha256

from accredit.domain.credential import CertificateRecord, CertificateStatus
from accredit.domain.enrollment import Enrollment
from accredit.domain.one_time_password import OneTimePassword
from accredit.domain.secret import Secret

LIFE_S = 86_400
REPEATS_S = 900
TOKEN_BYTES = 18

_UNUSED = (CertificateStatus.PENDING, CertificateStatus.UNBOUND)


def digest_of(password: Secret) -> bytes:
    return sha256(password.reveal()).digest()


def request_digest(csr: str) -> bytes:
    """What a password is bound to: the CSR as it came, but for the ends of its lines."""
    return sha256("".join(csr.split()).encode()).digest()


def objection(
    known: OneTimePassword | None,
    shown: Secret,
    request_sha256: bytes,
    enrollment: Enrollment,
    newest: CertificateRecord | None,
    now: int,
) -> str | None:
    """Why the password proves nothing, for the operator; None when it proves the device.

    `newest` is the certificate that the registration tells of.
    """
    if known is None or known.generation != enrollment.generation:
        return "no one-time password is open"
    if not hmac.compare_digest(known.sha256, digest_of(shown)):
        return "it is not the one-time password that is open"
    if known.request_sha256 is None or known.first_used_at is None:
        return None if now < known.expires_at else "the one-time password has expired unused"
    if known.request_sha256 != request_sha256:
        return "the one-time password was used for another CSR"
    if now >= known.first_used_at + REPEATS_S:
        return "the one-time password was used too long ago"
    if newest is not None and newest.issued_at >= known.first_used_at and newest.status not in _UNUSED:
        return "the certificate of the one-time password is in use"
    return None
