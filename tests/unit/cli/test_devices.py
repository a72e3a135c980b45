"""`accredit device`, `cert`, `log` and `hub` on devices that registered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from support.command import Ran
from support.device_key import DeviceKey, derived_key
from support.enrolling import issuing, symmetric_group
from support.raw_device import DpsDevice, HubDevice
from support.running_service import RunningService

Run = Callable[..., Ran]

CERT_LIST = {
    "serial", "sha256", "authority", "registrationId", "deviceId", "status", "notBefore", "notAfter",
}  # fmt: skip
TELEMETRY = {
    "deviceId", "body", "properties", "systemProperties", "enqueuedTimeUtc", "sequenceNumber", "authMethod",
}  # fmt: skip


@pytest.fixture
def lamp(service: RunningService, name: str, tmp_path: Path) -> DeviceKey:
    """A device of the group `of-{name}` that has its certificate and has used it."""
    key = DeviceKey(name, tmp_path)
    master = symmetric_group(service, f"of-{name}", **issuing())
    with DpsDevice(service, name, key=derived_key(master, name)) as device:
        answer = device.registers(clientCertificateCsr=key.csr())
    certificate = key.write(answer.state["issuedClientCertificate"])
    with HubDevice(service, name, certificate=(certificate, key.file)) as device:
        device.sends(b'{"on": true}')
    return key


def test_a_registration_is_listed_and_shown(service: RunningService, run: Run, lamp: DeviceKey) -> None:
    name = lamp.registration_id
    shown = run("device", "show", name).document
    assert (shown["registrationId"], shown["deviceId"]) == (name, name)
    assert (shown["assignedHub"], shown["status"]) == (service.host, "assigned")
    assert shown in run("device", "list", "--json").rows
    assert run("device", "list", "--group", f"of-{name}", "--json").rows == [shown]
    assert name in run("device", "list").out
    assert "no such registration" in run("device", "show", "absent").sentence.lower()


def test_a_registration_is_moved(service: RunningService, run: Run, lamp: DeviceKey) -> None:
    name = lamp.registration_id
    symmetric_group(service, f"next-{name}")
    run("device", "move", name, "--group", f"next-{name}")
    assert len(run("device", "list", "--group", f"next-{name}", "--json").rows) == 1
    assert run("device", "list", "--group", f"of-{name}", "--json").rows == []
    assert run("device", "move", name, "--group", "absent").code == 1
    run("enroll", "add", name)
    assert run("device", "move", name, "--individual").code == 0


def test_its_certificate_is_listed_and_shown(run: Run, lamp: DeviceKey) -> None:
    (row,) = run("cert", "list", "--registration-id", lamp.registration_id, "--json").rows
    assert row.keys() >= CERT_LIST
    assert row["serial"] == row["serial"].upper()
    assert row["sha256"] == row["sha256"].lower()
    assert (row["authority"], row["status"]) == ("builtin", "active")
    assert row["registrationId"] == row["deviceId"] == lamp.registration_id
    assert row in run("cert", "list", "--json").rows
    for spelling in (row["serial"], row["serial"].lower(), row["sha256"]):
        assert "BEGIN CERTIFICATE" in run("cert", "show", spelling).document["certificate"]
    assert row["serial"] in run("cert", "list").out
    assert run("cert", "show", "00").code == 1
    assert "hex" in run("cert", "show", "not-hex").sentence


def test_the_log_agrees_with_the_certificates(run: Run, lamp: DeviceKey) -> None:
    ran = run("log", "verify")
    assert ran.code == 0
    count = len(run("cert", "list", "--json").rows)
    assert f"{count} leaves" in ran.out


def test_its_message_is_shown(run: Run, lamp: DeviceKey) -> None:
    name = lamp.registration_id
    (row,) = run("hub", "telemetry", "--device", name, "--json").rows
    assert row.keys() == TELEMETRY
    assert (row["deviceId"], row["body"], row["properties"]) == (name, '{"on": true}', {})
    assert row in run("hub", "telemetry", "--json").rows
    assert name in run("hub", "telemetry").out
    assert run("hub", "telemetry", "--device", "absent", "--json").rows == []
