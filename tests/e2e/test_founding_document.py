"""The document that it all began with, step by step: curl and openssl as it has them, then the device of its sample.

The certificate authority is a DigiCert ONE that signs for real; the operator's commands are the document's own, with
its placeholders filled in.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509

from support import sdk_device
from support.device_key import derived_key
from support.digicert_process import DigiCertProcess
from support.programs import need, run
from support.raw_device import DpsDevice
from support.running_service import RunningService

pytestmark = pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLSv1_2:DeprecationWarning")

PUT_AUTHORITY = """
curl -k -L -i -X PUT https://<dps_service_endpoint>/certificateAuthorities/<ca_name>?api-version=2021-11-01-preview
-H 'Authorization: <service_api_sas_token>' -H 'Content-Type: application/json' -H 'Content-Encoding: utf-8'
-d'{"certificateAuthorityType":"DigiCertCertificateAuthority","apiKey":"<api_key>","profileName":"<profile_id>"}'
"""
PUT_ENROLLMENT = """
curl -k -L -i -X PUT -H "Content-Type: application/json" -H "Content-Encoding:  utf-8"
-H "Authorization: <service_api_sas_token>"
https://<dps_service_endpoint>/enrollments/<registration_id>?api-version=2021-11-01-preview -H "If-Match: *"
-d '{ "registrationId": "<registration_id>", "attestation": { "type": "symmetricKey" },
"clientCertificateIssuancePolicy": {"certificateAuthorityName":"<ca_name>"} }'
"""
PUT_GROUP = """
curl -k -L -i -X PUT -H "Content-Type: application/json" -H "Content-Encoding:  utf-8"
-H "Authorization: <service_api_sas_token>"
https://<dps_service_endpoint>/enrollmentGroups/<enrollment_group_id>?api-version=2021-11-01-preview
-H "If-Match: *" -d '{ "enrollmentGroupId": "<enrollment_group_id>", "attestation": { "type": "symmetricKey" },
"clientCertificateIssuancePolicy": {"certificateAuthorityName":"<ca_name>"}}'
"""
MAKE_KEY = "openssl ecparam -genkey -name prime256v1 -out ec256-key-pair.key"
MAKE_CSR = "openssl req -new -key ec256-key-pair.key -out ecc256.csr -subj '/CN=my-registration-id'"


@dataclass
class Walk:
    """Someone who follows the document, in a folder of their own."""

    service: RunningService
    folder: Path
    placeholders: dict[str, str]

    def runs(self, command: str, **more: str) -> str:
        words = command.replace("my-registration-id", more.get("registration_id", ""))
        for name, value in {**self.placeholders, **more}.items():
            words = words.replace(f"<{name}>", value)
        words = words.replace("ec256-key-pair.key", str(self.key)).replace("ecc256.csr", str(self.csr))
        return run(*shlex.split(words.strip()))

    def puts(self, command: str, **more: str) -> dict[str, object]:
        """Run curl; the answer must be a 200."""
        head, _, body = self.runs(command, **more).partition("\n\n")
        assert head.startswith("HTTP/1.1 200 "), head + body
        document: dict[str, object] = json.loads(body)
        return document

    @property
    def key(self) -> Path:
        return self.folder / "ec256-key-pair.key"

    @property
    def csr(self) -> Path:
        return self.folder / "ecc256.csr"


@pytest.fixture
def walk(outside: RunningService, digicert: DigiCertProcess, tmp_path: Path) -> Walk:
    need("curl")
    need("openssl")
    token = outside.cli("sas-token", "--policy", "provisioningserviceowner").stdout
    assert token.startswith("SharedAccessSignature ")
    assert token.count("\n") == 1
    placeholders = {
        "dps_service_endpoint": f"{outside.host}:{outside.https_port}",
        "service_api_sas_token": token.strip(),
        "api_key": digicert.api_key,
        "profile_id": digicert.profile,
    }
    return Walk(outside, tmp_path, placeholders)


@pytest.mark.slow
async def test_the_walk_of_one_device(walk: Walk, digicert: DigiCertProcess) -> None:
    told = walk.puts(PUT_AUTHORITY, ca_name="walkca")
    assert "apiKey" not in told
    enrollment = walk.puts(PUT_ENROLLMENT, registration_id="mydevice1", ca_name="walkca")
    assert walk.puts(PUT_ENROLLMENT, registration_id="mydevice1", ca_name="walkca").get("etag")
    key = _primary_key(walk, "enrollments/mydevice1")
    assert enrollment["clientCertificateIssuancePolicy"] == {"certificateAuthorityName": "walkca"}

    walk.runs(MAKE_KEY)
    walk.runs(MAKE_CSR, registration_id="mydevice1")
    certificate = _provisioned(walk, "mydevice1", key)
    assert len(digicert.signed("mydevice1")) == 1

    await _sends_ten_messages(walk, "mydevice1", certificate)
    # "The same CSR can be reused and sent to DPS multiple times."
    assert _provisioned(walk, "mydevice1", key).read_bytes() == certificate.read_bytes()
    assert len(digicert.signed("mydevice1")) == 1
    await _sends_ten_messages(walk, "mydevice1", certificate)
    assert len(walk.service.telemetry("mydevice1")) == 20


@pytest.mark.slow
async def test_the_walk_of_a_group(walk: Walk) -> None:
    group = walk.puts(PUT_GROUP, enrollment_group_id="fleet", ca_name="myca1")
    assert group["enrollmentGroupId"] == "fleet"
    master = _primary_key(walk, "enrollmentGroups/fleet")

    walk.runs(MAKE_KEY)
    walk.runs(MAKE_CSR, registration_id="my-fleet-device")
    derived = walk.service.cli("enroll", "derive-key", "my-fleet-device", "--group", "fleet").stdout.strip()
    assert derived == derived_key(master, "my-fleet-device")
    certificate = _provisioned(walk, "my-fleet-device", derived)
    await _sends_ten_messages(walk, "my-fleet-device", certificate)
    assert len(walk.service.telemetry("my-fleet-device")) == 10


def _primary_key(walk: Walk, path: str) -> str:
    """The operator asks for the keys that the service made; a GET never shows them."""
    shown = walk.service.client().call("GET", f"/{path}").json()
    assert "primaryKey" not in json.dumps(shown)
    keys = walk.service.client().call("POST", f"/{path}/attestationmechanism").json()
    return str(keys["symmetricKey"]["primaryKey"])


def _provisioned(walk: Walk, registration_id: str, key: str) -> Path:
    """What the document's sample does: the CSR file as it is in `clientCertificateCsr`, the answer into a file."""
    with DpsDevice(walk.service, registration_id, key=key, api_version="2021-11-01-preview") as device:
        answer = device.outcome(device.registers(clientCertificateCsr=walk.csr.read_text(), payload=None))
    assert answer.document["status"] == "assigned", answer.document
    assert answer.state["assignedHub"] == walk.service.host
    assert "payload" not in answer.state
    path = walk.folder / f"{registration_id}.pem"
    path.write_text(answer.state["issuedClientCertificate"])
    chain = x509.load_pem_x509_certificates(path.read_bytes())
    assert chain[0].subject.rfc4514_string() == f"CN={registration_id}"
    for certificate, issuer in zip(chain, chain[1:], strict=False):
        certificate.verify_directly_issued_by(issuer)
    return path


async def _sends_ten_messages(walk: Walk, device_id: str, certificate: Path) -> None:
    credential = sdk_device.x509(certificate, walk.key)
    async with sdk_device.hub_connection(walk.service, device_id, certificate=credential) as hub:
        await sdk_device.send(hub, 10)
