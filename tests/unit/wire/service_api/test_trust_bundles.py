"""Trust bundle documents: what is sent, and what an operator and a device are shown."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from accredit.domain.errors import Malformed
from accredit.domain.ids import TrustBundleName
from accredit.domain.trust_bundle import TrustBundle
from accredit.values import replace
from accredit.wire.service_api.trust_bundles import (
    read_trust_bundle,
    trust_bundle_document,
    trust_bundle_json,
)
from support import pki

NAME = TrustBundleName.parse("Roots")
ONE, TWO = pki.root("One"), pki.root("Two")
BUNDLE = TrustBundle(NAME, (ONE.der, TWO.der), "b1", 1_700_000_000, 1_800_000_000)


def body(*certificates: str, **members: object) -> bytes:
    return json.dumps({"certificates": [{"certificate": each} for each in certificates], **members}).encode()


def rule_of(sent: bytes) -> str:
    with pytest.raises(Malformed) as refused:
        read_trust_bundle(sent, NAME)
    return refused.value.rule


def test_each_entry_is_one_certificate_in_its_order() -> None:
    assert read_trust_bundle(body(TWO.pem, ONE.pem), NAME) == (TWO.der, ONE.der)


def test_what_a_get_showed_can_be_sent_back() -> None:
    assert read_trust_bundle(trust_bundle_json(BUNDLE), NAME) == BUNDLE.certificates


@pytest.mark.parametrize(
    ("sent", "rule"),
    [
        (b"{}", "document-invalid"),
        (b'{"certificates":{}}', "document-invalid"),
        (b'{"certificates":[{}]}', "document-invalid"),
        (b'{"certificates":[null]}', "document-invalid"),
        (body(), "trust-bundle-empty"),
        (body(""), "certificate-unreadable"),
        (body("hello"), "certificate-unreadable"),
        (body(ONE.pem + TWO.pem), "certificate-count"),
        (body(ONE.pem, id="other"), "id-mismatch"),
        (body("-----BEGIN PRIVATE KEY-----"), "certificate-private-key"),
    ],
)
def test_refusals(sent: bytes, rule: str) -> None:
    assert rule_of(sent) == rule


def test_the_refusal_names_the_entry() -> None:
    with pytest.raises(Malformed, match=r"certificates\[1\]\.certificate"):
        read_trust_bundle(body(ONE.pem, "x"), NAME)


@given(st.binary(max_size=80) | st.text(max_size=80).map(body))
def test_only_malformed_leaves(sent: bytes) -> None:
    with suppress(Malformed):
        read_trust_bundle(sent, NAME)


def test_the_document() -> None:
    shown = trust_bundle_document(BUNDLE)
    assert {name: shown[name] for name in shown if name != "certificates"} == {
        "id": "Roots",
        "createdDateTime": "2023-11-14T22:13:20.0000000Z",
        "lastModifiedDateTime": "2027-01-15T08:00:00.0000000Z",
        "etag": '"b1"',
    }
    first = shown["certificates"][0]
    assert x509.load_pem_x509_certificate(first["certificate"].encode()) == ONE.certificate
    assert first["metadata"].keys() == {
        "subjectName", "sha1Thumbprint", "sha256Thumbprint", "issuerName", "notBeforeUtc", "notAfterUtc",
        "serialNumber", "version",
    }  # fmt: skip


def test_another_state_of_a_bundle_is_another_document() -> None:
    assert trust_bundle_json(BUNDLE) == trust_bundle_json(replace(BUNDLE))
    assert json.loads(trust_bundle_json(replace(BUNDLE, etag="b2")))["etag"] == '"b2"'
