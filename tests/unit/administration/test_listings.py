"""Certificates and leaves: listed whole, found by serial and by hash, overtaken by the clock."""

from __future__ import annotations

import hashlib
from typing import Any

from accredit.domain.changes import AppendLeaf, RecordCertificate
from accredit.domain.credential import CertificateRecord, IssuedChain
from accredit.domain.ids import AuthorityName, DeviceId, RegistrationId
from accredit.domain.issuance_log import certificate_leaf, unknown_leaf
from accredit.values import replace
from accredit.wire.service_api.certificates import pem
from support import pki
from support.service_side import ServiceSide

ROOT = pki.root("root")
NOW = 1_800_000_000


def issued(name: str, authority: str = "builtin", **changed: Any) -> CertificateRecord:
    leaf = ROOT.issue(name, not_before=NOW - 60, not_after=NOW + 600)
    chain = IssuedChain(
        chain=(leaf.der, ROOT.der),
        serial=leaf.certificate.serial_number,
        not_before=NOW - 60,
        not_after=NOW + 600,
        sha256=hashlib.sha256(leaf.der).digest(),
        spki_sha256=hashlib.sha256(leaf.der + b"key").digest(),
    )
    return CertificateRecord(
        issued=replace(chain, **changed),
        authority=AuthorityName.parse(authority),
        authority_version="v1",
        profile="device",
        registration_id=RegistrationId.parse(name),
        device_id=DeviceId(name),
        enrollment_generation="gen",
        csr_sha256=b"c" * 32,
        operation_id="op",
        issued_at=NOW,
    )


async def recorded(side: ServiceSide, *records: CertificateRecord) -> None:
    await side.store.commit([RecordCertificate(record, shared_key=False) for record in records])


async def test_the_document(side: ServiceSide) -> None:
    record = issued("Dev-1", serial=0x0A0B)
    await recorded(side, record)
    answer = await side.call("GET", "/certificates")
    assert answer.json() == [
        {
            "serial": "0A0B",
            "sha256": record.issued.sha256.hex(),
            "authority": "builtin",
            "registrationId": "Dev-1",
            "deviceId": "Dev-1",
            "status": "unbound",
            "notBefore": "2027-01-15T07:59:00Z",
            "notAfter": "2027-01-15T08:10:00Z",
            "issuedAt": "2027-01-15T08:00:00.0000000Z",
            "enrollmentGeneration": "gen",
            "certificate": pem(record.issued.leaf) + ROOT.pem,
        }
    ]


async def test_of_one_registration(side: ServiceSide) -> None:
    await recorded(side, issued("a"), issued("b"), issued("a"))
    answer = await side.call("GET", "/certificates?registrationId=A")
    assert [row["registrationId"] for row in answer.json()] == ["a", "a"]
    assert (await side.call("GET", "/certificates?registrationId=a%20b")).status_code == 400


async def test_by_serial_in_any_spelling_and_by_hash(side: ServiceSide) -> None:
    record = issued("a", serial=0xABC)
    await recorded(side, record, issued("b"))
    for name in ("0ABC", "abc", "00000ABC", record.issued.sha256.hex(), record.issued.sha256.hex().upper()):
        answer = await side.call("GET", f"/certificates/{name}")
        assert answer.json()["registrationId"] == "a", name
    for name in ("0ABD", "ab" * 32):
        assert (await side.call("GET", f"/certificates/{name}")).status_code == 404
    assert (await side.call("GET", "/certificates/xyz")).status_code == 400


async def test_a_serial_that_two_authorities_used(side: ServiceSide) -> None:
    await recorded(side, issued("a", "one", serial=7), issued("b", "two", serial=7))
    assert (await side.call("GET", "/certificates/07")).status_code == 409
    assert (await side.call("GET", "/certificates/07?authority=Two")).json()["registrationId"] == "b"
    assert (await side.call("GET", "/certificates/07?authority=three")).status_code == 404


async def test_the_clock_ends_a_certificate(side: ServiceSide) -> None:
    await recorded(side, issued("a"))
    side.clock.advance(600)
    assert (await side.call("GET", "/certificates")).json()[0]["status"] == "unbound"
    side.clock.advance(1)
    assert (await side.call("GET", "/certificates")).json()[0]["status"] == "expired"


async def test_paging_shows_every_certificate_once(side: ServiceSide) -> None:
    await recorded(side, *(issued(f"d{number}") for number in range(5)))
    seen: list[str] = []
    headers = {"x-ms-max-item-count": "2"}
    while True:
        answer = await side.call("GET", "/certificates", headers=headers)
        seen += [row["registrationId"] for row in answer.json()]
        if "x-ms-continuation" not in answer.headers:
            break
        headers["x-ms-continuation"] = answer.headers["x-ms-continuation"]
    assert sorted(seen) == ["d0", "d1", "d2", "d3", "d4"]


async def test_leaves(side: ServiceSide) -> None:
    authority = AuthorityName.parse("builtin")
    one = certificate_leaf(authority, b"der", hashlib.sha256(b"der").digest(), NOW)
    two = unknown_leaf(authority, b"c" * 32, NOW + 1)
    await side.store.commit([AppendLeaf(one), AppendLeaf(two)])
    assert (await side.call("GET", "/issuanceLog/leaves")).json() == [
        {
            "kind": leaf.kind.name.lower(),
            "authority": "builtin",
            "sha256": leaf.sha256.hex(),
            "loggedAt": leaf.logged_at,
            "leafHash": leaf.leaf_hash.hex(),
        }
        for leaf in (one, two)
    ]
