"""Enrollments and groups: what a creation makes, what a replace keeps, what is refused."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from accredit.domain.enrollment import EnrollmentKind, EnrollmentRef, SymmetricKeys
from accredit.domain.ids import GroupId
from accredit.wire.tpm import text_of
from support import pki
from support.ek_certificates import base64_der, certified_key, pem
from support.service_side import HUBS, ServiceSide
from support.tpm_device import TpmDevice

DEV = EnrollmentRef(EnrollmentKind.INDIVIDUAL, "dev-1")
ROOT = pki.root("root")
KEYS = {
    "primaryKey": base64.b64encode(b"1" * 16).decode(),
    "secondaryKey": base64.b64encode(b"2" * 64).decode(),
}


def x509(kind: str, **pair: Any) -> dict[str, Any]:
    return {"type": "x509", "x509": {kind: pair}}


class TestKeys:
    async def test_a_creation_without_keys_makes_two_different_ones(self, side: ServiceSide) -> None:
        first = (await side.put("/enrollments/dev-1")).json()["attestation"]["symmetricKey"]
        second = (await side.put("/enrollments/dev-2")).json()["attestation"]["symmetricKey"]
        every = {*first.values(), *second.values()}
        assert len(every) == 4
        assert {len(base64.b64decode(key)) for key in every} == {32}

    async def test_keys_that_are_sent_are_taken(self, side: ServiceSide) -> None:
        attestation = {"type": "symmetricKey", "symmetricKey": KEYS}
        assert (await side.put("/enrollments/dev-1", attestation=attestation)).json()[
            "attestation"
        ] == attestation

    @pytest.mark.parametrize("sent", [None, {}, {"primaryKey": None}, {"primaryKey": "", "secondaryKey": ""}])
    async def test_a_replace_without_keys_keeps_them(self, side: ServiceSide, sent: Any) -> None:
        await side.put("/enrollments/dev-1", attestation={"type": "symmetricKey", "symmetricKey": KEYS})
        attestation = {"type": "symmetricKey", "symmetricKey": sent}
        replaced = await side.put("/enrollments/dev-1", etag="*", attestation=attestation)
        assert replaced.json()["attestation"]["symmetricKey"] == KEYS

    async def test_a_replace_with_one_key_keeps_the_other(self, side: ServiceSide) -> None:
        await side.put("/enrollments/dev-1", attestation={"type": "symmetricKey", "symmetricKey": KEYS})
        new = base64.b64encode(b"n" * 32).decode()
        attestation = {"type": "symmetricKey", "symmetricKey": {"primaryKey": new}}
        replaced = await side.put("/enrollments/dev-1", etag="*", attestation=attestation)
        assert replaced.json()["attestation"]["symmetricKey"] == {**KEYS, "primaryKey": new}

    async def test_what_a_get_showed_can_be_put_back(self, side: ServiceSide) -> None:
        await side.put("/enrollments/dev-1", attestation={"type": "symmetricKey", "symmetricKey": KEYS})
        shown = (await side.call("GET", "/enrollments/dev-1")).json()
        shown["provisioningStatus"] = "disabled"
        replaced = await side.call("PUT", "/enrollments/dev-1", shown, etag=shown["etag"])
        assert replaced.json()["attestation"]["symmetricKey"] == KEYS
        assert replaced.json()["provisioningStatus"] == "disabled"

    async def test_a_deleted_enrollments_keys_do_not_come_back(self, side: ServiceSide) -> None:
        first = (await side.put("/enrollments/dev-1")).json()["attestation"]
        await side.call("DELETE", "/enrollments/dev-1")
        assert (await side.put("/enrollments/dev-1")).json()["attestation"] != first


class TestCertificates:
    async def test_a_certificate_is_shown_as_info_and_kept_by_it(self, side: ServiceSide) -> None:
        leaf = ROOT.issue("dev-1")
        attestation = x509("clientCertificates", primary={"certificate": leaf.pem})
        created = await side.put("/enrollments/dev-1", attestation=attestation)
        assert "BEGIN" not in created.text
        shown = created.json()
        assert (
            shown["attestation"]["x509"]["clientCertificates"]["primary"]["info"]["subjectName"] == "CN=dev-1"
        )
        replaced = await side.call("PUT", "/enrollments/dev-1", shown, etag=shown["etag"])
        assert replaced.json()["attestation"] == shown["attestation"]
        kept = await side.store.enrollment(DEV)
        assert kept is not None
        assert kept.attestation.primary == leaf.der

    async def test_primary_and_secondary_change_places_by_thumbprint(self, side: ServiceSide) -> None:
        old, new = pki.root("old"), pki.root("new")
        pair = {"primary": {"certificate": old.pem}, "secondary": {"certificate": new.pem}}
        created = (
            await side.put("/enrollmentGroups/line", attestation=x509("signingCertificates", **pair))
        ).json()
        shown = created["attestation"]["x509"]["signingCertificates"]
        swapped = x509("signingCertificates", primary=shown["secondary"], secondary=shown["primary"])
        replaced = await side.put("/enrollmentGroups/line", etag="*", attestation=swapped)
        assert replaced.json()["attestation"] == swapped

    async def test_a_secondary_that_is_not_sent_goes(self, side: ServiceSide) -> None:
        pair = {"primary": {"certificate": ROOT.pem}, "secondary": {"certificate": pki.root("b").pem}}
        await side.put("/enrollmentGroups/line", attestation=x509("signingCertificates", **pair))
        only = x509("signingCertificates", primary={"certificate": ROOT.pem})
        replaced = await side.put("/enrollmentGroups/line", etag="*", attestation=only)
        assert set(replaced.json()["attestation"]["x509"]["signingCertificates"]) == {"primary"}

    async def test_info_without_anything_stored(self, side: ServiceSide) -> None:
        sent = x509("clientCertificates", primary={"info": {"sha256Thumbprint": "AA" * 32}})
        answer = await side.put("/enrollments/dev-1", attestation=sent)
        assert answer.status_code == 400

    async def test_info_of_another_certificate_than_the_stored(self, side: ServiceSide) -> None:
        pair = {"primary": {"certificate": ROOT.pem}}
        await side.put("/enrollmentGroups/line", attestation=x509("signingCertificates", **pair))
        sent = x509("signingCertificates", primary={"info": {"sha256Thumbprint": "AA" * 32}})
        assert (await side.put("/enrollmentGroups/line", etag="*", attestation=sent)).status_code == 400

    async def test_keys_after_certificates_are_made_anew(self, side: ServiceSide) -> None:
        pair = {"primary": {"certificate": ROOT.pem}}
        await side.put("/enrollmentGroups/line", attestation=x509("signingCertificates", **pair))
        replaced = await side.put("/enrollmentGroups/line", etag="*")
        assert set(replaced.json()["attestation"]) == {"type", "symmetricKey"}


class TestReplace:
    async def test_what_stays_and_what_changes(self, side: ServiceSide) -> None:
        await side.put("/enrollments/Dev-1", deviceId="thing")
        before = await side.store.enrollment(DEV)
        side.clock.advance(10)
        answer = await side.call(
            "PUT",
            "/enrollments/dev-1",
            {"registrationId": "DEV-1", "attestation": {"type": "symmetricKey"}},
            etag="*",
        )
        after = await side.store.enrollment(DEV)
        assert before is not None
        assert after is not None
        assert answer.json()["registrationId"] == "Dev-1"
        assert (after.generation, after.created_at) == (before.generation, before.created_at)
        assert after.updated_at == before.updated_at + 10
        assert after.etag != before.etag
        assert after.device_id is None

    async def test_a_new_enrollment_of_an_old_name_has_another_generation(self, side: ServiceSide) -> None:
        await side.put("/enrollments/dev-1")
        first = await side.store.enrollment(DEV)
        await side.call("DELETE", "/enrollments/dev-1")
        await side.put("/enrollments/dev-1")
        second = await side.store.enrollment(DEV)
        assert first is not None
        assert second is not None
        assert first.generation != second.generation

    async def test_everything_is_echoed(self, side: ServiceSide) -> None:
        members = {
            "allocationPolicy": "static",
            "iotHubs": list(HUBS),
            "initialTwin": {"tags": {"a": [1, None]}, "properties": {"desired": {"b": {"c": 1.5}}}},
            "capabilities": {"iotEdge": True},
            "provisioningStatus": "disabled",
            "deviceId": "Thing",
            "reprovisionPolicy": {"updateHubAssignment": False, "migrateDeviceData": True},
            "optionalDeviceInformation": {"d": "e"},
            "customAllocationDefinition": {"webhookUrl": "https://x", "apiVersion": "2019-03-31"},
        }
        put = (await side.put("/enrollments/dev-1", **members)).json()
        read = (await side.call("GET", "/enrollments/dev-1")).json()
        listed = (await side.call("POST", "/enrollments/query")).json()[0]
        for shown in (put, read, listed):
            assert {name: shown[name] for name in members} == members


class TestHubs:
    async def test_linked_hubs_are_spelled_as_assignments_spell_them(self, side: ServiceSide) -> None:
        answer = await side.put("/enrollments/dev-1", iotHubs=["hub-a.EXAMPLE"])
        assert answer.json()["iotHubs"] == [HUBS[0]]

    async def test_the_older_host_name(self, side: ServiceSide) -> None:
        shown = (await side.put("/enrollments/dev-1", iotHubHostName=HUBS[0].upper())).json()
        assert (shown["iotHubHostName"], shown["allocationPolicy"]) == (HUBS[0], "static")
        assert "iotHubs" not in shown
        stored = await side.store.enrollment(DEV)
        assert stored is not None
        assert stored.hubs == (HUBS[0],)

    @pytest.mark.parametrize("members", [{"iotHubs": ["elsewhere"]}, {"iotHubHostName": "elsewhere"}])
    async def test_a_hub_that_is_not_linked(self, side: ServiceSide, members: dict[str, Any]) -> None:
        answer = await side.put("/enrollments/dev-1", **members)
        assert answer.status_code == 400
        assert "elsewhere" in answer.json()["message"]


class TestAuthorities:
    async def test_an_unknown_authority(self, side: ServiceSide) -> None:
        policy = {"certificateAuthorityName": "nowhere"}
        answer = await side.put("/enrollments/dev-1", clientCertificateIssuancePolicy=policy)
        assert answer.status_code == 400
        assert "nowhere" in answer.json()["message"]
        assert (await side.call("GET", "/enrollments/dev-1")).status_code == 404

    async def test_a_long_id_is_accepted_with_a_warning(self, side: ServiceSide) -> None:
        await side.put("/certificateAuthorities/ca")
        policy = {"certificateAuthorityName": "CA"}
        long = await side.put(f"/enrollments/{'x' * 65}", clientCertificateIssuancePolicy=policy)
        assert long.status_code == 200
        assert "64" in long.headers["x-accredit-warning"]
        for path, members in (
            (f"/enrollments/{'y' * 64}", {"clientCertificateIssuancePolicy": policy}),
            (f"/enrollments/{'z' * 65}", {}),
            (f"/enrollmentGroups/{'g' * 65}", {"clientCertificateIssuancePolicy": policy}),
        ):
            answer = await side.put(path, **members)
            assert answer.status_code == 200
            assert "x-accredit-warning" not in answer.headers


class TestGroups:
    async def test_a_hundred_symmetric_groups_without_a_pattern(self, side: ServiceSide) -> None:
        made = await asyncio.gather(*(side.put(f"/enrollmentGroups/g{number}") for number in range(100)))
        assert {answer.status_code for answer in made} == {200}
        refused = await side.put("/enrollmentGroups/one-more")
        assert refused.status_code == 409
        assert "idPattern" in refused.json()["message"]
        assert (await side.put("/enrollmentGroups/g1", etag="*")).status_code == 200
        assert (await side.put("/enrollmentGroups/patterned", idPattern="^p-")).json()["idPattern"] == "^p-"
        signing = x509("signingCertificates", primary={"certificate": ROOT.pem})
        assert (await side.put("/enrollmentGroups/by-certificate", attestation=signing)).status_code == 200
        assert (await side.put("/enrollmentGroups/patterned", etag="*")).status_code == 409
        await side.call("DELETE", "/enrollmentGroups/g1")
        assert (await side.put("/enrollmentGroups/one-more")).status_code == 200


class TestRegistrationState:
    async def test_an_enrollments_own_registration_is_shown(self, side: ServiceSide) -> None:
        await side.put("/enrollments/dev-1")
        assert "registrationState" not in (await side.call("GET", "/enrollments/dev-1")).json()
        await side.register("dev-1", DEV, payload=b'{"a":1}')
        shown = (await side.call("GET", "/enrollments/dev-1")).json()["registrationState"]
        assert shown == (await side.call("GET", "/registrations/dev-1")).json()
        assert shown["payload"] == {"a": 1}

    async def test_a_groups_registration_of_the_same_id_is_not(self, side: ServiceSide) -> None:
        await side.put("/enrollments/dev-1")
        await side.register("dev-1", EnrollmentRef(EnrollmentKind.GROUP, "line-1"))
        assert "registrationState" not in (await side.call("GET", "/enrollments/dev-1")).json()

    async def test_deleting_an_enrollment_deletes_its_registration(self, side: ServiceSide) -> None:
        await side.put("/enrollments/dev-1")
        await side.register("dev-1", DEV)
        assert (await side.call("DELETE", "/enrollments/dev-1")).status_code == 204
        assert (await side.call("GET", "/registrations/dev-1")).status_code == 404

    async def test_deleting_a_group_leaves_its_registrations(self, side: ServiceSide) -> None:
        await side.put("/enrollmentGroups/line-1")
        await side.register("dev-1", EnrollmentRef(EnrollmentKind.GROUP, GroupId.parse("line-1").key))
        assert (await side.call("DELETE", "/enrollmentGroups/line-1")).status_code == 204
        assert (await side.call("GET", "/registrations/dev-1")).status_code == 200


async def test_stored_keys_are_the_bytes_that_were_sent(side: ServiceSide) -> None:
    await side.put("/enrollments/dev-1", attestation={"type": "symmetricKey", "symmetricKey": KEYS})
    stored = await side.store.enrollment(DEV)
    assert stored is not None
    assert isinstance(stored.attestation, SymmetricKeys)
    assert stored.attestation.primary.reveal() == b"1" * 16
    assert stored.attestation.secondary.reveal() == b"2" * 64


class TestTpm:
    TPM = TpmDevice()

    async def test_the_key_is_shown_to_everybody(self, side: ServiceSide) -> None:
        sent = tpm(
            endorsementKey=text_of(self.TPM.endorsement), storageRootKey=text_of(self.TPM.storage_root)
        )
        assert (await side.put("/enrollments/dev-1", attestation=sent)).json()["attestation"] == sent
        assert (await side.call("GET", "/enrollments/dev-1")).json()["attestation"] == sent
        mechanism = await side.call("POST", "/enrollments/dev-1/attestationmechanism")
        assert mechanism.json() == sent

    async def test_a_replace_without_the_key_keeps_both(self, side: ServiceSide) -> None:
        sent = tpm(
            endorsementKey=text_of(self.TPM.endorsement), storageRootKey=text_of(self.TPM.storage_root)
        )
        await side.put("/enrollments/dev-1", attestation=sent)
        kept = await side.put("/enrollments/dev-1", etag="*", attestation=tpm())
        assert kept.json()["attestation"] == sent

    async def test_a_replace_with_the_key_replaces_both(self, side: ServiceSide) -> None:
        sent = tpm(
            endorsementKey=text_of(self.TPM.endorsement), storageRootKey=text_of(self.TPM.storage_root)
        )
        await side.put("/enrollments/dev-1", attestation=sent)
        other = tpm(endorsementKey=text_of(TpmDevice(1).endorsement))
        replaced = await side.put("/enrollments/dev-1", etag="*", attestation=other)
        assert replaced.json()["attestation"] == other

    @pytest.mark.parametrize("form", [pem, base64_der])
    async def test_a_certificate_stands_for_its_key(self, side: ServiceSide, form: Any) -> None:
        certificate = form(certified_key(ROOT, self.TPM.endorsement))
        made = await side.put("/enrollments/dev-1", attestation=tpm(endorsementKey=certificate))
        assert made.json()["attestation"] == tpm(endorsementKey=text_of(self.TPM.endorsement))

    async def test_refusals(self, side: ServiceSide) -> None:
        ek = text_of(self.TPM.endorsement)
        certificate = pem(certified_key(ROOT, self.TPM.endorsement))
        client = pem(ROOT.issue("dev-1").certificate)
        for members, said in (
            ({}, "endorsementKey is missing"),
            ({"endorsementKey": ek, "storageRootKey": ek}, "storageRootKey is the endorsement key"),
            ({"endorsementKey": certificate, "storageRootKey": ek}, "storageRootKey is the endorsement key"),
            ({"endorsementKey": client}, "is not that of an RSA-2048 key"),
        ):
            refused = await side.put("/enrollments/dev-1", attestation=tpm(**members))
            assert refused.status_code == 400
            assert said in refused.json()["message"]

    async def test_once_a_vendor_was_added_certificates_must_be_its_own(self, side: ServiceSide) -> None:
        line = ROOT.intermediate("Line 3")
        own, others = (certified_key(maker, self.TPM.endorsement) for maker in (line, pki.root("Another")))
        await side.call("PUT", "/caCertificates/clients", {"certificate": pki.root("Clients").pem})
        assert (await side.put("/enrollments/dev-1", attestation=ek(others))).status_code == 200
        vendor = {"certificate": ROOT.pem, "purpose": "tpmVendorRoot"}
        await side.call("PUT", "/caCertificates/vendor", vendor)
        for certificate in (pem(others), pem(own), pem(own, pki.root("Stranger").certificate)):
            refused = await side.put("/enrollments/dev-2", attestation=tpm(endorsementKey=certificate))
            assert refused.status_code == 400
            assert "TPM vendor" in refused.json()["message"]
        whole = tpm(endorsementKey=pem(own, line.certificate))
        assert (await side.put("/enrollments/dev-2", attestation=whole)).status_code == 200
        await side.call("PUT", "/caCertificates/line", {"certificate": line.pem, "purpose": "tpmVendorRoot"})
        assert (await side.put("/enrollments/dev-3", attestation=ek(own))).status_code == 200
        bare = tpm(endorsementKey=text_of(self.TPM.endorsement))
        assert (await side.put("/enrollments/dev-4", attestation=bare)).status_code == 200

    async def test_a_key_that_is_to_be_kept_is_not_there(self, side: ServiceSide) -> None:
        await side.put("/enrollments/dev-1")
        assert (await side.put("/enrollments/dev-1", etag="*", attestation=tpm())).status_code == 400


def tpm(**members: str) -> dict[str, Any]:
    return {"type": "tpm", "tpm": members}


def ek(certificate: Any) -> dict[str, Any]:
    return tpm(endorsementKey=pem(certificate))
