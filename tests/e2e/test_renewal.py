"""Renewal over the hub, as a device does it: over MQTT and TLS, with the certificate that it holds."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from accredit.domain.ids import DeviceId
from accredit.wire import credentials, mqtt, topics
from support.device_key import DeviceKey
from support.enrolling import issuing, symmetric_individual
from support.raw_device import DpsDevice, HubDevice
from support.running_service import RunningService

RID = "db8c0f73-ac73-4b90-bba4-8a26ae2fcb27"


class Lamp:
    """A device that is provisioned with a certificate, and renews it over its hub."""

    def __init__(self, service: RunningService, name: str, folder: Path) -> None:
        self.service, self.name, self._folder = service, name, folder
        self.secret = symmetric_individual(service, name, **issuing("builtin"))
        key = DeviceKey(name, folder / "first")
        with DpsDevice(service, name, key=self.secret) as device:
            answer = device.registers(clientCertificateCsr=key.csr())
        self.renewal = answer.state["certificateRenewal"]
        self.certificate = key.write(answer.state["issuedClientCertificate"]), key.file

    def connected(self) -> HubDevice:
        device = HubDevice(self.service, self.name, certificate=self.certificate)
        assert device.code == 0
        return device

    def connects(self, certificate: tuple[Path, Path], code: int = 0) -> None:
        with HubDevice(self.service, self.name, certificate=certificate) as device:
            assert device.code == code

    def csr(self, key: DeviceKey) -> str:
        """As Azure's devices send it: base64 of DER."""
        return b64encode(x509.load_pem_x509_csr(key.csr().encode()).public_bytes(Encoding.DER)).decode()

    def new_key(self, label: str) -> DeviceKey:
        return DeviceKey(self.name, self._folder / label)

    def statuses(self) -> list[str]:
        rows = sorted(self.service.certificates(self.name), key=lambda row: row["issuedAt"])
        return [row["status"] for row in rows]


def subscribe(device: HubDevice) -> None:
    device.say(mqtt.Subscribe(device.next_packet_id(), ((topics.CREDENTIAL_RESPONSES, 1),)))
    granted = device.hears()
    assert isinstance(granted, mqtt.SubAck)
    assert granted.codes == (1,)


def ask(device: HubDevice, csr: str, rid: str = RID, replace: str | None = None) -> None:
    body = credentials.request_body(DeviceId(device.device_id), credentials.IssueCertificate(csr, replace))
    packet_id = device.next_packet_id()
    device.say(mqtt.Publish(topics.format_credential_request(rid), body, 1, packet_id))
    assert device.hears() == mqtt.PubAck(packet_id)


def hear(device: HubDevice) -> tuple[int, dict[str, Any]]:
    packet = device.hears()
    assert isinstance(packet, mqtt.Publish), packet
    assert packet.packet_id is not None
    device.say(mqtt.PubAck(packet.packet_id))
    response = topics.parse_credential_response(packet.topic)
    assert response.rid == RID
    return response.status, json.loads(packet.payload)


@pytest.fixture
def lamp(service: RunningService, name: str, tmp_path: Path) -> Lamp:
    return Lamp(service, name, tmp_path)


def test_a_certificate_is_renewed_and_takes_over_when_it_is_used(lamp: Lamp) -> None:
    key = lamp.new_key("second")
    with lamp.connected() as device:
        subscribe(device)
        ask(device, lamp.csr(key))
        status, accepted = hear(device)
        assert (status, accepted.keys()) == (202, {"correlationId", "operationExpires"})
        status, renewed = hear(device)
        assert (status, renewed["correlationId"]) == (200, accepted["correlationId"])
        device.sends()
    assert sorted(lamp.statuses()) == ["active", "pending"]
    leaf, *above = (x509.load_der_x509_certificate(b64decode(text)) for text in renewed["certificates"])
    assert leaf.public_key() == key.private.public_key()
    for certificate, issuer in zip([leaf, *above], above, strict=False):
        certificate.verify_directly_issued_by(issuer)
    lamp.connects(lamp.certificate)
    pem = "".join(each.public_bytes(Encoding.PEM).decode() for each in (leaf, *above))
    lamp.connects((key.write(pem), key.file))
    assert sorted(lamp.statuses()) == ["active", "retired"]
    lamp.connects(lamp.certificate, code=5)


def test_the_device_is_told_when_to_come_back(lamp: Lamp) -> None:
    renewal = lamp.renewal
    assert renewal["windowOpens"] < renewal["renewAt"] < renewal["windowCloses"]
    [row] = lamp.service.certificates(lamp.name)
    assert row["notBefore"] < renewal["windowOpens"]
    assert renewal["windowCloses"] < row["notAfter"]


def test_what_a_lost_connection_missed_comes_with_the_next_subscription(lamp: Lamp) -> None:
    csr = lamp.csr(lamp.new_key("second"))
    with lamp.connected() as device:
        subscribe(device)
        ask(device, csr)
    with lamp.connected() as device:
        subscribe(device)
        status, renewed = hear(device)
        assert status == 200
        ask(device, csr)
        status, accepted = hear(device)
        assert (status, accepted["correlationId"]) == (202, renewed["correlationId"])
        assert hear(device) == (200, renewed)
    assert lamp.statuses().count("pending") == 1


def test_a_csr_for_another_device_changes_nothing(lamp: Lamp) -> None:
    other = DeviceKey("another", lamp._folder / "other")
    with lamp.connected() as device:
        subscribe(device)
        ask(device, lamp.csr(other))
        assert hear(device)[0] == 202
        status, problem = hear(device)
        assert (status, problem["errorCode"]) == (400, 400037)
        assert problem["info"]["credentialError"] == "400000"
    assert lamp.statuses() == ["active"]


def test_a_revoked_device_renews_nothing(lamp: Lamp) -> None:
    with lamp.connected() as device:
        subscribe(device)
        lamp.service.cli("device", "revoke", lamp.name, "--reason", "keyCompromise")
        assert device.is_closed()
    lamp.connects(lamp.certificate, code=5)


def test_the_forecast_and_the_orphans_are_told(lamp: Lamp) -> None:
    rows = lamp.service.rows("cert", "forecast", "--days", "40", "--json")
    assert len(rows) == 40
    assert sum(row["ends"] for row in rows) >= 1
    assert sum(row["renewals"] for row in rows) >= 1
    chart = lamp.service.cli("cert", "forecast", "--days", "40").stdout
    assert "█" in chart
    assert "▒" in chart
    orphans = lamp.service.rows("cert", "orphans", "--json")
    assert lamp.name not in {orphan.get("registrationId") for orphan in orphans}
    lamp.service.cli("cert", "orphans")


def test_another_authority_takes_over_without_a_moment_without_a_certificate(lamp: Lamp) -> None:
    """The enrollment is changed, the device renews over its hub as ever, and both certificates are good in between."""
    second = f"{lamp.name}-ca"
    lamp.service.cli("ca", "add", second, "--type", "BuiltIn")
    document = lamp.service.client().call("GET", f"/enrollments/{lamp.name}").json()
    document["clientCertificateIssuancePolicy"] = {"certificateAuthorityName": second}
    lamp.service.put(f"/enrollments/{lamp.name}", document)
    lamp.connects(lamp.certificate)
    key = lamp.new_key("second")
    with lamp.connected() as device:
        subscribe(device)
        ask(device, lamp.csr(key))
        assert hear(device)[0] == 202
        status, renewed = hear(device)
        assert status == 200
    lamp.connects(lamp.certificate)
    pem = "".join(
        x509.load_der_x509_certificate(b64decode(text)).public_bytes(Encoding.PEM).decode()
        for text in renewed["certificates"]
    )
    lamp.connects((key.write(pem), key.file))
    rows = {row["authority"]: row["status"] for row in lamp.service.certificates(lamp.name)}
    assert rows == {"builtin": "retired", second: "active"}
