"""Certificate profiles: what a replace changes, what a delete needs, and the enrollments that name them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from support.service_side import ServiceSide

PATH = "/certificateProfiles/Lamps"
ISSUANCE = {"certificateAuthorityName": "ca-1", "certificateProfileName": "lamps"}


async def put(side: ServiceSide, condition: str | None = None, **members: Any) -> httpx.Response:
    return await side.call("PUT", PATH, members, etag=condition)


async def test_created_read_replaced_deleted(side: ServiceSide) -> None:
    created = (await put(side, validityDays=7)).json()
    assert (await side.call("GET", "/certificateProfiles/lAMPS")).json() == created
    assert (await side.call("GET", "/certificateProfiles")).json() == [created]
    assert (await put(side)).status_code == 409
    side.clock.advance(5)
    same = (await put(side, created["etag"], **created)).json()
    assert (same["version"], same["createdDateTimeUtc"]) == (
        created["version"],
        created["createdDateTimeUtc"],
    )
    assert same["etag"] != created["etag"]
    other = (await put(side, same["etag"], validityDays=8)).json()
    assert other["version"] != created["version"]
    assert (await side.call("DELETE", PATH, etag=created["etag"])).status_code == 412
    assert (await side.call("DELETE", PATH)).status_code == 204
    assert (await side.call("GET", PATH)).status_code == 404


async def test_what_no_leaf_could_be_made_of(side: ServiceSide) -> None:
    refused = await put(side, subject={"O": "{serial}"})
    assert refused.status_code == 400
    assert "{serial}" in refused.json()["message"]
    assert (await side.call("GET", PATH)).status_code == 404


@pytest.mark.parametrize("path", ["/enrollments/dev-1", "/enrollmentGroups/line-1"])
async def test_an_enrollment_names_what_is_there(side: ServiceSide, path: str) -> None:
    await side.call("PUT", "/certificateAuthorities/ca-1", {"certificateAuthorityType": "BuiltIn"})
    refused = await side.put(path, clientCertificateIssuancePolicy=ISSUANCE)
    assert refused.status_code == 400
    assert "certificateProfileName" in refused.json()["message"]
    await put(side)
    shown = (await side.put(path, clientCertificateIssuancePolicy=ISSUANCE)).json()
    assert shown["clientCertificateIssuancePolicy"] == ISSUANCE
    assert "certificateProfileName" not in shown
    named = await side.call("DELETE", PATH)
    assert (named.status_code, "1 enrollments" in named.json()["message"]) == (409, True)
    await side.put(path, etag="*", clientCertificateIssuancePolicy={"certificateAuthorityName": "ca-1"})
    assert (await side.call("DELETE", PATH)).status_code == 204


async def test_beside_a_credential_policy(side: ServiceSide) -> None:
    await side.call("PUT", "/certificateAuthorities/ca-1", {"certificateAuthorityType": "BuiltIn"})
    await put(side)
    issuance = {"certificateProfileName": "lamps"}
    sent = {"credentialPolicyName": "ca-1", "clientCertificateIssuancePolicy": issuance}
    shown = (await side.put("/enrollments/dev-1", **sent)).json()
    assert sent.items() <= shown.items()
    assert (await side.put("/enrollments/dev-2", clientCertificateIssuancePolicy=issuance)).status_code == 400
