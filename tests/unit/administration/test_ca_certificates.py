"""Uploaded CA certificates: what a replace keeps, the proof of possession, and the enrollments that refer to them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from accredit.domain.ids import CaCertificateName
from accredit.policy.possession import CODE_LIFE_S
from support import pki
from support.service_side import ServiceSide

PATH = "/caCertificates/Plant"
PLANT, OTHER = pki.root("Plant"), pki.root("Other")


async def put(
    side: ServiceSide, entity: pki.Entity = PLANT, etag: str | None = None, **members: Any
) -> httpx.Response:
    return await side.call("PUT", PATH, {"certificate": entity.pem, **members}, etag=etag)


async def code_of(side: ServiceSide) -> str:
    made = await side.call("POST", f"{PATH}/verificationCode")
    assert made.status_code == 200
    code: str = made.json()["verificationCode"]
    return code


async def prove(side: ServiceSide, entity: pki.Entity, etag: str | None = None) -> httpx.Response:
    return await side.call("POST", f"{PATH}/verify", {"certificate": entity.pem}, etag=etag)


async def verified(side: ServiceSide) -> bool:
    shown: bool = (await side.call("GET", PATH)).json()["isVerified"]
    return shown


async def test_created_read_replaced_deleted(side: ServiceSide) -> None:
    first = (await put(side)).json()
    assert (await side.call("GET", "/caCertificates/pLANT")).json() == first
    assert (await side.call("GET", "/caCertificates")).json() == [first]
    assert (await put(side, OTHER)).status_code == 409
    side.clock.advance(5)
    second = (await put(side, OTHER, first["etag"])).json()
    assert (second["info"]["subjectName"], second["createdDateTimeUtc"]) == (
        "CN=Other",
        first["createdDateTimeUtc"],
    )
    assert (await put(side, etag=first["etag"])).status_code == 412
    assert (await side.call("DELETE", PATH, etag=first["etag"])).status_code == 412
    assert (await side.call("DELETE", PATH, etag=second["etag"])).status_code == 204
    for call in (("GET", ""), ("DELETE", ""), ("POST", "/verificationCode")):
        assert (await side.call(call[0], PATH + call[1])).status_code == 404
    assert (await prove(side, PLANT)).status_code == 404


class TestPossession:
    async def test_proven(self, side: ServiceSide) -> None:
        await put(side)
        assert not await verified(side)
        answer = await prove(side, PLANT.issue(await code_of(side)))
        assert (answer.status_code, answer.json()["isVerified"]) == (200, True)
        assert await verified(side)

    async def test_a_code_is_good_once(self, side: ServiceSide) -> None:
        await put(side)
        shown = PLANT.issue(await code_of(side))
        await prove(side, shown)
        assert (await prove(side, shown)).status_code == 400

    async def test_a_new_code_ends_the_one_before(self, side: ServiceSide) -> None:
        await put(side)
        first = await code_of(side)
        assert await code_of(side) != first
        assert (await prove(side, PLANT.issue(first))).status_code == 400
        assert not await verified(side)

    async def test_a_code_ends_by_itself(self, side: ServiceSide) -> None:
        await put(side)
        made = (await side.call("POST", f"{PATH}/generateVerificationCode")).json()
        side.clock.advance(CODE_LIFE_S + 1)
        refused = await prove(side, PLANT.issue(made["verificationCode"]))
        assert refused.status_code == 400
        assert "verificationCode" in refused.json()["message"]

    async def test_no_code_was_made(self, side: ServiceSide) -> None:
        await put(side)
        assert (await prove(side, PLANT)).status_code == 400

    async def test_another_cas_signature_proves_nothing_and_leaves_the_code(self, side: ServiceSide) -> None:
        await put(side)
        code = await code_of(side)
        refused = await prove(side, pki.root("Plant").issue(code))
        assert refused.status_code == 400
        assert not await verified(side)
        assert (await prove(side, PLANT.issue(code))).status_code == 200

    async def test_the_code_is_of_this_etag(self, side: ServiceSide) -> None:
        before = (await put(side)).json()["etag"]
        made = (await side.call("POST", f"{PATH}/verificationCode", etag=before)).json()
        assert (await side.call("POST", f"{PATH}/verificationCode", etag=before)).status_code == 412
        shown = PLANT.issue(made["verificationCode"])
        assert (await prove(side, shown, before)).status_code == 412
        assert (await prove(side, shown, made["etag"])).status_code == 200

    async def test_the_code_is_shown_once(self, side: ServiceSide) -> None:
        await put(side)
        code = await code_of(side)
        assert code not in (await side.call("GET", PATH)).text
        assert code not in (await side.call("GET", "/caCertificates")).text


class TestVerified:
    async def test_said_to_be(self, side: ServiceSide) -> None:
        assert (await put(side, isVerified=True)).json()["isVerified"] is True

    async def test_the_same_certificate_stays_what_it_was(self, side: ServiceSide) -> None:
        await put(side, isVerified=True)
        assert (await put(side, etag="*")).json()["isVerified"] is True
        assert (await put(side, etag="*", isVerified=False)).json()["isVerified"] is False

    async def test_another_certificate_has_to_be_verified_anew(self, side: ServiceSide) -> None:
        await put(side, isVerified=True)
        code = await code_of(side)
        assert (await put(side, OTHER, "*")).json()["isVerified"] is False
        # The code was made for the certificate that was there.
        assert (await prove(side, OTHER.issue(code))).status_code == 400

    async def test_a_vendors_root_needs_no_proof(self, side: ServiceSide) -> None:
        shown = (await put(side, purpose="tpmVendorRoot")).json()
        assert (shown["purpose"], shown["isVerified"]) == ("tpmVendorRoot", True)
        assert (await put(side, etag="*")).status_code == 409


@pytest.mark.parametrize("path", ["/enrollments/dev-1", "/enrollmentGroups/line-1"])
async def test_an_enrollment_refers_to_what_is_there(side: ServiceSide, path: str) -> None:
    def attestation(*names: str) -> dict[str, Any]:
        return {
            "type": "x509",
            "x509": {"caReferences": dict(zip(("primary", "secondary"), names, strict=False))},
        }

    refused = await side.put(path, attestation=attestation("plant"))
    assert refused.status_code == 400
    assert "caReferences" in refused.json()["message"]
    await put(side)
    made = (await side.put(path, attestation=attestation("plant"))).json()
    assert made["attestation"] == attestation("plant")
    assert (await side.call("GET", path)).json()["attestation"] == attestation("plant")
    mechanism = await side.call("POST", f"{path}/attestationmechanism")
    assert mechanism.json() == attestation("plant")
    # What a GET showed can be sent back as it is.
    assert (await side.put(path, etag=made["etag"], attestation=made["attestation"])).status_code == 200
    assert (await side.put(path, etag="*", attestation=attestation("plant", "gone"))).status_code == 400
    await side.call("PUT", "/caCertificates/vendor", {"certificate": PLANT.pem, "purpose": "tpmVendorRoot"})
    refused = await side.put(path, etag="*", attestation=attestation("vendor"))
    assert (refused.status_code, "tpmVendorRoot" in refused.json()["message"]) == (400, True)


async def test_one_that_is_referred_to_is_not_deleted(side: ServiceSide) -> None:
    await put(side)
    refers = {"type": "x509", "x509": {"caReferences": {"primary": "PLANT"}}}
    await side.put("/enrollments/dev-1", attestation=refers)
    await side.put("/enrollmentGroups/line-1", attestation=refers)
    refused = await side.call("DELETE", PATH)
    assert (refused.status_code, "2 enrollments" in refused.json()["message"]) == (409, True)
    assert await side.store.enrollments_naming(CaCertificateName.parse("plant")) == 2
    await side.call("DELETE", "/enrollments/dev-1")
    await side.call("DELETE", "/enrollmentGroups/line-1")
    assert (await side.call("DELETE", PATH)).status_code == 204
