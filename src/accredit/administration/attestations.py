"""The attestation that an enrollment ends up with: what was sent, what is kept, what is made.

A replace that sends no keys keeps the stored ones, because no GET shows them; one that sends a certificate's `info`
alone keeps that certificate.
"""

from __future__ import annotations

import hashlib
from typing import assert_never

from accredit.domain.enrollment import (
    Attestation,
    LeafCertificates,
    SigningCertificates,
    SymmetricKeys,
    TpmKeys,
)
from accredit.domain.errors import Malformed
from accredit.domain.secret import Secret
from accredit.interfaces import Entropy
from accredit.policy import ek_certificates
from accredit.wire.service_api.attestations import (
    AttestationSent,
    CertificatesSent,
    Kept,
    KeysSent,
    ReferencesSent,
)
from accredit.wire.service_api.tpm import ENDORSEMENT_KEY, TpmSent, check_differ
from accredit.wire.tpm import endorsement_key

MADE_KEY_BYTES = 32
"""Azure: 32 at first, 64 lately; SDKs take 16 to 64. An HMAC-SHA256 key gains nothing above 32."""


def settled(sent: AttestationSent, present: Attestation | None, entropy: Entropy) -> Attestation:
    """`present` is the attestation that is replaced, None on a creation."""
    match sent:
        case KeysSent():
            return _keys(sent, present, entropy)
        case CertificatesSent():
            return _certificates(sent, present)
        case TpmSent():
            return _tpm(sent, present)
        case ReferencesSent():
            return sent.references
        case _:
            assert_never(sent)


def _keys(sent: KeysSent, present: Attestation | None, entropy: Entropy) -> SymmetricKeys:
    kept = present if isinstance(present, SymmetricKeys) else None
    return SymmetricKeys(
        primary=sent.primary or (kept.primary if kept else Secret(entropy.token(MADE_KEY_BYTES))),
        secondary=sent.secondary or (kept.secondary if kept else Secret(entropy.token(MADE_KEY_BYTES))),
    )


def _tpm(sent: TpmSent, present: Attestation | None) -> TpmKeys:
    kept = present if isinstance(present, TpmKeys) else None
    if sent.certificates:
        modulus = ek_certificates.modulus_of(sent.certificates[0], ENDORSEMENT_KEY)
        made = TpmKeys(endorsement_key(modulus), sent.storage_root)
    elif sent.endorsement is not None:
        made = TpmKeys(sent.endorsement, sent.storage_root)
    elif kept is not None:
        made = TpmKeys(kept.endorsement, sent.storage_root or kept.storage_root)
    else:
        raise Malformed(f"{ENDORSEMENT_KEY} is missing.", rule="attestation-missing")
    check_differ(made.endorsement, made.storage_root)
    return made


def _certificates(
    sent: CertificatesSent, present: Attestation | None
) -> LeafCertificates | SigningCertificates:
    kept = present if isinstance(present, LeafCertificates | SigningCertificates) else None
    primary = _certificate(sent.primary, kept.primary if kept else None, kept)
    if sent.secondary is None:
        return sent.kind(primary)
    return sent.kind(primary, _certificate(sent.secondary, kept.secondary if kept else None, kept))


def _certificate(
    sent: bytes | Kept, in_place: bytes | None, kept: LeafCertificates | SigningCertificates | None
) -> bytes:
    if isinstance(sent, bytes):
        return sent
    stored = (kept.primary, kept.secondary) if kept else ()
    if sent.sha256 is None and in_place is not None:
        return in_place
    for der in stored:
        # By thumbprint, so that primary and secondary can change places.
        if der is not None and sent.sha256 == hashlib.sha256(der).digest():
            return der
    raise Malformed(
        "A certificate was sent without its text, and none is stored that it could mean.",
        rule="certificate-missing",
    )
