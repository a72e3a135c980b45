"""Certificates and leaves as listings show them, and the names they are asked for by."""

from __future__ import annotations

import pytest

from accredit.domain.credential import CertificateStatus, RevocationReason, Revoked
from accredit.domain.errors import Malformed
from accredit.domain.issuance_log import certificate_leaf
from accredit.values import replace
from accredit.wire.service_api.issuance_log import certificate_document, leaf_document, read_serial, status_of
from support import pki
from support import stored_values as some


def test_names_of_certificates() -> None:
    assert read_serial("00fF") == 255
    assert read_serial("ab" * 32) == b"\xab" * 32


@pytest.mark.parametrize("text", ["", "xyz", "0x12", "1" * 41, "1" * 63, "1" * 65, "-1", "1_0"])
def test_what_names_no_certificate(text: str) -> None:
    with pytest.raises(Malformed):
        read_serial(text)


LEAF = pki.root("CA").issue("Pump-1")
RECORD = some.certificate("Pump-1", serial=0xABC, above=())
REVOKED = replace(
    RECORD,
    status=CertificateStatus.REVOKED,
    revocation=Revoked(0xABC, some.NOW + 5, RevocationReason.SUPERSEDED),
)


def test_the_clock_overtakes_every_status_but_a_revocation() -> None:
    active = replace(RECORD, status=CertificateStatus.ACTIVE)
    end = RECORD.issued.not_after
    assert [status_of(active, now) for now in (some.NOW, end, end + 1)] == ["active", "active", "expired"]
    assert status_of(REVOKED, end + 1) is CertificateStatus.REVOKED


def test_a_certificate() -> None:
    chain = replace(RECORD.issued, chain=LEAF.chain)
    shown = certificate_document(replace(RECORD, issued=chain, status=CertificateStatus.ACTIVE), some.NOW)
    assert shown == {
        "serial": "0ABC",
        "sha256": RECORD.issued.sha256.hex(),
        "authority": "builtin",
        "registrationId": "Pump-1",
        "deviceId": "Pump-1",
        "status": "active",
        "notBefore": "2027-01-15T08:00:00Z",
        "notAfter": "2027-02-14T08:00:00Z",
        "issuedAt": "2027-01-15T08:00:00.0000000Z",
        "enrollmentGeneration": "g1",
        "certificate": LEAF.pem + LEAF.issuer.pem,
    }


def test_a_revoked_one_says_when_and_why() -> None:
    shown = certificate_document(REVOKED, some.NOW)
    assert shown["revokedAt"] == "2027-01-15T08:00:05.0000000Z"
    assert (shown["status"], shown["revocationReason"]) == ("revoked", "superseded")


def test_a_leaf() -> None:
    leaf = certificate_leaf(some.BUILTIN, b"der", b"s" * 32, 7)
    assert leaf_document(leaf) == {
        "kind": "certificate",
        "authority": "builtin",
        "sha256": "73" * 32,
        "loggedAt": 7,
        "leafHash": leaf.leaf_hash.hex(),
    }
