"""The `tpm` member: both keys of a device, and what is shown of an enrollment's."""

from __future__ import annotations

import pytest

from accredit.domain.errors import Malformed
from accredit.wire.tpm import text_of
from accredit.wire.tpm_documents import TpmDocument, document_of, keys_of
from support.tpm_device import TpmDevice

TPM = TpmDevice()
EK, SRK = text_of(TPM.endorsement), text_of(TPM.storage_root)


def test_read_as_they_are_shown() -> None:
    shown = document_of(TPM.endorsement, TPM.storage_root)
    assert shown == {"endorsementKey": EK, "storageRootKey": SRK}
    assert keys_of(TpmDocument(EK, SRK)) == (TPM.endorsement, TPM.storage_root)


def test_a_storage_root_key_that_nobody_named_is_not_shown() -> None:
    assert document_of(TPM.endorsement, None) == {"endorsementKey": EK}


@pytest.mark.parametrize(
    ("document", "member"),
    [
        (TpmDocument(None, SRK), "tpm.endorsementKey"),
        (TpmDocument("", SRK), "tpm.endorsementKey"),
        (TpmDocument(EK), "tpm.storageRootKey"),
        (TpmDocument(EK, "?"), "tpm.storageRootKey"),
    ],
)
def test_a_device_sends_both(document: TpmDocument, member: str) -> None:
    with pytest.raises(Malformed, match=member) as refused:
        keys_of(document)
    assert refused.value.rule == "tpm-structure"
