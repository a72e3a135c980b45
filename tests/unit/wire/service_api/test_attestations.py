"""What an enrollment's `attestation` may say, and what is shown of it."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import msgspec
import pytest

from accredit.domain.enrollment import EnrollmentKind, LeafCertificates, SigningCertificates
from accredit.domain.errors import Malformed
from accredit.wire.service_api.attestations import (
    AttestationDocument,
    AttestationSent,
    CertificatesSent,
    Kept,
    ReferencesSent,
    attestation_document,
    read_attestation,
)
from accredit.wire.service_api.certificates import certificate_info
from support import pki

ROOT = pki.root("root")
LEAF = ROOT.issue("Dev-1")


def read_as(kind: EnrollmentKind, document: dict[str, Any]) -> AttestationSent:
    return read_attestation(msgspec.json.decode(json.dumps(document), type=AttestationDocument), kind)


def individual(document: dict[str, Any]) -> AttestationSent:
    return read_as(EnrollmentKind.INDIVIDUAL, document)


def group(document: dict[str, Any]) -> AttestationSent:
    return read_as(EnrollmentKind.GROUP, document)


def client_certificates(text: str) -> dict[str, Any]:
    return {"type": "x509", "x509": {"clientCertificates": {"primary": {"certificate": text}}}}


def signing_certificates(text: str) -> dict[str, Any]:
    return {"type": "x509", "x509": {"signingCertificates": {"primary": {"certificate": text}}}}


def test_a_secondary_certificate_is_shown_beside_the_primary() -> None:
    shown = attestation_document(LeafCertificates(LEAF.der, ROOT.der), keys_shown=False)
    pair = shown["x509"]["clientCertificates"]
    assert {place: one["info"]["subjectName"] for place, one in pair.items()} == {
        "primary": "CN=Dev-1",
        "secondary": "CN=root",
    }


class TestCaReferences:
    """`x509.caReferences`, of both kinds: names of uploaded CA certificates."""

    @pytest.mark.parametrize(
        ("sent", "names"),
        [
            ({"primary": "Plant"}, ["Plant"]),
            ({"primary": "Plant", "secondary": None}, ["Plant"]),
            ({"primary": "Plant", "secondary": ""}, ["Plant"]),
            ({"primary": "Plant", "secondary": "Plant-2"}, ["Plant", "Plant-2"]),
        ],
    )
    @pytest.mark.parametrize("read", [individual, group])
    def test_read_and_shown(self, read: Any, sent: dict[str, Any], names: list[str]) -> None:
        attestation = read({"type": "x509", "x509": {"caReferences": sent}})
        assert isinstance(attestation, ReferencesSent)
        assert [name.text for name in attestation.references.names] == names
        shown = attestation_document(attestation.references, keys_shown=True)
        places = dict(zip(("primary", "secondary"), names, strict=False))
        assert shown == {"type": "x509", "x509": {"caReferences": places}}


class TestCertificates:
    @pytest.mark.parametrize(
        "text",
        [
            LEAF.pem,
            LEAF.pem.replace("\n", "\r\n"),
            "\n" + LEAF.pem + "\n",
            base64.b64encode(LEAF.der).decode(),
            base64.encodebytes(LEAF.der).decode(),
        ],
        ids=["pem", "crlf", "padded", "one line", "lines"],
    )
    def test_forms(self, text: str) -> None:
        sent = individual(client_certificates(text))
        assert sent == CertificatesSent(LeafCertificates, LEAF.der, None)

    def test_a_groups_signing_certificates(self) -> None:
        other = pki.root("other")
        attestation = signing_certificates(ROOT.pem)
        attestation["x509"]["signingCertificates"]["secondary"] = {"certificate": other.pem}
        assert group(attestation) == CertificatesSent(SigningCertificates, ROOT.der, other.der)

    @pytest.mark.parametrize(
        "secondary", [None, {}, {"certificate": ""}, {"certificate": None, "info": None}]
    )
    def test_an_empty_secondary_is_none(self, secondary: Any) -> None:
        attestation = client_certificates(LEAF.pem)
        attestation["x509"]["clientCertificates"]["secondary"] = secondary
        assert individual(attestation) == CertificatesSent(LeafCertificates, LEAF.der, None)

    def test_info_alone_stands_for_the_stored_one(self) -> None:
        attestation = client_certificates("")
        attestation["x509"]["clientCertificates"]["primary"] = {"info": certificate_info(LEAF.der)}
        digest = hashlib.sha256(LEAF.der).digest()
        assert individual(attestation) == CertificatesSent(LeafCertificates, Kept(digest), None)

    @pytest.mark.parametrize(
        ("text", "rule"),
        [
            (LEAF.pem + ROOT.pem, "certificate-count"),
            ("hello", "certificate-unreadable"),
            ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate-unreadable"),
            (base64.b64encode(LEAF.der[:-1]).decode(), "certificate-unreadable"),
            (
                LEAF.pem + "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
                "certificate-private-key",
            ),
            ("A" * 17_000, "certificate-size"),
        ],
    )
    def test_refusals(self, text: str, rule: str) -> None:
        with pytest.raises(Malformed) as refused:
            individual(client_certificates(text))
        assert refused.value.rule == rule

    @pytest.mark.parametrize("certificate", [LEAF, ROOT.issue("no basic constraints", basic=False)])
    def test_a_signing_certificate_is_a_ca(self, certificate: pki.Entity) -> None:
        with pytest.raises(Malformed) as refused:
            group(signing_certificates(certificate.pem))
        assert refused.value.rule == "signing-not-a-ca"

    def test_a_thumbprint_that_is_none(self) -> None:
        attestation = client_certificates("")
        attestation["x509"]["clientCertificates"]["primary"] = {"info": {"sha256Thumbprint": "zz"}}
        with pytest.raises(Malformed):
            individual(attestation)
