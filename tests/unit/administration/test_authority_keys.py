"""Rotation, activation and revocation of issuing CAs through the service API."""

from __future__ import annotations

import pytest
from cryptography import x509

from accredit.ca.points import key_id
from accredit.domain.ids import AuthorityName
from support import pki
from support.service_side import ServiceSide

PATH = "/certificateAuthorities/plant"


async def made(side: ServiceSide, **members: str) -> dict:
    body = {"certificateAuthorityType": "BuiltIn", **members}
    return (await side.call("PUT", PATH, body)).json()


async def version(side: ServiceSide) -> str:
    record = await side.store.authority(AuthorityName.parse("plant"))
    assert record is not None
    return record.version


async def test_a_rotation_keeps_the_version(side: ServiceSide) -> None:
    first = await made(side)
    before = await version(side)
    second = (await side.call("POST", f"{PATH}/rotate", {}, etag=first["etag"])).json()
    assert second["certificates"][0] != first["certificates"][0]
    assert second["certificates"][1] == first["certificates"][1]
    assert second["earlierIssuers"][0]["certificates"] == first["certificates"]
    assert await version(side) == before
    assert "PRIVATE" not in str(second)
    assert (await side.call("POST", f"{PATH}/rotate", {}, etag=first["etag"])).status_code == 412
    third = (await side.call("POST", f"{PATH}/rotate", {"algorithm": "P-384", "newRoot": True})).json()
    assert third["certificates"][1] != first["certificates"][1]
    assert third["algorithm"] == "P-384"


async def test_a_revoked_issuer_is_another_version(side: ServiceSide) -> None:
    shown = await made(side)
    before = await version(side)
    key = key_id(x509.load_pem_x509_certificate(shown["certificates"][0].encode()))
    revoked = (
        await side.call("POST", f"{PATH}/revokeIssuer", {"keyId": key, "reason": "cACompromise"})
    ).json()
    assert (revoked["certificates"], revoked["earlierIssuers"][0]["reason"]) == ([], "cACompromise")
    assert await version(side) != before
    assert (await side.call("POST", f"{PATH}/revokeIssuer", {"keyId": "00"})).status_code == 404
    assert len((await side.call("POST", f"{PATH}/rotate", {})).json()["certificates"]) == 2


async def test_an_offline_root(side: ServiceSide) -> None:
    shown = await made(side, root="offline", algorithm="P-384")
    assert shown["certificates"] == []
    assert x509.load_pem_x509_csr(shown["request"].encode()).is_signature_valid
    refused = await side.call("POST", f"{PATH}/activate", {"certificate": pki.root("A").pem})
    assert (refused.status_code, "1 certificates" in refused.json()["message"]) == (400, True)
    fixed = await side.call("PUT", PATH, {"certificateAuthorityType": "BuiltIn", "root": "online"}, etag="*")
    assert (fixed.status_code, "replace" in fixed.json()["message"]) == (409, True)
    again = {"certificateAuthorityType": "BuiltIn", "root": "offline", "algorithm": "P-384"}
    assert (await side.call("PUT", PATH, again, etag="*")).json()["request"] == shown["request"]


@pytest.mark.parametrize("members", [{"root": "nowhere"}, {"algorithm": "P-521"}])
async def test_what_no_ca_is_made_of(side: ServiceSide, members: dict[str, str]) -> None:
    body = {"certificateAuthorityType": "BuiltIn", **members}
    assert (await side.call("PUT", PATH, body)).status_code == 400


async def test_the_keys_of_an_outside_authority(side: ServiceSide) -> None:
    body = {"certificateAuthorityType": "DigiCertCertificateAuthority", "apiKey": "k", "profileName": "p"}
    await side.call("PUT", PATH, body)
    assert (await side.call("POST", f"{PATH}/rotate", {})).status_code == 409
    assert (await side.call("POST", "/certificateAuthorities/none/rotate", {})).status_code == 404


class TestInAToken:
    async def test_a_ca_says_in_which_token_its_newest_key_is(self, side: ServiceSide) -> None:
        shown = await made(side, tokenLabel="hsm")
        assert shown["tokenLabel"] == "hsm"
        assert shown["keyLabel"].startswith("plant issuing")
        body = {"certificateAuthorityType": "BuiltIn", "tokenLabel": "hsm"}
        again = (await side.call("PUT", PATH, body, etag="*")).json()
        assert again["certificates"] == shown["certificates"]
        other = await side.call("PUT", PATH, {**body, "tokenLabel": "elsewhere"}, etag="*")
        assert (other.status_code, "can't be changed" in other.json()["message"]) == (409, True)

    async def test_into_a_token_and_out_of_it(self, side: ServiceSide) -> None:
        first = await made(side)
        inside = (await side.call("POST", f"{PATH}/rotate", {"tokenLabel": "hsm"})).json()
        assert (inside["tokenLabel"], inside["certificates"][1]) == ("hsm", first["certificates"][1])
        stays = (await side.call("POST", f"{PATH}/rotate", {})).json()
        assert stays["tokenLabel"] == "hsm"
        assert stays["keyLabel"] != inside["keyLabel"]
        outside = (await side.call("POST", f"{PATH}/rotate", {"tokenLabel": ""})).json()
        assert "tokenLabel" not in outside
        assert len(outside["earlierIssuers"]) == 3

    async def test_a_key_that_is_there_brings_its_kind(self, side: ServiceSide) -> None:
        side.hsm.make("hsm", "mine", "P-384")
        shown = await made(side, tokenLabel="hsm", keyLabel="mine", root="offline")
        assert (shown["algorithm"], shown["keyLabel"]) == ("P-384", "mine")
        assert x509.load_pem_x509_csr(shown["request"].encode()).is_signature_valid

    @pytest.mark.parametrize(
        ("members", "reason"),
        [
            ({"keyLabel": "mine"}, "keyLabel needs tokenLabel"),
            ({"tokenLabel": "hsm", "algorithm": "ML-DSA-44"}, "which a key in a token may be"),
            ({"tokenLabel": "hsm", "algorithm": "P-256", "keyLabel": "mine"}, "is P-384, not P-256"),
        ],
    )
    async def test_what_does_not_fit_is_refused(
        self, side: ServiceSide, members: dict[str, str], reason: str
    ) -> None:
        side.hsm.make("hsm", "mine", "P-384")
        refused = await side.call("PUT", PATH, {"certificateAuthorityType": "BuiltIn", **members})
        assert (refused.status_code, reason in refused.json()["message"]) == (400, True), refused.text

    async def test_one_key_is_one_issuing_ca_s(self, side: ServiceSide) -> None:
        shown = await made(side, tokenLabel="hsm")
        same = {"tokenLabel": "hsm", "keyLabel": shown["keyLabel"]}
        refused = await side.call("POST", f"{PATH}/rotate", same)
        assert (refused.status_code, "already" in refused.json()["message"]) == (400, True)

    async def test_a_token_that_is_away_changes_nothing(self, side: ServiceSide) -> None:
        shown = await made(side, tokenLabel="hsm")
        side.hsm.away = True
        refused = await side.call("POST", f"{PATH}/rotate", {})
        assert refused.status_code == 503
        assert (await side.call("GET", PATH)).json()["etag"] == shown["etag"]
