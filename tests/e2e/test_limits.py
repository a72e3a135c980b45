"""Limits from outside: what each wire says of them, and that a right proof from the same address is evaluated."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from accredit.wire import mqtt, sas, topics
from support.raw_device import DpsDevice, HubDevice, MqttDevice
from support.running_service import RunningService

WRONG = b"x" * 32
BUDGET = 1


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RunningService]:
    """One failure a minute: within a test nothing of the budget comes back."""
    environment = {"ACCREDIT_FAILED_PROOFS_PER_MINUTE": str(BUDGET), "ACCREDIT_AZURE_LIMITS": "true"}
    with RunningService(tmp_path / "service", environment=environment) as running:
        yield running
    assert "Traceback" not in running.log_text()


def key_of(service: RunningService, name: str) -> str:
    document = service.put(
        f"/enrollments/{name}", {"registrationId": name, "attestation": {"type": "symmetricKey"}}
    )
    return str(document["attestation"]["symmetricKey"]["primaryKey"])


def over_https(service: RunningService, name: str, key: bytes):
    token = sas.make(f"{service.id_scope}/registrations/{name}", key, int(time.time()) + 600)
    with service.https() as client:
        return client.put(
            f"/{service.id_scope}/registrations/{name}/register?api-version=2021-06-01",
            json={}, headers={"authorization": token},
        )  # fmt: skip


def exhaust(service: RunningService) -> None:
    for _ in range(BUDGET):
        assert over_https(service, "stranger", WRONG).status_code == 401


def test_every_wire_says_when_to_come_back_and_takes_a_right_proof(service: RunningService) -> None:
    key = key_of(service, "good")
    exhaust(service)

    answer = over_https(service, "stranger", WRONG)
    assert (answer.status_code, answer.json()["errorCode"]) == (429, 429001)
    first = int(answer.headers["retry-after"])
    assert 1 <= first <= 60

    with DpsDevice(service, "stranger", key="eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg=") as device:
        told = device.registers()
    assert told.status == 429
    assert told.retry_after_s is not None
    assert told.retry_after_s >= first

    with MqttDevice(service) as device:
        other = topics.DpsUserName("0ne00OTHER1", "stranger", "2019-03-31", "raw")
        assert device.connects(mqtt.Connect("stranger", topics.format_dps_user_name(other), None)) == 3

    with HubDevice(service, "stranger", key="eHh4eA==") as device:
        assert device.code == 3

    # The same address, and a proof that is right: on both wires, at once.
    with DpsDevice(service, "good", key=key) as device:
        assert device.registers().status == 200

    for rule in ("sas-signature", "id-scope"):
        service.logs("registration", outcome="refused", rule=rule)


def test_malformed_input_is_charged_to_its_source(service: RunningService) -> None:
    with service.https() as client:
        path = f"/{service.id_scope}/registrations/dev/register?api-version=2021-06-01"
        statuses = [client.put(path, content=b"{").status_code for _ in range(BUDGET + 2)]
    assert statuses == [400] * BUDGET + [429] * 2


def test_a_wrong_token_at_the_service_api(service: RunningService) -> None:
    exhaust(service)
    with service.https() as client:
        token = sas.make(service.host, WRONG, int(time.time()) + 60, "provisioningserviceowner")
        answer = client.get(
            "/certificateAuthorities?api-version=2021-10-01", headers={"authorization": token}
        )
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1
    # The operator behind the same address is let in.
    assert service.rows("ca", "list", "--json")


def test_azure_polls_of_a_device(service: RunningService) -> None:
    with DpsDevice(service, "dev", key=key_of(service, "dev")) as device:
        operation = device.registers().document["operationId"]
        told = [device.polls(operation) for _ in range(12)]
        while told[-1].status != 429:  # a busy machine may be as slow as the limit
            told.append(device.polls(operation))
    assert [each.status for each in told[:5]] == [200] * 5
    throttled = [each for each in told if each.status == 429]
    assert {each.retry_after_s for each in throttled} <= {1, 2}


def test_connections_of_one_address(tmp_path: Path) -> None:
    environment = {"ACCREDIT_SOURCE_CONNECTIONS": "3"}
    with RunningService(tmp_path / "service", environment=environment) as running:
        held = [DpsDevice(running, "dev", key="eA==") for _ in range(3)]
        with pytest.raises(OSError):  # noqa: PT011 - the connection ends before or while TLS begins
            MqttDevice(running)
        for device in held:
            device.__exit__(None)
        assert running.logs("source-at-ceiling")["reason"].startswith("it holds as many connections")
