"""The device API over HTTPS, by curl and by an HTTP client: register, operation status, state look-up.

Azure: azure-rest-api-specs, deviceprovisioningservices, device.
"""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from support.device_key import DeviceKey, authority, below, derived_key
from support.enrolling import issuing, symmetric_group, symmetric_individual, x509_group, x509_individual
from support.programs import run
from support.raw_device import sas_token
from support.running_service import RunningService

OLD = "api-version=2019-03-31"
PREVIEW = "api-version=2021-11-01-preview"


def registrations(service: RunningService, registration_id: str) -> str:
    return f"/{service.id_scope}/registrations/{registration_id}"


def authorization(service: RunningService, registration_id: str, key: str) -> dict[str, str]:
    return {"Authorization": sas_token(registrations(service, registration_id)[1:], key)}


class TestBySymmetricKey:
    def test_register_answers_at_once_with_the_whole_state(self, service: RunningService, name: str) -> None:
        key = symmetric_individual(service, name)
        path = registrations(service, name)
        with service.https(headers=authorization(service, name, key)) as http:
            answer = http.put(f"{path}/register?{OLD}", json={"registrationId": name})
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("application/json")
            told = answer.json()
            assert told["status"] == "assigned"
            state = told["registrationState"]
            assert state["registrationId"] == state["deviceId"] == name
            assert state["assignedHub"] == service.host
            assert (state["status"], state["substatus"]) == ("assigned", "initialAssignment")

            poll = http.get(f"{path}/operations/{told['operationId']}?{OLD}")
            assert (poll.status_code, poll.json()) == (200, told)

            looked_up = http.post(f"{path}?{OLD}", json={"registrationId": name})
            assert (looked_up.status_code, looked_up.json()) == (200, state)

    def test_a_certificate_comes_with_the_answer_and_the_poll_but_not_with_the_look_up(
        self, service: RunningService, key: DeviceKey
    ) -> None:
        name = key.registration_id
        secret = symmetric_individual(service, name, **issuing())
        path = registrations(service, name)
        with service.https(headers=authorization(service, name, secret)) as http:
            body = {"registrationId": name, "clientCertificateCsr": key.csr()}
            told = http.put(f"{path}/register?{PREVIEW}", json=body).json()
            issued = told["registrationState"]["issuedClientCertificate"]
            assert issued.startswith("-----BEGIN CERTIFICATE-----")
            poll = http.get(f"{path}/operations/{told['operationId']}?{PREVIEW}").json()
            assert poll["registrationState"]["issuedClientCertificate"] == issued
            looked_up = http.post(f"{path}?{PREVIEW}", json={"registrationId": name}).json()
            assert "issuedClientCertificate" not in looked_up
            assert looked_up["deviceId"] == name

    def test_a_key_of_a_group_is_derived(self, service: RunningService, name: str) -> None:
        master = symmetric_group(service, f"line-of-{name}")
        headers = authorization(service, name, derived_key(master, name))
        with service.https(headers=headers) as http:
            answer = http.put(f"{registrations(service, name)}/register?{OLD}", content=b"")
        state = answer.json()["registrationState"]
        assert state["symmetricKey"] == {"enrollmentGroupId": f"line-of-{name}"}

    def test_by_curl_as_the_azure_cli_calls(self, service: RunningService, name: str) -> None:
        key = symmetric_individual(service, name)
        token = sas_token(registrations(service, name)[1:], key) + "&skn=registration"
        printed = run(
            "curl", "--silent", "--show-error", "--cacert", str(service.trust_root),
            "-X", "PUT", f"{service.url}{registrations(service, name)}/register?{OLD}",
            "-H", f"Authorization: {token}", "-H", "Content-Type: application/json",
            "-d", json.dumps({"registrationId": name}),
        )  # fmt: skip
        assert json.loads(printed)["registrationState"]["assignedHub"] == service.host


class TestByClientCertificate:
    def _curl(self, service: RunningService, key: DeviceKey, chain: str) -> dict[str, Any]:
        shown = key.write(chain, "bootstrap.pem")
        printed = run(
            "curl", "--silent", "--show-error", "--cacert", str(service.trust_root),
            "--cert", str(shown), "--key", str(key.file), "-X", "PUT",
            f"{service.url}{registrations(service, key.registration_id)}/register?{OLD}",
            "-H", "Content-Type: application/json",
            "-d", json.dumps({"registrationId": key.registration_id}),
        )  # fmt: skip
        document: dict[str, Any] = json.loads(printed)
        return document

    def test_a_self_signed_one_that_is_enrolled(self, service: RunningService, key: DeviceKey) -> None:
        certificate = key.self_signed().pem
        x509_individual(service, key.registration_id, certificate)
        told = self._curl(service, key, certificate)
        assert told["status"] == "assigned"
        info = told["registrationState"]["x509"]["certificateInfo"]
        assert info["subjectName"] == f"CN={key.registration_id}"
        assert None not in info.values()
        assert len(info) == 8

    def test_a_chain_of_three_below_an_enrolled_root(self, service: RunningService, key: DeviceKey) -> None:
        root = authority(f"Root of {key.registration_id}")
        intermediate = below(root, f"Line of {key.registration_id}")
        group = f"vendor-of-{key.registration_id}"
        x509_group(service, group, root.pem)
        told = self._curl(service, key, key.issued_by(intermediate).pem + intermediate.pem + root.pem)
        assert told["registrationState"]["x509"]["enrollmentGroupId"] == group

    def test_a_leaf_whose_intermediate_was_left_out_is_refused(
        self, service: RunningService, key: DeviceKey
    ) -> None:
        root = authority(f"Root of {key.registration_id}")
        intermediate = below(root, f"Line of {key.registration_id}")
        x509_group(service, f"vendor-of-{key.registration_id}", root.pem)
        told = self._curl(service, key, key.issued_by(intermediate).pem)
        assert told["errorCode"] // 1000 == 401

    def test_a_certificate_does_not_prove_another_name(
        self, service: RunningService, key: DeviceKey, name: str
    ) -> None:
        certificate = key.self_signed()
        x509_individual(service, key.registration_id, certificate.pem)
        other = f"not-{name}"
        x509_individual(service, other, DeviceKey(other, key.file.parent).self_signed().pem)
        shown = key.write(certificate.pem, "bootstrap.pem")
        with service.https(cert=(shown, key.file)) as http:
            answer = http.put(f"{registrations(service, other)}/register?{OLD}", json={})
        _is_refused(answer, 401)


class TestRefusals:
    def test_nothing_shown(self, service: RunningService, name: str) -> None:
        symmetric_individual(service, name)
        with service.https() as http:
            _is_refused(http.put(f"{registrations(service, name)}/register?{OLD}", json={}), 401)
            _is_refused(http.post(f"{registrations(service, name)}?{OLD}", json={}), 401)

    @pytest.mark.parametrize("version", ["", "api-version=", "api-version=1999-01-01"])
    def test_an_api_version_that_is_not_known(self, service: RunningService, name: str, version: str) -> None:
        key = symmetric_individual(service, name)
        with service.https(headers=authorization(service, name, key)) as http:
            _is_refused(http.put(f"{registrations(service, name)}/register?{version}", json={}), 400)

    def test_another_id_in_the_body(self, service: RunningService, name: str) -> None:
        key = symmetric_individual(service, name)
        with service.https(headers=authorization(service, name, key)) as http:
            body = {"registrationId": "another"}
            _is_refused(http.put(f"{registrations(service, name)}/register?{OLD}", json=body), 400)

    def test_another_scope(self, service: RunningService, name: str) -> None:
        key = symmetric_individual(service, name)
        with service.https(headers=authorization(service, name, key)) as http:
            _is_refused(http.put(f"/0ne00000000/registrations/{name}/register?{OLD}", json={}), 401)

    def test_somebody_elses_operation_is_not_told(self, service: RunningService, name: str) -> None:
        key = symmetric_individual(service, name)
        with service.https(headers=authorization(service, name, key)) as http:
            told = http.put(f"{registrations(service, name)}/register?{OLD}", json={}).json()
        other = f"other-{name}"
        other_key = symmetric_individual(service, other)
        with service.https(headers=authorization(service, other, other_key)) as http:
            http.put(f"{registrations(service, other)}/register?{OLD}", json={}).raise_for_status()
            path = f"{registrations(service, other)}/operations/{told['operationId']}?{OLD}"
            _is_refused(http.get(path), 404)

    def test_the_look_up_of_a_device_that_never_registered(self, service: RunningService, name: str) -> None:
        key = symmetric_individual(service, name)
        with service.https(headers=authorization(service, name, key)) as http:
            _is_refused(http.post(f"{registrations(service, name)}?{OLD}", json={}), 404)


def _is_refused(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert told["errorCode"] // 1000 == status
    assert answer.headers["x-ms-error-code"] == str(told["errorCode"])
    assert told["trackingId"]
    assert told["message"]
    assert told["timestampUtc"].endswith("Z")
