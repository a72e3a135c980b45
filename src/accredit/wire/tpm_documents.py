"""The `tpm` member of JSON documents, of devices and operators alike: an endorsement key and a storage root key."""

from __future__ import annotations

import msgspec

from accredit.domain.tpm import TpmKey
from accredit.wire.tpm import key_of_text, text_of


class TpmDocument(msgspec.Struct, rename="camel"):
    """TpmAttestation of the service API, and of the device API: base64 of a TPM2B_PUBLIC each."""

    endorsement_key: str | None = None
    storage_root_key: str | None = None


def keys_of(document: TpmDocument) -> tuple[TpmKey, TpmKey]:
    """Both keys, as a device must send them. Raises Malformed."""
    return (
        key_of_text(document.endorsement_key or "", "tpm.endorsementKey"),
        key_of_text(document.storage_root_key or "", "tpm.storageRootKey"),
    )


def document_of(endorsement: TpmKey, storage_root: TpmKey | None) -> dict[str, str]:
    members = {"endorsementKey": text_of(endorsement)}
    return members if storage_root is None else members | {"storageRootKey": text_of(storage_root)}
