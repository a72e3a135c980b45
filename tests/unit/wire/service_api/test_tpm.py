"""`attestation.tpm`: the forms in which an endorsement key comes, and what is shown of it."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from accredit.domain.enrollment import TpmKeys
from accredit.domain.errors import Malformed
from accredit.wire.service_api.tpm import TpmSent, check_differ, read_tpm, tpm_document
from accredit.wire.tpm import text_of
from accredit.wire.tpm_documents import TpmDocument
from support import pki
from support.tpm_device import TpmDevice

TPM = TpmDevice()
EK = text_of(TPM.endorsement)
SRK = text_of(TPM.storage_root)
VENDOR = pki.root("vendor")
CERTIFICATE = VENDOR.issue("EK")


def test_a_key() -> None:
    assert read_tpm(TpmDocument(EK, SRK)) == TpmSent(TPM.endorsement, TPM.storage_root)
    assert read_tpm(TpmDocument(EK)) == TpmSent(TPM.endorsement, None)


@pytest.mark.parametrize("document", [None, TpmDocument(), TpmDocument("")])
def test_a_key_that_is_to_be_kept(document: TpmDocument | None) -> None:
    assert read_tpm(document) == TpmSent(None, None)


@pytest.mark.parametrize(
    ("text", "certificates"),
    [
        (base64.b64encode(CERTIFICATE.der).decode(), (CERTIFICATE.der,)),
        ("\n" + base64.encodebytes(CERTIFICATE.der).decode(), (CERTIFICATE.der,)),
        (CERTIFICATE.pem, (CERTIFICATE.der,)),
        (CERTIFICATE.pem + VENDOR.pem, (CERTIFICATE.der, VENDOR.der)),
    ],
    ids=["base64", "base64 in lines", "pem", "with its issuer"],
)
def test_its_certificate(text: str, certificates: tuple[bytes, ...]) -> None:
    assert read_tpm(TpmDocument(text, SRK)) == TpmSent(None, TPM.storage_root, certificates)


@pytest.mark.parametrize(
    ("document", "rule"),
    [
        (TpmDocument("x"), "tpm-structure"),
        (TpmDocument(EK, "x"), "tpm-structure"),
        (TpmDocument("MIIA"), "certificate-unreadable"),
        (TpmDocument("-----BEGIN X-----"), "certificate-unreadable"),
    ],
)
def test_what_is_neither(document: TpmDocument, rule: str) -> None:
    with pytest.raises(Malformed) as refused:
        read_tpm(document)
    assert refused.value.rule == rule


def test_one_key_is_not_sent_for_the_other() -> None:
    check_differ(TPM.endorsement, TPM.storage_root)
    check_differ(TPM.endorsement, None)
    with pytest.raises(Malformed) as refused:
        check_differ(TPM.endorsement, TPM.endorsement)
    assert refused.value.rule == "tpm-keys-equal"


@pytest.mark.parametrize(
    ("keys", "members"),
    [
        (TpmKeys(TPM.endorsement), {"endorsementKey": EK}),
        (TpmKeys(TPM.endorsement, TPM.storage_root), {"endorsementKey": EK, "storageRootKey": SRK}),
    ],
)
def test_public_keys_are_shown(keys: TpmKeys, members: dict[str, Any]) -> None:
    assert tpm_document(keys) == {"type": "tpm", "tpm": members}
