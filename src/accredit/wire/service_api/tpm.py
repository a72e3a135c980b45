"""`attestation.tpm` of individual enrollments: the endorsement key (EK) that was sent, and what is shown of it.

The EK comes as clients have it: the base64 of a TPM2B_PUBLIC, or the TPM's EK certificate, of which the key counts.
Whether such a certificate is a TPM vendor's is not judged here (`policy/ek_certificates.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from accredit.domain.enrollment import TpmKeys
from accredit.domain.errors import Malformed
from accredit.domain.tpm import TpmKey
from accredit.wire.tpm import key_of_text
from accredit.wire.tpm_documents import TpmDocument, document_of

ENDORSEMENT_KEY = "attestation.tpm.endorsementKey"


@dataclass(frozen=True, slots=True)
class TpmSent:
    """What was sent; an endorsement key that is None is to be kept."""

    endorsement: TpmKey | None
    storage_root: TpmKey | None


def read_tpm(document: TpmDocument | None) -> TpmSent:
    """Raises Malformed."""
    endorsement = document.endorsement_key if document else None
    storage_root = document.storage_root_key if document else None
    sent = TpmSent(
        key_of_text(endorsement, ENDORSEMENT_KEY) if endorsement else None,
        key_of_text(storage_root, "attestation.tpm.storageRootKey") if storage_root else None,
    )
    if sent.endorsement and sent.storage_root and sent.endorsement.modulus == sent.storage_root.modulus:
        raise Malformed(
            "attestation.tpm.storageRootKey is the endorsement key; it may be left out.",
            rule="tpm-keys-equal",
        )
    return sent


def tpm_document(keys: TpmKeys) -> dict[str, Any]:
    """As answers show it: public keys may be seen by all who see the enrollment."""
    return {"type": "tpm", "tpm": document_of(keys.endorsement, keys.storage_root)}
