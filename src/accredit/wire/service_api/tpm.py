"""`attestation.tpm` of individual enrollments: the endorsement key (EK) that was sent, and what is shown of it.

The EK comes as clients have it: the base64 of a TPM2B_PUBLIC, or the TPM's EK certificate, of which the key counts.
Whether such a certificate is a TPM vendor's is not judged here (`policy/ek_certificates.py`).
"""

from __future__ import annotations

from typing import Any

from accredit.domain.enrollment import TpmKeys
from accredit.domain.errors import Malformed
from accredit.domain.tpm import TpmKey
from accredit.values import dataclass
from accredit.wire.service_api.certificates import certificate_der, certificate_ders
from accredit.wire.tpm import key_of_text
from accredit.wire.tpm_documents import TpmDocument, document_of

ENDORSEMENT_KEY = "attestation.tpm.endorsementKey"

_DER = "MI"
"""How the base64 of a certificate of 128 bytes or more begins; a TPM2B_PUBLIC begins with its size."""


@dataclass(frozen=True, slots=True)
class TpmSent:
    """What was sent: the key, or its certificate and what came with it (DER, the certificate first); neither is to be kept."""

    endorsement: TpmKey | None
    storage_root: TpmKey | None
    certificates: tuple[bytes, ...] = ()


def read_tpm(document: TpmDocument | None) -> TpmSent:
    """Raises Malformed."""
    endorsement = document.endorsement_key if document else None
    root_text = document.storage_root_key if document else None
    storage_root = key_of_text(root_text, "attestation.tpm.storageRootKey") if root_text else None
    if not endorsement:
        return TpmSent(None, storage_root)
    if "-----BEGIN" in endorsement:
        return TpmSent(None, storage_root, tuple(certificate_ders(endorsement, ENDORSEMENT_KEY)))
    if endorsement.lstrip().startswith(_DER):
        return TpmSent(None, storage_root, (certificate_der(endorsement, ENDORSEMENT_KEY),))
    return TpmSent(key_of_text(endorsement, ENDORSEMENT_KEY), storage_root)


def check_differ(endorsement: TpmKey, storage_root: TpmKey | None) -> None:
    """Raises Malformed where the one was sent for the other."""
    if storage_root is not None and endorsement.modulus == storage_root.modulus:
        raise Malformed(
            "attestation.tpm.storageRootKey is the endorsement key; it may be left out.",
            rule="tpm-keys-equal",
        )


def tpm_document(keys: TpmKeys) -> dict[str, Any]:
    """As answers show it: public keys may be seen by all who see the enrollment."""
    return {"type": "tpm", "tpm": document_of(keys.endorsement, keys.storage_root)}
