"""What a device does at one of several nodes, and what is to be seen of it at the others."""

from __future__ import annotations

import time
from collections.abc import Callable

from support.device_key import DeviceKey
from support.digicert_process import DigiCertProcess
from support.raw_device import Answer, DpsDevice
from support.running_service import RunningService

ENDS_WITHIN_S = 120


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + ENDS_WITHIN_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def registers(node: RunningService, key: DeviceKey, secret: str) -> Answer:
    with DpsDevice(node, key.registration_id, key=secret) as device:
        return device.registers(clientCertificateCsr=key.csr())


def registers_without_csr(node: RunningService, key: DeviceKey, secret: str) -> Answer:
    with DpsDevice(node, key.registration_id, key=secret) as device:
        return device.registers()


def ends(node: RunningService, key: DeviceKey, secret: str, operation_id: str) -> Answer:
    """Poll as a device does, only faster, until the operation has ended."""
    deadline = time.monotonic() + ENDS_WITHIN_S
    with DpsDevice(node, key.registration_id, key=secret) as device:
        while (answer := device.polls(operation_id)).document["status"] == "assigning":
            assert time.monotonic() < deadline
            time.sleep(0.1)
    return answer


def signed_once(ca: DigiCertProcess, node: RunningService, key: DeviceKey, answer: Answer) -> None:
    """The device has the one certificate that was ever signed for it."""
    assert answer.document["status"] == "assigned", answer
    assert len(ca.signed(key.registration_id)) == 1
    (row,) = node.certificates(key.registration_id)
    assert row["status"] == "pending"


def works(node: RunningService) -> bool:
    with node.https() as client:
        return client.get("/readyz").status_code == 200
