"""Certificate management as its two previews have it, side by side, on each wire: 2021-11-01 and 2025-07-01.

azure-rest-api-specs, deviceprovisioningservices; the C, C# and Java branches of the second preview.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.wire.api_versions import API_VERSIONS
from support import pki
from support.device_key import DeviceKey
from support.enrolling import issuing, symmetric_individual
from support.raw_device import DpsDevice, HubDevice, sas_token
from support.running_service import RunningService

NEWEST = "2025-07-01-preview"


def one_line(key: DeviceKey) -> str:
    """The `csr` of the second preview: base64 of the DER, no header, one line."""
    return b64encode(x509.load_pem_x509_csr(key.csr().encode()).public_bytes(Encoding.DER)).decode()


def chain_of(state: dict[str, Any]) -> list[x509.Certificate]:
    """Leaf, intermediates, root: each the issuer of the one before."""
    texts = state["issuedCertificateChain"]
    chain = [x509.load_der_x509_certificate(b64decode(text, validate=True)) for text in texts]
    for below, above in zip(chain, chain[1:] + chain[-1:], strict=True):
        below.verify_directly_issued_by(above)
    return chain


def test_the_newest_preview_over_mqtt(service: RunningService, key: DeviceKey) -> None:
    name = key.registration_id
    master = symmetric_individual(service, name, credentialPolicyName="BuiltIn")
    with DpsDevice(service, name, key=master) as device:
        told = device.registers(csr=one_line(key))
        polled = device.polls(told.document["operationId"])
    assert polled.state["issuedCertificateChain"] == told.state["issuedCertificateChain"]
    assert "issuedClientCertificate" not in told.state
    chain = chain_of(told.state)
    assert len(chain) == 3
    # As the C client writes it: each text between its own header and footer.
    pem = "".join(one.public_bytes(Encoding.PEM).decode() for one in chain)
    with HubDevice(service, name, certificate=(key.write(pem), key.file)) as device:
        device.sends(b"{}")


def test_the_newest_preview_over_https(service: RunningService, key: DeviceKey) -> None:
    name = key.registration_id
    master = symmetric_individual(service, name, credentialPolicyName="builtin")
    path = f"/{service.id_scope}/registrations/{name}"
    with service.https(headers={"Authorization": sas_token(path[1:], master)}) as http:
        told = http.put(f"{path}/register?api-version={NEWEST}", json={"csr": one_line(key)}).json()
        assert len(chain_of(told["registrationState"])) == 3
        looked_up = http.post(f"{path}?api-version={NEWEST}", json={"registrationId": name})
        assert looked_up.status_code == 200
        assert "issuedCertificateChain" not in looked_up.json()
        refused = http.post(f"{path}?api-version={NEWEST}", json={"csr": one_line(key)})
        assert (refused.status_code, "csr" in refused.json()["message"]) == (400, True)


def test_a_csr_of_each_preview_in_one_call(service: RunningService, key: DeviceKey) -> None:
    name = key.registration_id
    master = symmetric_individual(service, name, **issuing())
    with DpsDevice(service, name, key=master) as device:
        refused = device.registers(csr=one_line(key), clientCertificateCsr=key.csr())
    assert refused.status == 400
    assert "clientCertificateCsr and csr" in refused.document["message"]


def test_a_trust_bundle_with_each_form(service: RunningService, key: DeviceKey) -> None:
    name = key.registration_id
    root = pki.root("Update root")
    service.put(f"/trustBundles/{name}", {"certificates": [{"certificate": root.pem}]})
    master = symmetric_individual(service, name, trustBundleId=name, **issuing())
    with DpsDevice(service, name, key=master) as device:
        answers = [
            device.registers(),
            device.registers(csr=one_line(key)),
            device.registers(clientCertificateCsr=key.csr()),
            device.registers(payload={"clientCertificateCsr": key.csr()}),
        ]
    for answer in answers:
        bundle = answer.state["trustBundle"]
        assert [one["certificate"] for one in bundle["certificates"]] == [root.pem]
    payload = answers[-1].state["payload"]
    assert payload["trustBundle"] == answers[-1].state["trustBundle"]
    assert payload["issuedClientCertificate"].startswith("-----BEGIN CERTIFICATE-----")


@pytest.mark.parametrize("version", sorted(API_VERSIONS))
def test_every_version_on_both_apis(service: RunningService, name: str, version: str) -> None:
    master = symmetric_individual(service, name)
    shown = service.client().call("GET", f"/enrollments/{name}", query={"api-version": version})
    assert shown.json()["registrationId"] == name
    path = f"/{service.id_scope}/registrations/{name}"
    with service.https(headers={"Authorization": sas_token(path[1:], master)}) as http:
        told = http.put(f"{path}/register?api-version={version}", json={"registrationId": name})
    assert told.json()["status"] == "assigned"
