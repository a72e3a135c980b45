"""A device asks for the proof that the issuance log has its certificate, and checks it with what the docs give it."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509

from support.device_key import DeviceKey
from support.digicert_process import DigiCertProcess
from support.enrolling import issuing, symmetric_individual
from support.raw_device import DpsDevice, sas_token
from support.running_service import RunningService
from support.sdk_device import MQTT, WEBSOCKET, Transport, provisioning_client, run_registration
from support.walked_page import blocks

pytestmark = pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2:DeprecationWarning")

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "prove-a-certificate.md"

Check = Callable[[x509.Certificate, dict[str, Any], bytes], None]


@pytest.fixture(scope="module")
def check() -> Check:
    """The check of the docs' page."""
    (script,) = [block.text for block in blocks(PAGE.read_text()) if block.argument == "check_log_proof.py"]
    module: dict[str, Any] = {"__name__": "check_log_proof"}
    exec(compile(script, str(PAGE), "exec"), module)
    made: Check = module["check"]
    return made


def log_key(service: RunningService) -> bytes:
    return base64.b64decode(service.client().call("GET", "/issuanceLog/head").json()["publicKey"])


def leaf_of(chain: str) -> x509.Certificate:
    return x509.load_pem_x509_certificates(chain.encode())[0]


@pytest.mark.parametrize("transport", [MQTT, WEBSOCKET], ids=["mqtt", "websocket"])
async def test_the_stock_sdk_gets_a_proof_that_holds(
    service: RunningService, key: DeviceKey, transport: Transport, check: Check
) -> None:
    secret = symmetric_individual(service, key.registration_id, **issuing())
    payload = {"clientCertificateCsr": key.csr(), "issuanceLogProof": True}
    told: dict[str, Any] = {}
    while (
        "issuanceLogProof" not in told
    ):  # on a busy machine there may be none yet, and the device asks again
        client = provisioning_client(service, key.registration_id, transport, key=secret)
        client.provisioning_payload = payload
        told = json.loads((await run_registration(client)).registration_state.response_payload)
    leaf, proof = leaf_of(told["issuedClientCertificate"]), told["issuanceLogProof"]
    check(leaf, proof, log_key(service))
    with pytest.raises(ValueError, match="does not cover"):
        check(leaf, proof | {"loggedAt": proof["loggedAt"] + 1}, log_key(service))
    certificate = key.write(told["issuedClientCertificate"])
    while (newer := shown(service, certificate, key.file)).status_code == 503:
        continue
    assert newer.status_code == 200
    check(leaf, newer.json(), log_key(service))


def shown(service: RunningService, *certificate: Path) -> httpx.Response:
    with service.https(**({"cert": tuple(map(str, certificate))} if certificate else {})) as http:
        return http.get("/issuanceLogProof")


@pytest.mark.parametrize("field", ["clientCertificateCsr", "csr"])
def test_beside_a_csr_in_a_field_of_its_own(
    service: RunningService, key: DeviceKey, field: str, check: Check
) -> None:
    secret = symmetric_individual(service, key.registration_id, **issuing())
    resource = f"{service.id_scope}/registrations/{key.registration_id}"
    body = {"registrationId": key.registration_id, field: key.csr(), "payload": {"issuanceLogProof": True}}
    with service.https(headers={"Authorization": sas_token(resource, secret)}) as http:
        state: dict[str, Any] = {}
        while "issuanceLogProof" not in state:
            answer = http.put(f"/{resource}/register?api-version=2021-11-01-preview", json=body)
            state = answer.json()["registrationState"]
    der = state.get("issuedCertificateChain")
    leaf = (
        x509.load_der_x509_certificate(base64.b64decode(der[0]))
        if der
        else leaf_of(state["issuedClientCertificate"])
    )
    check(leaf, state["issuanceLogProof"], log_key(service))


def test_who_does_not_ask_hears_nothing_of_it(service: RunningService, key: DeviceKey) -> None:
    secret = symmetric_individual(service, key.registration_id, **issuing())
    with DpsDevice(service, key.registration_id, key=secret) as device:
        answer = device.registers(clientCertificateCsr=key.csr())
    assert "issuanceLogProof" not in json.dumps(answer.document)


def test_a_poll_carries_what_the_register_call_asked_for(
    outside: RunningService, digicert: DigiCertProcess, key: DeviceKey, check: Check
) -> None:
    """With a CA outside that takes its time."""
    secret = symmetric_individual(outside, key.registration_id, **issuing("myca1"))
    digicert.hold()
    try:
        with DpsDevice(outside, key.registration_id, key=secret) as device:
            answer = device.registers(payload={"clientCertificateCsr": key.csr(), "issuanceLogProof": True})
            assert answer.status == 202
            operation_id = answer.document["operationId"]
            assert device.polls(operation_id).document["status"] == "assigning"
            digicert.answer()
            told: dict[str, Any] = {}
            while "issuanceLogProof" not in told:
                time.sleep(0.05)
                answer = device.polls(operation_id)
                told = {} if answer.status == 202 else answer.state["payload"]
    finally:
        digicert.answer()
    check(leaf_of(told["issuedClientCertificate"]), told["issuanceLogProof"], log_key(outside))


def test_a_stranger_with_a_certificate_of_its_own_is_told_nothing(
    service: RunningService, key: DeviceKey, tmp_path: Path
) -> None:
    certificate = tmp_path / "own.pem"
    certificate.write_text(key.self_signed().pem)
    assert shown(service, certificate, key.file).status_code == 404
    assert shown(service).status_code == 401
