"""Certificate authorities: their members, what a replace keeps, what a delete needs."""

from __future__ import annotations

from typing import Any

import pytest

from accredit.domain.authority import AuthorityRecord
from accredit.domain.errors import UpstreamRejected, UpstreamUnavailable
from accredit.domain.ids import AuthorityName
from accredit.interfaces import Standing
from support import pki
from support.service_side import ServiceSide

DIGICERT = {
    "certificateAuthorityType": "DigiCertCertificateAuthority",
    "apiKey": "k3y",
    "profileName": "profile-1",
}
PATH = "/certificateAuthorities/ca-1"


async def record(side: ServiceSide) -> AuthorityRecord:
    stored = await side.store.authority(AuthorityName.parse("ca-1"))
    assert stored is not None
    return stored


async def test_a_built_in_authority_is_founded_once(side: ServiceSide) -> None:
    first = (await side.put(PATH)).json()
    before = await record(side)
    side.clock.advance(5)
    second = (await side.put(PATH, etag="*")).json()
    after = await record(side)
    assert first["certificates"] == second["certificates"]
    assert len(first["certificates"]) == 2
    assert after.secrets == before.secrets
    assert after.version != before.version
    assert first["createdDateTimeUtc"] == second["createdDateTimeUtc"] != second["lastUpdatedDateTimeUtc"]


async def test_the_document(side: ServiceSide) -> None:
    members = {"trustAnchors": pki.root("a").pem + pki.root("b").pem, "maxValidityDays": 30}
    shown = (await side.put(PATH, **DIGICERT, **members)).json()
    assert shown == (await side.call("GET", PATH)).json()
    assert shown == {
        "name": "ca-1",
        "certificateAuthorityType": "DigiCertCertificateAuthority",
        "profileName": "profile-1",
        **members,
        "etag": shown["etag"],
        "createdDateTimeUtc": "2027-01-15T08:00:00.0000000Z",
        "lastUpdatedDateTimeUtc": "2027-01-15T08:00:00.0000000Z",
    }


@pytest.mark.parametrize("sent", [{}, {"apiKey": ""}, {"apiKey": None}])
async def test_a_replace_without_the_api_key_keeps_it(side: ServiceSide, sent: dict[str, Any]) -> None:
    await side.put(PATH, **DIGICERT)
    members = {**DIGICERT, "profileName": "profile-2", "apiKey": None, **sent}
    assert (await side.put(PATH, etag="*", **members)).status_code == 200
    stored = await record(side)
    assert stored.settings == {"profileName": "profile-2"}
    assert stored.secrets["apiKey"].reveal() == b"k3y"


async def test_a_replace_with_an_api_key_takes_it(side: ServiceSide) -> None:
    await side.put(PATH, **DIGICERT)
    await side.put(PATH, etag="*", **{**DIGICERT, "apiKey": "n3w"})
    assert (await record(side)).secrets["apiKey"].reveal() == b"n3w"


@pytest.mark.parametrize(
    "members",
    [
        {"certificateAuthorityType": "Unheard"},
        {"certificateAuthorityType": "digicertcertificateauthority"},
        {"apiKey": None},
        {"apiKey": "two words"},
        {"apiKey": "line\r\nbreak"},
        {"apiKey": "ключ"},
        {"apiKey": "x" * 600},
        {"apiKey": 5},
        {"profileName": None},
        {"profileName": ""},
        {"profileName": "a\nb"},
        {"profileName": 7},
        {"trustAnchors": "hello"},
        {"trustAnchors": 1},
        {"trustAnchors": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"},
        {"trustAnchors": "x" * 70_000},
        {"trustAnchors": pki.root("a").pem * 11},
        {"maxValidityDays": 0},
        {"maxValidityDays": -1},
        {"maxValidityDays": 36_501},
        {"maxValidityDays": "30"},
    ],
    ids=lambda members: str(members)[:50],
)
async def test_refusals(side: ServiceSide, members: dict[str, Any]) -> None:
    answer = await side.put(PATH, **{**DIGICERT, **members})
    assert answer.status_code == 400
    assert "k3y" not in answer.text
    assert (await side.call("GET", PATH)).status_code == 404


OTHERS = [
    (
        {
            "certificateAuthorityType": "Cmp",
            "url": "https://ca.example/cmp",
            "reference": 4787,
            "recipient": "CN=A",
        },
        {"secret": "s3cret"},
        {"reference": "4787"},
    ),
    (
        {
            "certificateAuthorityType": "AwsPrivateCa",
            "arn": "arn:aws:acm-pca:x",
            "accessKeyId": "AKIA",
            "region": "x",
        },
        {"secretAccessKey": "s3cret"},
        {},
    ),
    (
        {
            "certificateAuthorityType": "Ejbca",
            "url": "https://ca.example",
            "certificateProfile": "Device",
            "endEntityProfile": "Fleet",
            "certificateAuthority": "CA",
            "clientCertificate": pki.root("a").pem,
        },
        {"clientKey": "-----BEGIN s3cret-----"},
        {},
    ),
    (
        {
            "certificateAuthorityType": "DigiCertCertificateAuthority",
            "flavour": "certcentral",
            "profileName": "product",
            "organizationId": 4711,
        },
        {"apiKey": "s3cret"},
        {"organizationId": "4711"},
    ),
]


@pytest.mark.parametrize(("settings", "secrets", "stored_as"), OTHERS, ids=range(len(OTHERS)))
async def test_the_members_of_other_types(
    side: ServiceSide, settings: dict[str, Any], secrets: dict[str, str], stored_as: dict[str, str]
) -> None:
    answer = await side.put(PATH, **settings, **secrets)
    assert answer.status_code == 200, answer.text
    assert "s3cret" not in answer.text + (await side.call("GET", PATH)).text
    stored = await record(side)
    wanted = {name: value for name, value in settings.items() if name != "certificateAuthorityType"}
    assert stored.settings == {**wanted, **stored_as}
    assert {name: value.reveal().decode() for name, value in stored.secrets.items()} == secrets
    for name in secrets:
        refused = await side.put("/certificateAuthorities/ca-2", **settings)
        assert refused.status_code == 400
        assert name in refused.json()["message"]


@pytest.mark.parametrize("flavour", ["two", "ONE", 1])
async def test_a_flavour_that_there_is_not(side: ServiceSide, flavour: Any) -> None:
    answer = await side.put(PATH, **DIGICERT, flavour=flavour)
    assert answer.status_code == 400
    assert "one, mpki, certcentral" in answer.json()["message"]


async def test_the_type_does_not_change(side: ServiceSide) -> None:
    await side.put(PATH)
    assert (await side.put(PATH, etag="*", **DIGICERT)).status_code == 409
    assert (await record(side)).type == "BuiltIn"


async def test_an_authority_that_is_named_is_not_deleted(side: ServiceSide) -> None:
    await side.put(PATH)
    policy = {"certificateAuthorityName": "CA-1"}
    await side.put("/enrollments/dev-1", clientCertificateIssuancePolicy=policy)
    await side.put("/enrollmentGroups/line-1", clientCertificateIssuancePolicy=policy)
    refused = await side.call("DELETE", PATH)
    assert refused.status_code == 409
    assert "2" in refused.json()["message"]
    await side.call("DELETE", "/enrollments/dev-1")
    assert (await side.call("DELETE", PATH, etag="*")).status_code == 409
    await side.put("/enrollmentGroups/line-1", etag="*")
    assert (await side.call("DELETE", PATH)).status_code == 204


async def test_a_stored_secret_is_not_sent_to_another_address(side: ServiceSide) -> None:
    await side.put(PATH, **DIGICERT)
    moved = {**DIGICERT, "apiKey": None, "baseUrl": "https://elsewhere.example"}
    refused = await side.put(PATH, etag="*", **moved)
    assert refused.status_code == 400
    assert "apiKey again, because its address changed" in refused.json()["message"]
    assert "baseUrl" not in (await record(side)).settings
    assert (await side.put(PATH, etag="*", **{**moved, "apiKey": "new"})).status_code == 200


@pytest.mark.parametrize(
    "failure",
    [
        UpstreamUnavailable(
            "The CA can't be reached: nobody listens.", rule="ca-unavailable", retry_after_s=2
        ),
        UpstreamRejected("The CA answered 401.", rule="ca-credentials"),
    ],
)
async def test_a_ca_that_would_not_take_orders_is_not_stored(side: ServiceSide, failure: Any) -> None:
    side.cas.outcome = failure
    refused = await side.put(PATH, **DIGICERT)
    assert refused.status_code == 400
    assert failure.message.removesuffix(".") in refused.json()["message"]
    assert await side.store.authority(AuthorityName.parse("ca-1")) is None


async def test_a_replace_that_the_ca_refuses_leaves_the_old_one(side: ServiceSide) -> None:
    await side.put(PATH, **DIGICERT)
    before = await record(side)
    side.cas.outcome = UpstreamRejected("The CA answered 403.", rule="ca-credentials")
    assert (await side.put(PATH, etag="*", **DIGICERT, maxValidityDays=7)).status_code == 400
    assert await record(side) == before


async def test_how_it_stands_is_shown_with_it(side: ServiceSide) -> None:
    root = pki.root("Issuing")
    side.cas.outcome = Standing((root.der,), ("lookUp", "revoke"))
    assert "health" not in (await side.put(PATH, **DIGICERT)).json()
    shown = (await side.call("GET", PATH)).json()
    assert shown["health"] == {"status": "healthy", "checkedDateTimeUtc": "2027-01-15T08:00:00.0000000Z"}
    assert shown["capabilities"] == ["lookUp", "revoke"]
    assert shown["chain"] == [root.pem]
    sent_back = await side.call("PUT", PATH, {**DIGICERT, **shown}, etag="*")
    assert sent_back.status_code == 200
    side.cas.outcome = UpstreamUnavailable("The CA is down.", rule="ca-unavailable", retry_after_s=2)
    health = (await side.call("GET", PATH)).json()["health"]
    assert (health["status"], health["reason"]) == ("failing", "The CA is down.")


async def test_when_our_credentials_end_is_shown_also_where_the_ca_is_down(side: ServiceSide) -> None:
    """The client certificate's end, which nobody need be asked for, or what the CA says, whichever comes first."""
    device = pki.root("Administrators").issue("accredit", not_after=1_900_000_000)
    await side.put(
        PATH,
        certificateAuthorityType="Est",
        url="https://ca.example.net",
        clientCertificate=device.pem,
        clientKey="a key",
    )
    ends = {None: "2030-03-17T17:46:40.0000000Z", 1_850_000_000: "2028-08-16T00:53:20.0000000Z"}
    for said, shown in ends.items():
        side.cas.outcome = Standing(credentials_end=said)
        assert (await side.call("GET", PATH)).json()["credentialsExpireDateTimeUtc"] == shown
    side.cas.outcome = UpstreamUnavailable("The CA is down.", rule="ca-unavailable", retry_after_s=2)
    assert (await side.call("GET", PATH)).json()["credentialsExpireDateTimeUtc"] == ends[None]


async def test_an_unknown_authority(side: ServiceSide) -> None:
    assert (await side.call("GET", PATH)).status_code == 404
    assert (await side.call("GET", "/certificateAuthorities/a%20b")).status_code == 400


ACME = {"certificateAuthorityType": "Acme", "directoryUrl": "https://ca.example.net/dir"}
VAULT = {"certificateAuthorityType": "Vault", "url": "https://ca.example.net", "role": "device"}


async def test_what_is_drawn_is_drawn_once_and_by_nobody_sent(side: ServiceSide) -> None:
    shown = (await side.put(PATH, **ACME, accountKey="11" * 32)).json()
    first = (await record(side)).secrets["accountKey"].reveal()
    await side.put(PATH, etag="*", **ACME, accountEmail="fleet@example.net")
    again = (await record(side)).secrets["accountKey"].reveal()
    assert first == again != b"11" * 32
    assert len(bytes.fromhex(first.decode())) == 32
    assert "accountKey" not in shown


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"token": "t"}, 200),
        ({"roleId": "r", "secretId": "s"}, 200),
        ({"token": "t", "roleId": "r"}, 200),
        ({}, 400),
        ({"roleId": "r"}, 400),
        ({"secretId": "s"}, 400),
    ],
    ids=str,
)
async def test_one_of_several_sets_of_members_must_be_whole(
    side: ServiceSide, members: dict[str, Any], status: int
) -> None:
    answer = await side.put(PATH, **VAULT, **members)
    assert answer.status_code == status, answer.text
    if status == 400:
        assert "token, or roleId and secretId" in answer.text
