"""Uploaded CA certificates as documents."""

from __future__ import annotations

import base64
import json
from contextlib import suppress
from typing import Any

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.ca_certificate import Purpose, VerificationCode
from accredit.domain.errors import Malformed
from accredit.wire.service_api.ca_certificates import (
    CaCertificateSent,
    ca_certificate_document,
    read_ca_certificate,
    read_verification,
)
from support import pki
from support import stored_values as some

PLANT = pki.root("Plant")


def read(**members: Any) -> CaCertificateSent:
    return read_ca_certificate(json.dumps({"certificate": PLANT.pem, **members}).encode())


def test_the_least() -> None:
    assert read() == CaCertificateSent(PLANT.der, Purpose.X509, None)


def test_every_member() -> None:
    text = base64.b64encode(PLANT.der).decode()
    sent = read(certificate=text, purpose="TPMVendorRoot", isVerified=False, name="ignored")
    assert sent == CaCertificateSent(PLANT.der, Purpose.TPM_VENDOR_ROOT, verified=False)


@pytest.mark.parametrize(
    ("members", "rule"),
    [
        ({"certificate": None}, "document-invalid"),
        ({"certificate": "x"}, "certificate-unreadable"),
        ({"certificate": PLANT.pem * 2}, "certificate-count"),
        ({"certificate": PLANT.issue("dev-1").pem}, "signing-not-a-ca"),
        ({"isVerified": "yes"}, "document-invalid"),
        ({"purpose": "anything"}, "ca-certificate-purpose"),
    ],
)
def test_refusals(members: dict[str, Any], rule: str) -> None:
    with pytest.raises(Malformed) as refused:
        read(**members)
    assert refused.value.rule == rule


def test_what_a_get_showed_can_be_sent_back() -> None:
    shown = ca_certificate_document(some.ca_certificate(root=PLANT.der))
    assert read(**shown) == CaCertificateSent(PLANT.der, Purpose.X509, verified=True)


@given(
    st.binary(max_size=80) | st.text(max_size=60).map(lambda text: json.dumps({"certificate": text}).encode())
)
def test_only_malformed_leaves(body: bytes) -> None:
    for reader in (read_ca_certificate, read_verification):
        with suppress(Malformed):
            reader(body)


def test_the_document_shows_the_code_where_it_was_made_alone() -> None:
    record = some.ca_certificate(root=PLANT.der, verified=False, code=VerificationCode("C0DE", 1_800_000_000))
    shown = ca_certificate_document(record)
    assert shown.keys() == {
        "name", "certificate", "info", "purpose", "isVerified", "etag", "createdDateTimeUtc", "lastUpdatedDateTimeUtc",
    }  # fmt: skip
    assert x509.load_pem_x509_certificate(shown["certificate"].encode()) == PLANT.certificate
    with_code = ca_certificate_document(record, code_shown=True)
    assert {name: with_code[name] for name in with_code.keys() - shown.keys()} == {
        "verificationCode": "C0DE",
        "verificationCodeExpiryUtc": "2027-01-15T08:00:00.0000000Z",
    }
