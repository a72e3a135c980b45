"""Devices that attest by TPM: a TPM in Python, and an emulated TPM 2.0 that is spoken to by Debian's tools.

Azure: how TPM attestation goes over HTTPS, from prov_device_ll_client.c and Node's tpm_registration.js.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from accredit.wire import dps, tpm
from support.device_key import DeviceKey
from support.enrolling import issuing, tpm_individual
from support.programs import run
from support.raw_device import HubDevice
from support.running_service import RunningService
from support.tpm_device import TpmDevice
from support.tpm_emulator import TpmEmulator

VERSION = "api-version=2019-03-31"
GOOD = 0

Tpm = TpmDevice | TpmEmulator


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TpmEmulator]:
    with TpmEmulator(tmp_path_factory.mktemp("tpm")) as running:
        yield running


@pytest.fixture(params=["in Python", "swtpm"])
def chip(request: pytest.FixtureRequest) -> Tpm:
    """Any TPM."""
    if request.param == "swtpm":
        made: Tpm = request.getfixturevalue("emulator")
        return made
    return TpmDevice()


class Device:
    """What a program beside a TPM says over HTTPS."""

    def __init__(self, service: RunningService, name: str, chip: Tpm) -> None:
        self.service = service
        self.name = name
        self.chip = chip
        self.path = f"/{service.id_scope}/registrations/{name}"

    def put(self, token: str | None = None, **members: Any) -> httpx.Response:
        keys = {
            "endorsementKey": tpm.text_of(self.chip.endorsement),
            "storageRootKey": tpm.text_of(self.chip.storage_root),
        }
        body = {"registrationId": self.name, "tpm": keys, **members}
        headers = {} if token is None else {"authorization": token}
        with self.service.https(headers=headers) as http:
            return http.put(f"{self.path}/register?{VERSION}", json=body)

    def proves(self) -> str:
        """A token, signed in the TPM with the key of a challenge."""
        told = self.put()
        assert told.status_code == 401
        assert told.json()["keyName"] == "registration"
        assert "status" not in told.json()
        self.chip.take(base64.b64decode(told.json()["authenticationKey"]))
        return self.token()

    def token(self) -> str:
        return self.chip.token(self.path[1:], int(time.time()) + 3_600)

    def registers(self, token: str | None = None, **members: Any) -> dict[str, Any]:
        """The state that it is in then."""
        answer = self.put(token or self.proves(), **members)
        assert answer.status_code == 200, answer.text
        state: dict[str, Any] = answer.json()["registrationState"]
        return state

    def polls(self, token: str, operation_id: str) -> httpx.Response:
        with self.service.https(headers={"authorization": token}) as http:
            return http.get(f"{self.path}/operations/{operation_id}?{VERSION}")

    def connects(self, state: dict[str, Any]) -> int:
        """Take the hub's key into the TPM, connect with a token that it signs, send a message."""
        self.chip.take(base64.b64decode(state["tpm"]["authenticationKey"]))
        resource = f"{state['assignedHub']}/devices/{state['deviceId']}"
        token = self.chip.token(resource, int(time.time()) + 3_600, skn=None)
        with HubDevice(self.service, state["deviceId"], token=token) as connected:
            if connected.code == GOOD:
                connected.sends(b"from a TPM")
            return connected.code


class TestFromChipToHub:
    def test_provisioned_and_connected(self, service: RunningService, name: str, chip: Tpm) -> None:
        tpm_individual(service, name, chip.endorsement)
        device = Device(service, name, chip)
        state = device.registers()
        assert (state["status"], state["deviceId"]) == ("assigned", name)
        assert device.connects(state) == GOOD
        assert [row["body"] for row in service.telemetry(name)]

    def test_by_its_own_registration_id(self, service: RunningService, emulator: TpmEmulator) -> None:
        name = emulator.registration_id
        tpm_individual(service, name, emulator.endorsement)
        device = Device(service, name, emulator)
        assert device.connects(device.registers()) == GOOD

    def test_the_hub_takes_the_newest_key_alone(self, service: RunningService, name: str, chip: Tpm) -> None:
        tpm_individual(service, name, chip.endorsement)
        device = Device(service, name, chip)
        older = device.registers()
        newer = device.registers()
        assert device.connects(older) != GOOD
        assert device.connects(newer) == GOOD

    def test_with_a_certificate_besides(
        self, service: RunningService, key: DeviceKey, emulator: TpmEmulator
    ) -> None:
        name = key.registration_id
        tpm_individual(service, name, emulator.endorsement, **issuing())
        state = Device(service, name, emulator).registers(clientCertificateCsr=key.csr())
        certificate = key.write(state["issuedClientCertificate"])
        with HubDevice(service, name, certificate=(certificate, key.file)) as connected:
            assert connected.code == GOOD

    def test_a_poll_brings_the_key_again(self, service: RunningService, name: str) -> None:
        chip = TpmDevice()
        tpm_individual(service, name, chip.endorsement)
        device = Device(service, name, chip)
        token = device.proves()
        told = device.put(token).json()
        polled = device.polls(token, told["operationId"])
        assert polled.status_code == 200
        assert device.connects(polled.json()["registrationState"]) == GOOD


class TestAcrossARestart:
    def test_challenge_proof_and_poll_may_meet_three_processes(self, tmp_path: Path) -> None:
        chip = TpmDevice()
        with RunningService(tmp_path / "service") as service:
            tpm_individual(service, "pump-1", chip.endorsement)
            device = Device(service, "pump-1", chip)
            token = device.proves()
            service.stop()
            service.start()
            told = device.put(token).json()
            service.stop()
            service.start()
            state = device.polls(token, told["operationId"]).json()["registrationState"]
            assert device.connects(state) == GOOD


class TestRefused:
    def test_one_that_is_not_enrolled(self, service: RunningService, name: str) -> None:
        told = Device(service, name, TpmDevice()).put()
        assert told.status_code == 200
        assert told.json()["status"] == "failed"
        assert told.json()["registrationState"]["errorCode"] == 404201
        entry = service.logs("registration", registrationId=name, rule="tpm-unknown")
        assert tpm.text_of(TpmDevice().endorsement) in entry["hint"]

    def test_another_tpm_under_the_name(self, service: RunningService, name: str) -> None:
        tpm_individual(service, name, TpmDevice().endorsement)
        told = Device(service, name, TpmDevice(1)).put()
        assert told.json()["registrationState"]["errorCode"] == 404201

    @pytest.mark.parametrize("wrong", ["another TPM's", "of another key", "of none"])
    def test_tokens_that_prove_nothing(self, service: RunningService, name: str, wrong: str) -> None:
        chip, thief = TpmDevice(), TpmDevice(1)
        tpm_individual(service, name, chip.endorsement)
        tpm_individual(service, f"{name}-b", thief.endorsement)
        Device(service, f"{name}-b", thief).proves()
        device = Device(service, name, chip)
        device.proves()
        expires_at = int(time.time()) + 60
        tokens = {
            "another TPM's": thief.token(device.path[1:], expires_at),
            "of another key": thief.token(f"{service.id_scope}/registrations/{name}-b", expires_at),
            "of none": "SharedAccessSignature sr=x",
        }
        refused = device.put(tokens[wrong])
        assert refused.status_code == 401
        assert "authenticationKey" not in refused.json()
        assert device.registers(device.token())["status"] == "assigned"

    @pytest.mark.parametrize(
        "keys",
        [
            {},
            {"endorsementKey": "AAAA", "storageRootKey": "AAAA"},
            {"endorsementKey": "A" * 90_000, "storageRootKey": "AAAA"},
            {"endorsementKey": tpm.text_of(TpmDevice().endorsement) + "AA==", "storageRootKey": "AAAA"},
        ],
    )
    def test_keys_that_are_none(self, service: RunningService, name: str, keys: dict[str, str]) -> None:
        tpm_individual(service, name, TpmDevice().endorsement)
        refused = Device(service, name, TpmDevice()).put(tpm=keys)
        assert (refused.status_code, refused.json()["errorCode"]) == (400, 400004)

    def test_a_disabled_one(self, service: RunningService, name: str) -> None:
        chip = TpmDevice()
        tpm_individual(service, name, chip.endorsement, provisioningStatus="disabled")
        device = Device(service, name, chip)
        told = device.put(device.proves())
        assert (told.status_code, told.json()["status"]) == (200, "disabled")


class TestOperator:
    def test_a_replace_without_the_key_keeps_it(self, service: RunningService, name: str) -> None:
        chip = TpmDevice()
        tpm_individual(service, name, chip.endorsement)
        service.put(f"/enrollments/{name}", {"registrationId": name, "attestation": {"type": "tpm"}})
        mechanism = service.client().call("POST", f"/enrollments/{name}/attestationmechanism").json()
        assert mechanism == {"type": "tpm", "tpm": {"endorsementKey": tpm.text_of(chip.endorsement)}}
        assert Device(service, name, chip).registers()["status"] == "assigned"

    def test_by_curl(self, service: RunningService, name: str) -> None:
        """The challenge as a script sees it."""
        chip = TpmDevice()
        tpm_individual(service, name, chip.endorsement)
        body = dps.register_body(name, tpm=(chip.endorsement, chip.storage_root)).decode()
        printed = run(
            "curl", "--silent", "--show-error", "--cacert", str(service.trust_root),
            "-X", "PUT", f"{service.url}/{service.id_scope}/registrations/{name}/register?{VERSION}",
            "-H", "Content-Type: application/json", "-d", body,
        )  # fmt: skip
        assert len(base64.b64decode(json.loads(printed)["authenticationKey"])) == 798 + len(name)
