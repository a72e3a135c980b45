"""Azure's Node SDK with a TPM 2.0: azure-iot-security-tpm itself drives the emulated TPM, from its keys to the hub's token."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from accredit.wire import tpm
from support.enrolling import tpm_individual
from support.needs_amqp import amqp_engine
from support.node_client import NodeClient, NodeError
from support.running_service import RunningService
from support.tpm_emulator import TpmEmulator


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TpmEmulator]:
    with TpmEmulator(tmp_path_factory.mktemp("tpm")) as running:
        yield running


@pytest.fixture(scope="module")
def node(service: RunningService) -> Iterator[NodeClient]:
    with NodeClient("tpm", service) as running:
        yield running


@pytest.fixture(params=["http", "amqp", "amqp-ws"])
def wire(request: pytest.FixtureRequest) -> str:
    if request.param != "http":
        amqp_engine()
    return str(request.param)


class TestNode:
    def test_from_the_chip_to_the_hub(
        self, service: RunningService, node: NodeClient, emulator: TpmEmulator, name: str, wire: str
    ) -> None:
        tpm_individual(service, name, emulator.endorsement)
        told = node.call(
            "register", transport=wire, host=service.host, idScope=service.id_scope, port=emulator.port,
            registrationId=name,
        )  # fmt: skip
        assert (told["status"], told["assignedHub"], told["deviceId"]) == ("assigned", service.host, name)
        sent = node.call(
            "send", hub=told["assignedHub"], deviceId=told["deviceId"], port=emulator.port, messages=["by TPM"]
        )  # fmt: skip
        assert sent == 1
        assert len(service.telemetry(name)) == 1

    def test_the_id_that_the_sdk_makes_of_the_ek_is_ours(
        self, service: RunningService, node: NodeClient, emulator: TpmEmulator, wire: str
    ) -> None:
        tpm_individual(service, emulator.registration_id, emulator.endorsement)
        told = node.call(
            "register", transport=wire, host=service.host, idScope=service.id_scope, port=emulator.port
        )  # fmt: skip
        assert told["deviceId"] == tpm.default_registration_id(emulator.endorsement)


def test_one_that_is_not_enrolled_is_told_over_https(
    service: RunningService, node: NodeClient, emulator: TpmEmulator, name: str
) -> None:
    """Over AMQP this SDK waits for a challenge for ever, whatever it is told (amqp.js, `connectingTpm`)."""
    with pytest.raises(NodeError):
        node.call(
            "register", transport="http", host=service.host, idScope=service.id_scope, port=emulator.port,
            registrationId=name,
        )  # fmt: skip
