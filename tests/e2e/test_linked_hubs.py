"""Linked hubs as an operator and a device meet them: a second one in the same service, and one elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from accredit.domain.access import Realm
from support.device_key import DeviceKey, derived_key
from support.enrolling import issuing, symmetric_group, symmetric_individual
from support.raw_device import DpsDevice, HubDevice
from support.running_service import RunningService, loopback_address


@pytest.fixture(scope="module")
def second() -> str:
    """The name of the second hub: another address of the service."""
    return loopback_address()


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory, second: str) -> Iterator[RunningService]:
    with RunningService(tmp_path_factory.mktemp("both"), arguments=["--bind", second]) as running:
        linked = running.cli("hub", "link", second, "--weight", "2", "--location", "cellar")
        assert '"kind": "embedded"' in linked.stdout
        yield running
    assert "Traceback" not in running.log_text()


def test_both_are_listed(both: RunningService, second: str) -> None:
    rows = both.rows("hub", "list")
    assert [(row["name"], row["kind"], row["allocationWeight"]) for row in rows] == [
        (both.host, "embedded", 1),
        (second, "embedded", 2),
    ]
    assert '"location": "cellar"' in both.cli("hub", "show", second).stdout


def test_a_device_is_assigned_to_it_and_is_known_there_alone(
    both: RunningService, second: str, name: str, tmp_path: Path
) -> None:
    key = DeviceKey(name, tmp_path)
    master = symmetric_group(both, f"of-{name}", iotHubs=[second], **issuing())
    with DpsDevice(both, name, key=derived_key(master, name)) as device:
        state = device.registers(clientCertificateCsr=key.csr()).state
    assert state["assignedHub"] == second
    certificate = (key.write(state["issuedClientCertificate"]), key.file)
    for hub, code in ((both.host, 5), (second, 0)):
        with HubDevice(both, name, certificate=certificate, hub=hub) as device:
            assert device.code == code, hub
            if code == 0:
                device.sends(b"from below")
    (row,) = both.rows("hub", "telemetry", "--device", name, "--hub", second)
    assert (row["hub"], row["body"]) == (second, "from below")
    assert both.rows("hub", "telemetry", "--device", name, "--hub", both.host) == []
    refused = both.cli("hub", "unlink", second, check=False)
    assert refused.returncode == 1
    assert " registrations" in refused.stderr


def test_the_same_device_id_at_both_is_two_devices(both: RunningService, second: str, name: str) -> None:
    here = symmetric_individual(both, name, iotHubs=[both.host])
    there = symmetric_individual(both, f"{name}-b", iotHubs=[second], deviceId=name)
    for registration_id, secret in ((name, here), (f"{name}-b", there)):
        with DpsDevice(both, registration_id, key=secret) as device:
            assert device.registers().state["deviceId"] == name
    for hub, secret, code in (
        (both.host, here, 0),
        (second, there, 0),
        (both.host, there, 5),
        (second, here, 5),
    ):
        with HubDevice(both, name, key=secret, hub=hub) as device:
            assert device.code == code, (hub, secret)


def test_a_name_that_leads_elsewhere_is_refused(both: RunningService) -> None:
    refused = both.cli("hub", "link", "192.0.2.1", check=False)
    assert refused.returncode == 1
    assert "does not listen" in refused.stderr


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with RunningService(
        tmp_path_factory.mktemp("elsewhere"), environment={"ACCREDIT_EGRESS_ALLOW": "127.0.0.0/8"}
    ) as running:
        yield running
    assert "Traceback" not in running.log_text()


def link(linking: RunningService, hub: RunningService, text: str, folder: Path) -> tuple[int, str]:
    file = folder / "connection-string"
    file.write_text(text)
    done = linking.cli(
        "hub", "link", hub.host, "--connection-string-file", str(file), "--trust-anchors", str(hub.trust_root),
        check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


def test_a_hub_elsewhere(elsewhere: RunningService, service: RunningService, tmp_path: Path) -> None:
    text = service.info()["iotHubConnectionString"]
    key = text.partition("SharedAccessKey=")[2]
    code, said = link(elsewhere, service, text, tmp_path)
    assert code == 0, said
    assert '"kind": "azure"' in said
    shown = elsewhere.cli("hub", "show", service.host).stdout
    assert [place for place in (said, shown, elsewhere.log_text()) if key in place] == []
    assert [row["name"] for row in elsewhere.rows("hub", "list")] == [elsewhere.host, service.host]
    elsewhere.cli("hub", "unlink", service.host)
    assert [row["name"] for row in elsewhere.rows("hub", "list")] == [elsewhere.host]


def test_one_that_does_not_let_us_in(
    elsewhere: RunningService, service: RunningService, tmp_path: Path
) -> None:
    text = service.info()["iotHubConnectionString"]
    wrong = text.partition("SharedAccessKey=")[0] + "SharedAccessKey=" + "A" * 43 + "="
    code, said = link(elsewhere, service, wrong, tmp_path)
    assert code == 1
    assert "does not accept this service" in said
    reading = json.loads(
        service.cli("policy", "add", "only-reads", "--hub", "--right", "RegistryRead").stdout
    )
    place = f"HostName={service.host}:{service.https_port};SharedAccessKeyName=only-reads"
    code, said = link(elsewhere, service, f"{place};SharedAccessKey={reading['primaryKey']}", tmp_path)
    assert code == 1
    assert "RegistryWrite" in said
    assert elsewhere.rows("hub", "list")[1:] == []


@pytest.fixture(scope="module")
def remote(
    elsewhere: RunningService, service: RunningService, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The shared service's hub, linked by another service."""
    text = service.info()["iotHubConnectionString"]
    code, said = link(elsewhere, service, text, tmp_path_factory.mktemp("link"))
    assert code == 0, said
    return service.host


def test_a_device_is_assigned_to_a_hub_elsewhere_and_moves_back(
    elsewhere: RunningService, service: RunningService, remote: str, name: str, tmp_path: Path
) -> None:
    """Its certificate opens the hub that it is assigned to; what it was moved away from has it no longer."""
    key = DeviceKey(name, tmp_path)
    twin = {"tags": {"line": 3}, "properties": {"desired": {"n": 1}}}
    secret = symmetric_individual(elsewhere, name, iotHubs=[remote], initialTwin=twin, **issuing())
    hub = service.client(Realm.HUB)
    version = {"api-version": "2021-04-12"}
    with DpsDevice(elsewhere, name, key=secret) as device:
        state = registered(device, clientCertificateCsr=key.csr())
        assert state["assignedHub"] == remote
        certificate = (key.write(state["issuedClientCertificate"]), key.file)
        with HubDevice(service, name, certificate=certificate) as connected:
            assert connected.code == 0
            connected.sends(b"from the other service")
        identity = hub.call("GET", f"/devices/{name}", query=version).json()
        assert identity["authentication"]["type"] == "selfSigned"
        assert hub.call("GET", f"/twins/{name}", query=version).json()["tags"] == {"line": 3}
        hub.call("PATCH", f"/twins/{name}", {"tags": {"line": 4}}, query=version)
        enrollment = elsewhere.client().call("GET", f"/enrollments/{name}").json()
        elsewhere.put(f"/enrollments/{name}", {**enrollment, "iotHubs": [elsewhere.host]})
        moved = registered(device)
        assert (moved["assignedHub"], moved["substatus"]) == (elsewhere.host, "deviceDataMigrated")
    with HubDevice(elsewhere, name, certificate=certificate) as connected:
        assert connected.code == 0
    own = elsewhere.client(Realm.HUB).call("GET", f"/twins/{name}", query=version).json()
    assert (own["tags"], own["properties"]["desired"]["n"]) == ({"line": 4}, 1)
    elsewhere.logs("device-released", hub=remote, deviceId=name)
    with HubDevice(service, name, certificate=certificate) as connected:
        assert connected.code == 5


def registered(device: DpsDevice, **members: str) -> dict[str, Any]:
    """The state once the device is assigned; a hub elsewhere may need longer than the first answer."""
    return device.outcome(device.registers(**members)).state
